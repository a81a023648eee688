"""Test the filters of lists of executions: API and dashboard share parser and messages."""

from datetime import UTC, datetime

import pytest
from django.http import QueryDict

from core import parsing
from execapp import history
from execapp.errors import InvalidRequestError
from execapp.history import ExecutionFilter
from tests.execapp.conftest import Api


def values(query: str) -> dict[str, list[str]]:
    return dict(QueryDict(query).lists())


def test_every_filter_is_parsed() -> None:
    query = (
        "template=tiny&version=7&state=failed&mode=test&client=ci-bot&label=course:cs101"
        "&label=term:a:b&since=2026-03-05T12:00:00Z&until=2026-03-06T12:00:00%2B01:00&q=0198"
    )
    assert history.parse_filter(values(query)) == ExecutionFilter(
        template="tiny",
        version=7,
        state="failed",
        mode="test",
        client="ci-bot",
        labels=(("course", "cs101"), ("term", "a:b")),
        since=datetime(2026, 3, 5, 12, tzinfo=UTC),
        until=datetime(2026, 3, 6, 11, tzinfo=UTC),
        q="0198",
    )


def test_nothing_asked_for_is_no_filter() -> None:
    assert history.parse_filter({}) == ExecutionFilter()
    assert history.parse_filter(values("limit=5&cursor=x&colour=red")) == ExecutionFilter()


def test_a_form_sends_blanks_empty_fields_and_local_times() -> None:
    query = "template=+tiny+&version=&state=&label=&label=+a:b+&since=2026-03-05T12:00&q=++"
    assert history.parse_filter_form(values(query)) == ExecutionFilter(
        template="tiny", labels=(("a", "b"),), since=datetime(2026, 3, 5, 12, tzinfo=UTC)
    )
    with pytest.raises(InvalidRequestError):
        history.parse_filter(values("since=2026-03-05T12:00"))


WRONG = {
    "template": "x" * 65,
    "version": "0",
    "state": "done",
    "mode": "compile",
    "client": "x" * 151,
    "label": ":x",
    "since": "noon",
    "until": "9999-12-31T23:59:59-23:00",
    "q": "x" * 101,
}


def test_every_wrong_filter_is_named_once() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        history.parse_filter({name: [text] for name, text in WRONG.items()})
    assert [field.path for field in caught.value.fields] == list(WRONG)


@pytest.mark.parametrize("name", ["template", "client", "label", "q", "state", "version"])
def test_nul_is_refused_in_every_filter(name: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        history.parse_filter({name: ["a:\0"]})
    assert [field.path for field in caught.value.fields] == [name]


def test_at_most_sixteen_labels() -> None:
    assert len(history.parse_filter({"label": ["a:b"] * 16}).labels) == 16
    with pytest.raises(InvalidRequestError):
        history.parse_filter({"label": ["a:b"] * 17})


def test_a_version_number_fits_its_column() -> None:
    assert history.parse_filter({"version": [str(parsing.LARGEST)]}).version == parsing.LARGEST
    with pytest.raises(InvalidRequestError):
        history.parse_filter({"version": [str(parsing.LARGEST + 1)]})


@pytest.mark.parametrize("name", [name for name in WRONG if name not in ("since", "until")])
def test_the_api_and_the_form_say_the_same(api: Api, name: str) -> None:
    response = api.client.get(
        "/api/v1/executions", {name: WRONG[name]}, headers={"Authorization": f"Bearer {api.secret}"}
    )
    fields = response.json()["error"]["details"]["fields"]
    with pytest.raises(InvalidRequestError) as caught:
        history.parse_filter_form({name: [WRONG[name]]})
    assert fields == [{"path": name, "message": caught.value.fields[0].message}]
