"""Test the executor as a process: kill, drain, a second executor, refused configurations."""

import json
import signal
import subprocess
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from django import conf
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from core.engine import WakeKind, get_engine
from core.engine.local.engine import LocalEngine
from core.engine.local.sockets import socket_path
from execapp.executor.breaker import CircuitBreaker
from execapp.executor.daemon import Daemon
from execapp.executor.execution_worker import starting_limits
from execapp.executor.lock import LockedError
from execapp.models import Execution, ExecutorHeartbeat
from execapp.queues import EXECUTIONS
from execapp.services import health
from sandbox import probe
from sandbox.cgroup import leases
from sandbox.errors import ConfinementError, StartupError
from sandbox.isolation import confinement, orphans, profile
from sandbox.limits import Limits
from sandbox.session import sessions
from templatemgr import data_paths, store
from templatemgr.build import builds
from templatemgr.models import Build, BuildState, Version
from tests import factories
from tests.execapp.conftest import Api, state_of, until
from tests.minimal_template import BUSY, HELLO, SLEEP, program
from tests.timeouts import HANGS_SECONDS
from tests.tiny_definition import write_definition

StartProcess = Callable[..., subprocess.Popen[str]]
LINGER = program("for (const end = Date.now() + 1500; Date.now() < end; ); console.log('done')")


def test_killed_in_the_middle_ends_exactly_once(api: Api, executor_process: StartProcess) -> None:
    process = executor_process("--slots", "1", "--warm", "0")
    made = api.submit(LINGER)
    until(lambda: state_of(made) == "running")
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    process.wait(HANGS_SECONDS)
    assert state_of(made) == "running"
    began = time.monotonic()
    executor_process("--slots", "1", "--warm", "0")
    done = api.get(f"/executions/{made['id']}?wait=60")
    assert done["state"] == "succeeded"
    assert done["attempts"] == 2
    assert done["stdout"] == "done\n"
    assert time.monotonic() - began < EXECUTIONS.lease.total_seconds(), (
        "its claim was not taken over at once"
    )


def test_killed_again_and_again_is_our_error(api: Api, executor_process: StartProcess) -> None:
    first = executor_process("--slots", "1", "--warm", "0")
    made = api.submit(SLEEP)
    for attempt in (1, 2, 3):
        until(partial(runs_as_attempt, made, attempt))
        first.send_signal(signal.SIGKILL)
        first.wait(HANGS_SECONDS)
        first = executor_process("--slots", "1", "--warm", "0")
    done = api.get(f"/executions/{made['id']}?wait=60")
    assert done["state"] == "error"
    assert done["error_id"]
    assert done["attempts"] == 3


def test_cancelled_while_the_executor_was_dead(api: Api, executor_process: StartProcess) -> None:
    process = executor_process("--slots", "1", "--warm", "0")
    made = api.submit(SLEEP)
    until(lambda: state_of(made) == "running")
    process.send_signal(signal.SIGKILL)
    process.wait(HANGS_SECONDS)
    assert api.call("POST", f"/executions/{made['id']}/cancel").status_code == 202
    executor_process("--slots", "1", "--warm", "0")
    done = api.get(f"/executions/{made['id']}?wait=60")
    assert (done["state"], done["attempts"]) == ("cancelled", 1)


def test_nothing_is_left_of_a_killed_executor(api: Api, executor_process: StartProcess) -> None:
    process = executor_process("--slots", "1", "--warm", "1")
    made = api.submit(SLEEP)
    until(lambda: state_of(made) == "running")
    process.send_signal(signal.SIGKILL)
    process.wait(HANGS_SECONDS)
    made_by = json.loads((data() / "executor.lock").read_text())["identity"]
    until(lambda: not sandboxes_of(made_by), left=lambda: commands_of(made_by))
    again = executor_process("--slots", "1", "--warm", "0", "--grace", "0.2")
    api.get(f"/executions/{made['id']}?wait=1")
    again.send_signal(signal.SIGTERM)
    again.wait(HANGS_SECONDS)
    assert leases.sweep(f"{made_by}-") == []


def test_sigterm_lets_the_running_finish(api: Api, executor_process: StartProcess) -> None:
    process = executor_process("--slots", "1", "--warm", "0", "--grace", "60")
    running, queued = api.submit(LINGER), api.submit(HELLO)
    until(lambda: state_of(running) == "running")
    process.send_signal(signal.SIGTERM)
    assert process.wait(HANGS_SECONDS) == 0
    assert state_of(running) == "succeeded"
    assert state_of(queued) == "queued"
    assert not ExecutorHeartbeat.objects.exists()
    assert not socket_path().exists()


def test_sigterm_requeues_executions_that_take_longer(
    api: Api, executor_process: StartProcess
) -> None:
    process = executor_process("--slots", "1", "--warm", "0", "--grace", "0.2")
    made = api.submit(SLEEP)
    until(lambda: state_of(made) == "running")
    process.send_signal(signal.SIGTERM)
    assert process.wait(HANGS_SECONDS) == 0
    assert state_of(made) == "queued"
    assert attempts(made) == 1


def test_one_executor_a_data_directory(start_executor: Callable[..., Daemon]) -> None:
    start_executor()
    with pytest.raises(LockedError, match="already"):
        start_executor()
    with pytest.raises(CommandError, match="already"):
        call_command("executor")


def test_identity_outlives_the_process(start_executor: Callable[..., Daemon]) -> None:
    first = start_executor()
    first.stop()
    second = start_executor()
    assert first.context.worker == second.context.worker


def test_refuses_without_isolation(current: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    finding = probe.Finding(
        id="bwrap",
        ok=False,
        level="missing",
        title="bubblewrap",
        detail="not found",
        remedy="get it",
    )
    monkeypatch.setattr(probe, "isolation_available", lambda: False)
    monkeypatch.setattr(probe, "findings", lambda: (finding,))
    with pytest.raises(CommandError, match="get it"):
        call_command("executor")


def test_never_runs_unsandboxed(current: Version, settings: Settings) -> None:
    settings.STENCIL_SANDBOX = "none"
    with pytest.raises(CommandError, match="never does that"):
        call_command("executor")


def test_the_heartbeat_shows_slots_and_load(api: Api, executor: Daemon) -> None:
    snapshot = health.snapshot()
    assert snapshot.executor_alive
    assert (snapshot.slots, snapshot.busy, snapshot.queued) == (2, 0, 0)
    made = [api.submit(BUSY) for _ in range(5)]
    until(lambda: health.snapshot().busy == 4)  # two of them are prepared
    assert health.snapshot().queued == 1
    for execution in made:
        api.call("POST", f"/executions/{execution['id']}/cancel")


def test_slots_limit_concurrent_executions(api: Api, executor: Daemon) -> None:
    computes = program("for (const end = Date.now() + 150; Date.now() < end; );")
    made = [api.submit(computes) for _ in range(6)]
    most = 0
    while any(state_of(execution) in {"queued", "running"} for execution in made):
        entries = list(executor.context.admission._running)
        most = max(most, sum(not entry._ended for entry in entries))
        time.sleep(0.01)
    assert most == 2
    assert {state_of(execution) for execution in made} == {"succeeded"}


def test_a_cold_sandbox_is_parked_and_used_by_the_next(api: Api, executor: Daemon) -> None:
    parked_pool = executor.context.parked_pool
    assert parked_pool.count() == 0
    assert api.submit(HELLO, wait=True)["state"] == "succeeded"
    until(lambda: parked_pool.count() == 1)
    made = api.submit(SLEEP)
    until(lambda: state_of(made) == "running")
    until(lambda: parked_pool.count() == 1)  # though that job lasts
    api.call("POST", f"/executions/{made['id']}/cancel")
    executor.stop()
    assert parked_pool.count() == 0
    assert orphans._marked(executor.context.worker) == []


def test_our_failure_is_an_error_with_an_id(
    api: Api, executor: Daemon, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_args: object, **_values: object) -> None:
        message = "the runner was not ready in time: host detail"
        raise StartupError(message)

    monkeypatch.setattr(sessions, "start", fail)
    done = api.submit(HELLO, wait=True)
    assert done["state"] == "error"
    assert done["error_id"] in caplog.text
    assert "host detail" in caplog.text
    assert "host detail" not in json.dumps(done)
    monkeypatch.undo()
    assert api.submit(HELLO, wait=True)["state"] == "succeeded"


def test_an_unconfined_sandbox_runs_no_submission(
    api: Api, executor: Daemon, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A trial sandbox is confined, so the template is at fault: end at once, without a retry."""
    started: list[int] = []

    def check(init: int, **_: object) -> None:
        started.append(init)
        raise ConfinementError("process 7: Uid is 0 0 0 0")

    monkeypatch.setattr(confinement, "check", check)
    monkeypatch.setattr(executor.context.breaker, "_trial", lambda: None)
    done = api.submit(HELLO, wait=True)
    assert (done["state"], done["stdout"]) == ("error", "")
    assert "did not run: a fault of the template" in done["message"]
    assert len(started) == 1
    assert f"error {done['error_id']}" in caplog.text
    assert "Uid is 0 0 0 0" in caplog.text
    monkeypatch.undo()
    assert api.submit(HELLO, wait=True)["state"] == "succeeded"


def test_a_machine_that_does_not_lock_down_claims_nothing(
    api: Api, executor: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = profile._namespaces
    monkeypatch.setattr(
        profile,
        "_namespaces",
        lambda *given: tuple(word for word in real(*given) if word != "--unshare-ipc"),
    )
    made = api.submit(HELLO)
    trouble = until(lambda: executor.context.breaker.trouble)
    assert trouble is not None
    assert "shares the host's ipc namespace" in trouble.cause
    # The breaker opens before the execution goes back to the queue.
    until(lambda: state_of(made) == "queued")
    monkeypatch.undo()
    until(lambda: state_of(made) == "succeeded")


def test_trials_of_the_breaker_continue_after_an_error(
    start_executor: Callable[..., Daemon], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def fail(_breaker: CircuitBreaker) -> None:
        calls.append(1)
        raise RuntimeError

    monkeypatch.setattr("execapp.executor.daemon.BREAKER_SECONDS", 0.01)
    monkeypatch.setattr(CircuitBreaker, "run_due_trial", fail)
    start_executor(slots=1, warm=0)
    until(lambda: len(calls) > 1)


def test_lost_wake_ups_cost_a_second(
    api: Api, executor: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalEngine, "wake", lambda _self, _kind: None)
    assert api.submit(HELLO, wait=60)["state"] == "succeeded"


def test_build_lane_takes_builds(api: Api, executor: Daemon, current: Version) -> None:
    build = factories.make_build_row(current.template, "queued")
    get_engine().wake(WakeKind.BUILD)
    # The tiny template has no definition folder: the worker must end the build, not die of it.
    until(lambda: Build.objects.filter(pk=build.pk, state=BuildState.FAILED).exists(), 240)
    assert api.submit(HELLO, wait=True)["state"] == "succeeded"


def test_as_many_builds_run_at_once_as_the_setting_says(
    start_executor: Callable[..., Daemon], current: Version, settings: Settings, tmp_path: Path
) -> None:
    settings.STENCIL_DEFINITIONS, settings.STENCIL_BUILDS = tmp_path, 2
    write_definition(tmp_path / "tiny")
    daemon = start_executor()
    downloads = data_paths.downloads("npm")
    downloads.parent.mkdir(parents=True, exist_ok=True)
    with store.locked(downloads.with_suffix(".lock")):  # no build gets past its first step
        asked = [builds.request(template="tiny", kind="rebuild", actor="ann") for _ in range(3)]
        fetching = Build.objects.filter(state=BuildState.FETCHING)
        until(lambda: fetching.count() == 2)
        until(lambda: ExecutorHeartbeat.objects.filter(builds_running=2).exists())
        assert Build.objects.filter(state=BuildState.QUEUED).count() == 1
        for build in asked:
            builds.cancel(build_id=build.pk, actor="ann")
    until(lambda: Build.objects.filter(state=BuildState.CANCELLED).count() == 3, 240)
    assert not daemon.stopped


def test_builds_of_a_dead_executor_are_interrupted(
    start_executor: Callable[..., Daemon], current: Version
) -> None:
    daemon = start_executor()
    daemon.stop()
    build = factories.make_build_row(
        current.template,
        BuildState.FETCHING,
        worker=daemon.context.worker,
        lease_until=timezone.now() + timedelta(minutes=5),
    )
    start_executor()
    build.refresh_from_db()
    assert build.state == BuildState.INTERRUPTED


def test_link_of_current_is_reconciled_at_start(
    start_executor: Callable[..., Daemon], current: Version
) -> None:
    link = data() / "templates" / "tiny" / "current"
    link.unlink()
    start_executor()
    assert str(link.readlink()) == current.directory


def test_a_cold_sandbox_starts_with_the_needs_of_its_runner() -> None:
    asked = Limits(memory_bytes=1, processes=1, disk_bytes=5, cpu_ms=7)
    started = starting_limits(asked, Limits())
    assert started.memory_bytes == Limits().memory_bytes
    assert started.processes == Limits().processes
    assert (started.disk_bytes, started.cpu_ms) == (5, 7)


def runs_as_attempt(execution: dict[str, str], attempt: int) -> bool:
    return (state_of(execution), attempts(execution)) == ("running", attempt)


def attempts(execution: dict[str, str]) -> int:
    return Execution.objects.values_list("attempt", flat=True).get(id=execution["id"])


def data() -> Path:
    return Path(conf.settings.STENCIL_DATA)


def commands_of(identity: str) -> str:
    """Return the command lines of the remaining processes, for the message of a failure."""
    found = (Path(f"/proc/{pid}/cmdline") for pid in sandboxes_of(identity))
    return "; ".join(path.read_text().replace("\0", " ")[:200] for path in found if path.exists())


def sandboxes_of(identity: str) -> list[str]:
    """Return the processes that are still in a control group of this executor."""
    found = []
    for status in Path("/proc").glob("[0-9]*/cgroup"):
        try:
            if f"stencil-{identity}-" in status.read_text():
                found.append(status.parent.name)
        except OSError:
            continue
    return found
