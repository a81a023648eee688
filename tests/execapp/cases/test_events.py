"""Test the events of cases: one for each that has ended, live and afterwards, resumed at any."""

from collections.abc import Iterator

import pytest

from execapp.executor.daemon import Daemon
from templatemgr.models import Version
from tests.execapp.api import web_server
from tests.execapp.api.test_events import everything, opened
from tests.execapp.cases.test_executions import ADD, current, daemon, sums
from tests.execapp.conftest import Api, state_of
from tests.forking_template import program
from tests.webui.server.serving import Web

__all__ = ["current", "daemon"]


@pytest.fixture
def web(current: Version, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    with web_server.serve(monkeypatch) as running:
        yield running


def test_a_case_arrives_while_the_others_run(api: Api, daemon: Daemon, web: Web) -> None:
    source = program("read a; echo $a; sleep $a")
    cases = [{"name": "first", "stdin": "0\n", "expected_stdout": "1\n"}, {"stdin": "3\n"}]
    made = api.submit(source, cases=cases)["id"]
    with opened(web, api, made) as stream:
        events = iter(stream)
        first = next(event for event in events if event.name == "case")
        assert state_of({"id": made}) == "running"
        assert {name: first.data[name] for name in ("number", "name", "state", "verdict")} == {
            "number": 1, "name": "first", "state": "succeeded", "verdict": "wrong_output",
        }  # fmt: skip
        assert "stdout" not in first.data
        rest = list(events)
    assert [event.name for event in rest] == ["case", "state", "result"]
    assert rest[0].data["number"] == 2
    assert rest[-1].data == api.get(f"/executions/{made}")


def test_the_stream_of_an_ended_execution_resumes_at_each_event(
    api: Api, daemon: Daemon, web: Web
) -> None:
    made = api.submit(ADD, cases=sums((1, 2, "3"), (2, 2, "4"), (1, 1, "2")), wait=True)["id"]
    found = everything(web, api, made)
    assert [event.name for event in found] == ["case", "case", "case", "state", "result"]
    for at, event in enumerate(found[:-1]):
        assert everything(web, api, made, event.id) == found[at + 1 :]
