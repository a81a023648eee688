"""Test the dispatcher with real sandboxes: programs that wait hold no core, others are bounded."""

import threading
import time
from collections.abc import Callable

import pytest
from pytest_django.fixtures import Settings

from execapp.executor.admission import Entry
from execapp.executor.daemon import Daemon
from execapp.models import Execution
from execapp.services import claims
from tests.execapp.conftest import Api, make_api, state_of, until
from tests.minimal_template import BUSY, HELLO, SLEEP, program
from tests.timeouts import HANGS_SECONDS

Start = Callable[..., Daemon]


def running() -> int:
    return Execution.objects.filter(state="running").count()


def running_entries(daemon: Daemon) -> list[Entry]:
    """Return the admitted executions that hold, or held, a core."""
    return list(daemon.context.admission._running)


def prepare(api: Api, daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return an execution that waits in its sandbox, and never gets a core."""
    admission = daemon.context.admission
    monkeypatch.setattr(admission, "_may_run", lambda _need: False)
    monkeypatch.setattr(admission, "_may_begin", lambda _need: False)
    made: dict[str, str] = api.submit(HELLO)
    until(lambda: state_of(made) == "running")
    return made


def cancel(api: Api, made: list[dict[str, str]]) -> None:
    for execution in made:
        api.call("POST", f"/executions/{execution['id']}/cancel")


def test_programs_that_sleep_run_together_on_one_slot(api: Api, start_executor: Start) -> None:
    daemon = start_executor(slots=1)
    made = [api.submit(SLEEP) for _ in range(8)]
    until(lambda: running() == 8)
    assert len(daemon.context.running_executions) == 8
    until(lambda: daemon.context.admission.load() < 0.5)
    assert api.submit(HELLO, wait=60)["state"] == "succeeded", "they hold no slot"
    cancel(api, made)
    until(lambda: running() == 0)
    until(lambda: daemon.context.admission.openings() == 2)


def test_programs_that_compute_leave_the_next_ones_prepared_or_in_the_queue(
    api: Api, start_executor: Start
) -> None:
    daemon = start_executor(slots=1)
    admission = daemon.context.admission
    sleeping = [api.submit(SLEEP) for _ in range(3)]
    until(lambda: len(running_entries(daemon)) == 3 and admission.load() < 0.5)
    busy = api.submit(BUSY)
    until(lambda: len(running_entries(daemon)) == 4 and admission.load() > 0.9)
    prepared, queued = api.submit(HELLO), api.submit(HELLO)
    until(lambda: state_of(prepared) == "running")
    for _ in range(50):
        assert state_of(prepared) == "running", "it has a sandbox and waits there"
        assert state_of(queued) == "queued"
        time.sleep(0.02)
    cancel(api, [busy])
    for execution in (prepared, queued):
        done = api.get(f"/executions/{execution['id']}?wait=60")
        assert done["state"] == "succeeded"
        assert done["timings"]["queued_ms"] > 900, "the wait for a core is no part of its run"
        assert done["timings"]["run_ms"] < done["timings"]["total_ms"] - 900
    cancel(api, sleeping)


def test_a_prepared_one_can_be_cancelled(
    api: Api, start_executor: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = start_executor(slots=1)
    prepared = [prepare(api, daemon, monkeypatch)]
    cancel(api, prepared)
    until(lambda: state_of(prepared[0]) == "cancelled")
    until(lambda: not daemon.context.admission._prepared)


def test_drain_gives_a_prepared_one_back_and_does_not_count_the_attempt(
    api: Api, start_executor: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = start_executor(slots=1, grace=HANGS_SECONDS)
    prepared = prepare(api, daemon, monkeypatch)
    daemon.stop()
    row = Execution.objects.get(id=prepared["id"])
    assert (row.state, row.attempt) == ("queued", 0)


def test_a_program_that_begins_to_wait_lets_the_next_one_start(
    api: Api, start_executor: Start
) -> None:
    start_executor(slots=1)
    code = "for (const end = Date.now() + 1000; Date.now() < end; ); setTimeout(() => {}, 12000);"
    first = api.submit(program(code))
    until(lambda: state_of(first) == "running")
    second = api.submit(HELLO)
    assert api.get(f"/executions/{second['id']}?wait=60")["state"] == "succeeded"
    assert state_of(first) == "running"
    cancel(api, [first])


def test_the_ceiling_bounds_programs_that_wait(
    api: Api, start_executor: Start, settings: Settings
) -> None:
    settings.STENCIL_MOST_RUNNING = 3
    start_executor(slots=1)
    made = [api.submit(SLEEP) for _ in range(5)]
    until(lambda: running() == 3)
    time.sleep(0.5)
    assert running() == 3
    cancel(api, made)


def test_the_budget_of_memory_bounds_programs_that_wait(
    api: Api, start_executor: Start, settings: Settings
) -> None:
    settings.STENCIL_RUNNING_BYTES = 600 << 20  # the limit of each is 256 MiB
    start_executor(slots=1)
    made = [api.submit(SLEEP) for _ in range(4)]
    until(lambda: running() == 2)
    time.sleep(0.5)
    assert running() == 2
    small = api.submit(HELLO, limits={"memory_bytes": 80 << 20})
    time.sleep(0.5)
    assert state_of(small) == "queued", "it would overtake the larger ones for ever"
    cancel(api, made)
    assert api.get(f"/executions/{small['id']}?wait=60")["state"] == "succeeded"


def test_a_client_at_its_limit_leaves_cores_to_others(
    current: object, start_executor: Start, settings: Settings
) -> None:
    settings.STENCIL_CLIENT_SLOTS = 2
    start_executor(slots=2)
    flood, other = make_api("flood"), make_api("other")
    made = [flood.submit(SLEEP) for _ in range(4)]
    until(lambda: running() == 2)
    assert other.submit(HELLO, wait=60)["state"] == "succeeded"
    assert running() == 2
    cancel(flood, made)


def test_drain_gives_every_waiting_program_back(api: Api, start_executor: Start) -> None:
    daemon = start_executor(slots=1)
    made = [api.submit(SLEEP) for _ in range(5)]
    until(lambda: running() == 5)
    daemon.stop()
    assert {state_of(execution) for execution in made} == {"queued"}
    assert not [each.name for each in threading.enumerate() if each.name.startswith("slot-")]


def test_an_executor_that_was_killed_loses_none_of_its_batch(
    api: Api, start_executor: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies between the claim and the start of the threads: the next one takes all over."""
    made = []
    first = start_executor(slots=2)
    with monkeypatch.context() as patch:
        patch.setattr(first._runners, "start", lambda _job: None)
        # The dispatcher has kept the method, so it is replaced there, too.
        patch.setattr(first._dispatching, "_start", lambda _job: None)
        made = [api.submit(HELLO) for _ in range(2)]
        until(lambda: running() == 2)
    assert claims.take_over(worker=first.context.worker) == 2
    for entry in running_entries(first):
        first.context.admission.leave(entry)
    first.context.execution_wakeup.notify()
    for execution in made:
        done = api.get(f"/executions/{execution['id']}?wait=60")
        assert (done["state"], done["attempts"]) == ("succeeded", 2)


def test_without_a_thread_the_execution_returns_to_the_queue(
    api: Api, start_executor: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = start_executor(slots=2)
    tries: list[int] = []

    def fail(_job: object) -> None:
        tries.append(1)
        message = "can't start new thread"
        raise RuntimeError(message)

    with monkeypatch.context() as patch:
        patch.setattr(daemon._dispatching, "_start", fail)
        made = [api.submit(HELLO) for _ in range(3)]
        until(lambda: len(tries) > 2)
    for execution in made:
        done = api.get(f"/executions/{execution['id']}?wait=60")
        assert (done["state"], done["attempts"]) == ("succeeded", 1)


def test_exclusive_templates_wait_for_a_core_of_their_own(
    api: Api, start_executor: Start, settings: Settings
) -> None:
    settings.STENCIL_EXCLUSIVE = ["tiny"]
    daemon = start_executor(slots=2)
    made = [api.submit(SLEEP) for _ in range(3)]
    until(lambda: running() == 2)
    time.sleep(0.5)
    assert running() == 2, "each counts as a core, though it sleeps"
    assert daemon.context.admission.load() == 2
    cancel(api, made)
