"""Test waits for the end of an execution, and cancellation."""

import threading
import time
from collections.abc import Callable

import pytest
from django.db import connection

from core.database import connections
from execapp.executor.daemon import Daemon
from execapp.models import Execution, ExecutionState
from execapp.services import submissions
from sandbox.isolation.container import Container
from tests.execapp.conftest import Api, state_of, until
from tests.minimal_template import BUSY, HELLO, SLEEP
from tests.timeouts import HANGS_SECONDS


def test_wait_ends_with_the_execution(api: Api, executor: Daemon) -> None:
    made = api.submit(HELLO)
    began = time.monotonic()
    done = api.get(f"/executions/{made['id']}?wait=60")
    assert done["state"] == "succeeded"
    assert time.monotonic() - began < 30


def test_the_answer_does_not_wait_for_the_dead_but_later_executions_do(
    api: Api, start_executor: Callable[..., Daemon], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four sandboxes that are being cleared away count as one core."""
    start_executor(slots=1, warm=0)
    buried, original = threading.Event(), Container.close

    def slowly(self: Container) -> None:
        buried.wait(HANGS_SECONDS)
        original(self)

    monkeypatch.setattr(Container, "close", slowly)
    try:
        made = [api.submit(HELLO) for _ in range(6)]
        for first in made[:4]:
            assert api.get(f"/executions/{first['id']}?wait=60")["state"] == "succeeded"
        time.sleep(0.3)
        assert [state_of(each) for each in made[4:]] == ["running", "queued"], "one is prepared"
    finally:
        buried.set()
    for later in made[4:]:
        assert api.get(f"/executions/{later['id']}?wait=60")["state"] == "succeeded"


def test_a_slot_outlives_a_sandbox_that_cannot_be_cleared_away(
    api: Api, start_executor: Callable[..., Daemon], monkeypatch: pytest.MonkeyPatch
) -> None:
    start_executor(slots=1, warm=0)
    original = Container.close

    def fail(self: Container) -> None:
        original(self)
        raise OSError("the control group is busy")

    monkeypatch.setattr(Container, "close", fail)
    for _ in range(3):
        made = api.submit(HELLO)
        assert api.get(f"/executions/{made['id']}?wait=60")["state"] == "succeeded"


def test_wait_ends_with_the_time(api: Api, executor: Daemon) -> None:
    began = time.monotonic()
    made = api.submit(SLEEP, wait=0.4)
    assert made["state"] == "running"
    assert time.monotonic() - began >= 0.4
    api.call("POST", f"/executions/{made['id']}/cancel")


def test_wait_without_an_executor_looks_at_the_row(api: Api, alive: object) -> None:
    made = api.submit(HELLO)

    def end_it() -> None:
        time.sleep(0.3)
        Execution.objects.filter(id=made["id"]).update(state=ExecutionState.SUCCEEDED)
        connection.close()

    thread = threading.Thread(target=end_it)
    thread.start()
    assert api.get(f"/executions/{made['id']}?wait=60")["state"] == "succeeded"
    thread.join()


def test_many_wait_for_one(api: Api, executor: Daemon) -> None:
    made = api.submit(SLEEP, limits={"wall_ms": 700})
    seen: list[str] = []

    def wait() -> None:
        execution = submissions.wait(execution_id=made["id"], seconds=HANGS_SECONDS)
        seen.append(execution.state)
        connection.close()

    threads = [threading.Thread(target=wait) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == ["timed_out"] * 8


def test_waiting_gives_the_connection_back(api: Api, executor: Daemon) -> None:
    made = api.submit(SLEEP, limits={"wall_ms": 1500})
    held: list[bool] = []
    waiting = threading.Event()

    def wait() -> None:
        original = connections.release_between_waits

        def noted() -> None:
            original()
            held.append(connection.connection is not None)
            waiting.set()

        connections.release_between_waits = noted
        try:
            submissions.wait(execution_id=made["id"], seconds=HANGS_SECONDS)
        finally:
            connections.release_between_waits = original
            connection.close()

    thread = threading.Thread(target=wait)
    thread.start()
    assert waiting.wait(HANGS_SECONDS)
    thread.join()
    assert held
    assert not any(held)


def test_cancel_while_queued(api: Api, alive: object) -> None:
    made = api.submit(HELLO)
    response = api.call("POST", f"/executions/{made['id']}/cancel")
    assert response.status_code == 202
    body = response.json()
    assert body["state"] == "cancelled"
    assert body["message"] == "Cancelled by ci-bot."
    assert body["timings"]["total_ms"] >= 0
    assert body["finished_at"]


def test_cancel_in_the_queue_ends_a_wait_at_once(api: Api, executor: Daemon) -> None:
    busy = [api.submit(BUSY) for _ in range(2)]
    until(lambda: all(state_of(execution) == "running" for execution in busy))
    made = api.submit(HELLO)
    took: list[float] = []

    def wait() -> None:
        began = time.monotonic()
        submissions.wait(execution_id=made["id"], seconds=HANGS_SECONDS)
        took.append(time.monotonic() - began)
        connection.close()

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.1)
    for execution in (made, *busy):
        api.call("POST", f"/executions/{execution['id']}/cancel")
    thread.join()
    assert 0.1 <= took[0] < 10


def test_cancel_while_running(api: Api, executor: Daemon) -> None:
    made = api.submit(SLEEP)
    until(lambda: state_of(made) == "running")
    assert api.call("POST", f"/executions/{made['id']}/cancel").status_code == 202
    done = api.get(f"/executions/{made['id']}?wait=60")
    assert done["state"] == "cancelled"
    assert done["message"] == "Cancelled by ci-bot."


def test_cancel_without_the_message_arrives_by_the_row(api: Api, executor: Daemon) -> None:
    made = api.submit(SLEEP)
    until(lambda: state_of(made) == "running")
    Execution.objects.filter(id=made["id"]).update(cancel_requested=True)
    assert api.get(f"/executions/{made['id']}?wait=60")["state"] == "cancelled"


def test_cancel_of_a_finished_one_changes_nothing(api: Api, executor: Daemon) -> None:
    done = api.submit(HELLO, wait=True)
    response = api.call("POST", f"/executions/{done['id']}/cancel")
    assert response.status_code == 200
    assert response.json() == done


def test_two_cancels(api: Api, alive: object) -> None:
    made = api.submit(HELLO)
    statuses = [api.call("POST", f"/executions/{made['id']}/cancel").status_code for _ in range(2)]
    assert statuses == [202, 200]


def test_cancel_of_a_storm_ends_each_once(api: Api, executor: Daemon) -> None:
    made = [api.submit(SLEEP, limits={"wall_ms": 800}) for _ in range(8)]
    for execution in made:
        api.call("POST", f"/executions/{execution['id']}/cancel")
    for execution in made:
        assert api.get(f"/executions/{execution['id']}?wait=60")["state"] in {
            "cancelled",
            "timed_out",
        }
