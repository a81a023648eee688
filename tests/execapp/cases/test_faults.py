"""Kill and stop what runs cases: each case ends once and right, and nothing is left."""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from execapp.executor import case_runs
from execapp.executor.admission import Entry, Need
from execapp.executor.daemon import Daemon
from execapp.models import Execution
from sandbox.limits import Limits
from sandbox.session.outcome import Outcome, State
from sandbox.session.sessions import Submission
from tests.execapp.cases.test_executions import current, daemon
from tests.execapp.cases.test_judging import ended
from tests.execapp.conftest import Api, until
from tests.execapp.executor.test_fork_servers import forking_group, kill, row_of
from tests.forking_template import program

__all__ = ["current", "daemon"]
SLOW = program("read a; sleep 0.3; echo $a")
CASES = [{"stdin": f"{n}\n", "expected_stdout": f"{n}\n"} for n in range(6)]


def cases_of(daemon: Daemon) -> int:
    """Return how many cases of the only running execution have ended."""
    return sum(len(live._data[2]) for live in list(daemon.context.live._running.values()))


def test_a_killed_server_costs_no_case(api: Api, daemon: Daemon) -> None:
    made = api.submit(SLOW, cases=CASES)
    until(lambda: cases_of(daemon) == 2)
    group = forking_group(daemon)
    assert group is not None
    assert group.server is not None
    kill(group.server.server._process.pid)
    done = api.get(f"/executions/{made['id']}?wait=60")
    assert (done["state"], done["cases"]["passed"], row_of(made).attempt) == ("succeeded", 6, 1)
    assert "cold" in {item["timings"]["start"] for item in done["cases"]["items"]}


def test_a_stopped_executor_gives_the_execution_back(
    api: Api, start_executor: Callable[..., Daemon]
) -> None:
    first = start_executor(slots=1, warm=1)
    made = api.submit(SLOW, cases=CASES)
    until(lambda: cases_of(first) == 2)
    first.stop()
    assert row_of(made).state == "queued"
    assert row_of(made).case_results is None
    start_executor(slots=1, warm=1)
    done = api.get(f"/executions/{made['id']}?wait=60")
    assert (done["state"], done["cases"]["passed"], done["attempts"]) == ("succeeded", 6, 2)


def test_a_thousand_cases_need_more_than_one_server(
    api: Api, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("execapp.executor.fork_servers.MOST_FORKS", 20)
    cases = [{"stdin": f"{n}\n", "expected_stdout": f"{n}\n"} for n in range(100)]
    done = api.submit(program("cat"), cases=cases, wait=True)
    assert (done["state"], done["cases"]["passed"]) == ("succeeded", 100)
    assert Execution.objects.count() == 1


class Boxes:
    """Sandboxes that note when they are made, used and removed."""

    def __init__(self, fails_at: int = 0) -> None:
        self.made: list[int] = [1]
        self.closed: list[int] = []
        self.most = 0
        self._fails_at = fails_at
        self._lock = threading.Lock()

    def ahead(self, number: int) -> Any:
        boxes = self

        class Waiting:
            def close(self) -> None:
                boxes.closed.append(number)

        with self._lock:
            self.made.append(number)
            self.most = max(self.most, len(self.made) - len(self.closed))
        return Waiting()

    def __call__(
        self, later: ExitStack, _job: Submission, _limits: Limits, *, case: int, **_: Any
    ) -> Outcome:
        later.callback(lambda: self.closed.append(case))
        if case == self._fails_at:
            raise OSError("no more")
        return ended(State.SUCCEEDED)


def drive(boxes: Boxes, total: int, run: int) -> None:
    entry = Entry(Need(memory_bytes=1, processes=1))
    with case_runs.Deliver(boxes, entry, ahead=boxes.ahead, total=total) as deliver:
        for _ in range(run):
            deliver(Submission(mode="run"), Limits())


@pytest.mark.parametrize("run", [0, 1, 5, 9])
def test_every_sandbox_that_was_made_is_removed(run: int) -> None:
    boxes = Boxes()
    drive(boxes, 9, run)
    assert sorted(boxes.closed) == (sorted(boxes.made) if run else [])
    assert max(boxes.made) <= min(9, run + 1)
    assert boxes.most <= 3


def test_a_failure_removes_them_too() -> None:
    boxes = Boxes(fails_at=3)
    with pytest.raises(OSError, match="no more"):
        drive(boxes, 9, 9)
    assert sorted(boxes.closed) == sorted(boxes.made) == [1, 2, 3, 4]


def test_the_meter_shows_one_run() -> None:
    entry = Entry(Need(memory_bytes=1, processes=1))
    meter = case_runs.ContinuedMeter(entry)
    for at in (10.0, 11.0):
        meter.begun(at)
        meter.measured(100.0, at + 0.2)
        meter.measured(300.0, at + 0.5)
    assert list(entry._samples) == [
        (10.0, 0.0), (10.2, 100.0), (10.5, 300.0), (11.2, 400.0), (11.5, 600.0),
    ]  # fmt: skip
