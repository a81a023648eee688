"""Test lists of executions: pages, filters, and the permission to see each execution."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from core import parsing
from execapp import history
from execapp.api.v1.schemas.executions import ExecutionsOut
from execapp.api.v1.schemas.templates import PromotionsOut, TemplateOut, TemplatesOut
from execapp.api.v1.schemas.versions import VersionOut, VersionsOut
from execapp.history import Viewer
from execapp.models import Execution, ExecutionState
from templatemgr.models import Version
from templatemgr.promotion import promotions
from tests import factories, minimal_template
from tests.execapp.conftest import Api, make_api
from tests.minimal_template import HELLO


def ids(page: Any) -> list[str]:
    return [item["id"] for item in page["items"]]


def test_newest_first_and_in_the_documented_shape(api: Api, alive: object) -> None:
    made = [api.submit()["id"] for _ in range(3)]
    page = api.get("/executions")
    assert ids(page) == made[::-1]
    assert page["next"] is None
    ExecutionsOut.model_validate(page)
    assert "stdout" not in page["items"][0]


def test_pages_are_stable_under_inserts(api: Api, alive: object) -> None:
    made = [api.submit()["id"] for _ in range(7)]
    seen: list[str] = []
    following = ""
    while True:
        page = api.get(f"/executions?limit=3{following}")
        seen += ids(page)
        api.submit()
        if page["next"] is None:
            break
        following = f"&cursor={page['next']}"
    assert seen == made[::-1]


def test_executions_of_the_same_time_are_ordered_by_id(api: Api, alive: object) -> None:
    made = sorted(api.submit()["id"] for _ in range(5))
    Execution.objects.update(created_at=timezone.now())
    first = api.get("/executions?limit=2")
    second = api.get(f"/executions?limit=3&cursor={first['next']}")
    assert ids(first) + ids(second) == made[::-1]
    assert second["next"] is None


def test_a_list_costs_one_query_however_long(
    api: Api, alive: object, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(5):
        api.submit()
    with django_assert_num_queries(2):  # the token, and the list
        assert len(api.get("/executions")["items"]) == 5


def test_lists_do_not_read_large_columns(
    api: Api, alive: object, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    api.submit()
    with django_assert_num_queries(1) as captured:
        history.page(
            filters=history.ExecutionFilter(), viewer=Viewer.of_user("a", everything=True), limit=5
        )
    assert '"stdout"' not in captured[0]["sql"]
    assert '"files"' not in captured[0]["sql"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("template=tiny", 3),
        ("template=other", 0),
        ("version=1", 2),
        ("version=2&template=tiny", 1),
        ("version=3", 0),
        ("state=queued", 2),
        ("state=failed", 1),
        ("mode=test", 1),
        ("client=ci-bot", 3),
        ("client=else", 0),
        ("label=course:cs101", 2),
        ("label=course:cs101&label=week:1", 1),
        ("label=course:cs102", 0),
        ("since=2020-01-01T00:00:00Z", 3),
        ("until=2020-01-01T00:00:00%2B02:00", 0),
        ("state=queued&mode=run&label=course:cs101", 1),
    ],
)
def test_filters(api: Api, alive: object, query: str, found: int) -> None:
    api.submit(labels={"course": "cs101", "week": "1"})
    failed = api.submit(labels={"course": "cs101"})
    Execution.objects.filter(id=failed["id"]).update(state=ExecutionState.FAILED)
    factories.promote_runnable_version(number=2)
    api.submit(minimal_template.suite(""), "test")
    assert len(api.get(f"/executions?{query}")["items"]) == found


def test_since_is_included_and_until_is_not(api: Api, alive: object) -> None:
    made = api.submit()
    moment = made["created_at"]
    assert ids(api.get(f"/executions?since={moment}")) == [made["id"]]
    assert ids(api.get(f"/executions?until={moment}")) == []


def test_q_finds_the_beginning_of_an_id(api: Api, alive: object) -> None:
    first, second = api.submit()["id"], api.submit()["id"]
    assert ids(api.get(f"/executions?q={first}")) == [first]
    assert ids(api.get(f"/executions?q={second[:35].upper()}")) in ([second], [second, first])
    assert ids(api.get("/executions?q=ffff")) == []


def test_tokens_see_their_own_only(current: Version, alive: object) -> None:
    one, other, boss = make_api("one"), make_api("other"), make_api("boss", "admin")
    made = one.submit()["id"]
    assert other.call("GET", f"/executions/{made}").status_code == 404
    assert other.call("GET", f"/executions/{made}/files").status_code == 404
    assert other.call("POST", f"/executions/{made}/cancel").status_code == 404
    assert other.call("POST", f"/executions/{made}/rerun").status_code == 404
    assert ids(other.get("/executions")) == []
    assert ids(other.get("/executions?client=one")) == []
    assert ids(boss.get("/executions?client=one")) == [made]
    assert boss.get(f"/executions/{made}")["client"] == "one"


def test_a_user_of_the_same_name_is_another_client(api: Api, alive: object) -> None:
    made = api.submit()["id"]
    user = Viewer.of_user("ci-bot", everything=False)
    assert not history.visible(user).exists()
    assert history.visible(Viewer.of_token(api.token)).get().id == parsing.identifier_or_none(made)


def test_filters_are_served_by_indexes(api: Api, alive: object) -> None:
    for filters in (
        history.ExecutionFilter(template="tiny"),
        history.ExecutionFilter(state="failed"),
        history.ExecutionFilter(client="ci-bot"),
        history.ExecutionFilter(mode="run"),
        history.ExecutionFilter(since=timezone.now() - timedelta(days=1)),
    ):
        with CaptureQueriesContext(connection) as queries:
            history.page(filters=filters, viewer=Viewer.of_user("a", everything=True))
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {queries[-1]['sql']}")
            plan = " / ".join(row[3] for row in cursor.fetchall())
        assert "USING INDEX" in plan, plan
        assert "TEMP B-TREE" not in plan, plan


def test_templates(api: Api) -> None:
    page = api.get("/templates")
    TemplatesOut.model_validate(page)
    (shown,) = page["items"]
    assert shown["name"] == "tiny"
    assert shown["modes"] == ["run", "test"]
    assert shown["current"]["version"] == 1
    assert shown["current"]["digest"] == f"sha256:{1:064x}"
    assert shown["current"]["promoted_by"] == "ann"
    assert shown["pinned"] is None
    assert shown["versions"] == 1


def test_one_template_with_limits_and_pin(api: Api) -> None:
    promotions.pin(template="tiny", actor="bob", reason="exam week")
    shown = api.get("/templates/tiny")
    TemplateOut.model_validate(shown)
    assert shown["pinned"]["by"] == "bob"
    assert shown["pinned"]["reason"] == "exam week"
    assert shown["limits"]["maximum"]["wall_ms"] == 20000
    assert api.call("GET", "/templates/nope").json()["error"]["code"] == "unknown_template"


def test_versions_newest_first(api: Api) -> None:
    factories.promote_runnable_version(number=2)
    factories.make_runnable_version(number=3)
    page = api.get("/templates/tiny/versions?limit=2")
    VersionsOut.model_validate(page)
    assert [item["version"] for item in page["items"]] == [3, 2]
    assert [item["state"] for item in page["items"]] == ["ready", "current"]
    rest = api.get(f"/templates/tiny/versions?limit=2&cursor={page['next']}")
    assert [item["version"] for item in rest["items"]] == [1]
    assert rest["next"] is None


def test_one_version(api: Api) -> None:
    shown = api.get("/templates/tiny/versions/1")
    VersionOut.model_validate(shown)
    assert shown["packages"][0]["name"] == "left-pad"
    assert shown["smoke"][0]["ok"] is True
    assert shown["health"]["state"] == "verified"
    for number in ("2", "x", "0", "99999999999", "-1", "٣"):
        response = api.call("GET", f"/templates/tiny/versions/{number}")
        assert response.json()["error"]["code"] == "unknown_version"


def test_promotions(api: Api) -> None:
    factories.promote_runnable_version(number=2)
    promotions.roll_back(template="tiny", actor="bob", reason="it broke")
    page = api.get("/templates/tiny/promotions?limit=2")
    PromotionsOut.model_validate(page)
    newest = page["items"][0]
    assert (newest["kind"], newest["from"], newest["to"]) == ("rollback", 2, 1)
    assert (newest["actor"], newest["reason"]) == ("bob", "it broke")
    rest = api.get(f"/templates/tiny/promotions?cursor={page['next']}")
    assert rest["items"][0]["from"] is None
    assert api.call("GET", "/templates/tiny/promotions?cursor=x").status_code == 422


def test_me(api: Api, alive: object) -> None:
    api.submit(HELLO)
    shown = api.get("/me")
    assert shown["client"] == "ci-bot"
    assert shown["scopes"] == ["execute", "read"]
    assert shown["limits"]["max_files"] == 1000
    assert shown["remaining"]["queue"] == shown["limits"]["max_queued"] - 1
