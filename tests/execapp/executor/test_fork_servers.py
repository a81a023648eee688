"""Kill, renew and replace fork servers: each execution ends once and right, nothing is left."""

import errno
import json
import os
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from django.conf import settings

from execapp.executor import fork_servers, warm_groups
from execapp.executor.daemon import Daemon
from execapp.executor.execution_worker import SERVER_KILLED
from execapp.executor.warm_groups import WarmGroup
from execapp.models import FINAL_STATES, Execution
from execapp.services import health
from sandbox.cgroup import leases
from sandbox.cgroup.process_tree import tree_of
from sandbox.errors import StartupError
from sandbox.forkserver.server import ForkServer
from sandbox.isolation import orphans
from sandbox.session.sessions import Session
from templatemgr import data_paths
from templatemgr.integrity import checking
from templatemgr.models import HealthState, Version, VersionHealth
from templatemgr.promotion import promotions
from tests.execapp.conftest import Api, state_of, until
from tests.execapp.executor.forking import current, make_version
from tests.forking_template import HELLO, SLEEP, program
from tests.timeouts import HANGS_SECONDS

__all__ = ["current"]
Start = Callable[..., Daemon]
SLOW = program("echo begun; sleep 1; echo ended")
MARKER = program("cat /template/marker")


def forking_group(daemon: Daemon) -> WarmGroup | None:
    groups = list(daemon.context.pool._groups.values())
    return next((group for group in groups if group.tier is not None and not group.spare), None)


def server_of(daemon: Daemon) -> ForkServer | None:
    """Return the server of the current version, once one of its sandboxes waits."""
    group = forking_group(daemon)
    return group.server.server if group and group.server and group.waiting else None


def another(daemon: Daemon, old: ForkServer) -> ForkServer:
    """Wait for a server in the place of `old`."""
    until(lambda: server_of(daemon) not in (None, old))
    found = server_of(daemon)
    assert found is not None
    return found


def parked(daemon: Daemon) -> Session:
    group = forking_group(daemon)
    assert group is not None
    return group.waiting[0].session


def children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def alive(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def pid_of(target: str, server: ForkServer, first: int) -> int:
    """Return the process id of a part: the server, or one of the two processes of a sandbox."""
    if target == "server":
        return server._process.pid
    return first if target == "first" else until(lambda: children(first))[0]


def row_of(execution: Any) -> Execution:
    return Execution.objects.get(id=execution["id"])


@pytest.fixture
def daemon(current: Version, start_executor: Start) -> Iterator[Daemon]:
    """Yield an executor whose fork server serves; at the end, nothing of it may be left."""
    before = {member.pid for member in tree_of(os.getpid())}
    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names only
    made = start_executor(slots=2, warm=1)
    until(lambda: server_of(made))
    yield made
    made.stop()
    worker = made.context.worker
    until(lambda: {member.pid for member in tree_of(os.getpid())} <= before)
    assert orphans.sweep(f"{worker}-") == []
    leases.process_leases().remove_all()
    assert list(leases._names(leases.current_hierarchy(), f"{leases.NAME_PREFIX}{worker}-")) == []
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 2  # noqa: PTH208 - names only


def test_executions_are_forked(api: Api, daemon: Daemon) -> None:
    server = server_of(daemon)
    assert server is not None
    for _ in range(5):
        done = api.submit(HELLO, wait=True)
        assert (done["state"], done["stdout"]) == ("succeeded", "hello\n")
        assert (done["timings"]["start"], done["timings"]["warm"]) == ("fork", True)
    assert server.forks >= 5
    # The next heartbeat says so; the executions may all have ended before it.
    [group] = until(lambda: [one for one in health.snapshot().groups if one.tier and one.serving])
    assert group.reason == ""


@pytest.mark.parametrize("target", ["server", "first", "second"])
def test_killed_while_a_sandbox_waits(api: Api, daemon: Daemon, target: str) -> None:
    server = server_of(daemon)
    assert server is not None
    waiting = parked(daemon)
    pid = pid_of(target, server, waiting._container.init)
    kill(pid)
    done = api.submit(HELLO, wait=True)
    assert (done["state"], done["stdout"], row_of(done).attempt) == ("succeeded", "hello\n", 1)
    if target == "server":
        another(daemon, server)
    until(lambda: not alive(waiting._container.init))
    until(lambda: server_of(daemon))
    assert api.submit(HELLO, wait=True)["timings"]["start"] == "fork"


@pytest.mark.parametrize("target", ["server", "first", "second"])
def test_killed_while_a_program_runs(api: Api, daemon: Daemon, target: str) -> None:
    server = server_of(daemon)
    assert server is not None
    first = parked(daemon)._container.init
    made = api.submit(SLOW)
    until(lambda: row_of(made).state == "running")
    until(lambda: children(until(lambda: children(first))[0]))  # the shell sleeps
    kill(pid_of(target, server, first))
    done = api.get(f"/executions/{made['id']}?wait=60")
    assert row_of(made).attempt == 1
    if target == "second":  # as in any sandbox: the program may have killed itself
        assert (done["state"], done["signal"]) == ("crashed", "SIGKILL")
    else:
        assert (done["state"], done["stdout"]) == ("succeeded", "begun\nended\n")
        timings = done["timings"]
        assert (timings["start"], timings["cold_reason"]) == ("cold", SERVER_KILLED)
    until(lambda: server_of(daemon))
    assert api.submit(HELLO, wait=True)["timings"]["start"] == "fork"


def test_a_server_killed_again_and_again_loses_nothing(api: Api, daemon: Daemon) -> None:
    """Kill it while it forks, while sandboxes wait, run and end."""
    stop = threading.Event()

    def kill_often() -> None:
        while not stop.wait(secrets.randbelow(300) / 1000):
            group = forking_group(daemon)
            if group is not None and group.server is not None:
                kill(group.server.server._process.pid)

    thread = threading.Thread(target=kill_often)
    thread.start()
    try:
        made = [api.submit(program(f"echo {n}; sleep 0.05; echo {n}")) for n in range(60)]
        until(lambda: not Execution.objects.exclude(state__in=FINAL_STATES).exists())
    finally:
        stop.set()
        thread.join()
    for number, execution in enumerate(made):
        row = row_of(execution)
        said = f"{number}\n{number}\n"
        assert (row.state, bytes(row.stdout).decode(), row.message) == ("succeeded", said, "")
    until(lambda: server_of(daemon))
    assert api.submit(HELLO, wait=True)["timings"]["start"] == "fork"


@pytest.mark.parametrize("delay", [0.0, 0.15, 0.6])
def test_a_killed_executor_leaves_nothing_and_loses_nothing(
    api: Api, executor_process: Callable[..., subprocess.Popen[str]], delay: float
) -> None:
    executor = executor_process("--slots", "2", "--warm", "1")
    until(lambda: [group.serving for group in health.snapshot().groups if group.tier] == [True])
    made = [api.submit(SLOW) for _ in range(2)]
    made += [api.submit(HELLO) for _ in range(4)]
    time.sleep(delay)
    members = [member.pid for member in tree_of(executor.pid)]
    executor.kill()
    executor.wait(HANGS_SECONDS)
    until(lambda: not any(alive(pid) for pid in members))
    again = executor_process("--slots", "2", "--warm", "1", "--grace", "5")
    done = [api.get(f"/executions/{execution['id']}?wait=60") for execution in made]
    expected = ["begun\nended\n"] * 2 + ["hello\n"] * 4
    assert [(one["state"], one["stdout"]) for one in done] == [("succeeded", x) for x in expected]
    worker = json.loads((Path(settings.STENCIL_DATA) / "executor.lock").read_text())["identity"]
    again.send_signal(signal.SIGTERM)
    again.wait(HANGS_SECONDS)
    assert leases.sweep(f"{worker}-") == []
    assert orphans.sweep(f"{worker}-") == []


def test_a_promotion_ends_the_old_server(
    api: Api, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm_groups, "ROLLBACK_WITHIN", timedelta(0))
    server = server_of(daemon)
    assert server is not None
    waiting = parked(daemon)
    assert api.submit(MARKER, wait=True)["stdout"] == "1"
    make_version(2)
    promotions.promote(template="tiny", version=2, actor="ann", reason="newer")
    assert api.submit(MARKER, wait=True)["stdout"] == "2"
    until(lambda: not alive(server._process.pid))
    assert not waiting.alive
    second = another(daemon, server)
    done = api.submit(MARKER, wait=True)
    assert (done["stdout"], done["timings"]["start"]) == ("2", "fork")
    promotions.roll_back(template="tiny", actor="ann", reason="worse")
    assert api.submit(MARKER, wait=True)["stdout"] == "1"
    another(daemon, second)
    done = api.submit(MARKER, wait=True)
    assert (done["stdout"], done["timings"]["start"]) == ("1", "fork")


def test_a_running_program_survives_a_promotion(
    api: Api, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm_groups, "ROLLBACK_WITHIN", timedelta(0))
    server = server_of(daemon)
    assert server is not None
    made = api.submit(SLOW)
    until(lambda: row_of(made).state == "running")
    make_version(2)
    promotions.promote(template="tiny", version=2, actor="ann", reason="newer")
    another(daemon, server)
    done = api.get(f"/executions/{made['id']}?wait=60")
    assert (done["state"], done["timings"]["start"]) == ("succeeded", "fork")
    until(lambda: not alive(server._process.pid))


def test_a_quarantine_ends_the_server(api: Api, daemon: Daemon) -> None:
    server = server_of(daemon)
    assert server is not None
    waiting = parked(daemon)
    VersionHealth.objects.update(state=HealthState.QUARANTINED)
    until(lambda: not alive(server._process.pid) and not waiting.alive)


def test_a_failed_verification_ends_the_server(api: Api, daemon: Daemon, current: Version) -> None:
    server = server_of(daemon)
    assert server is not None
    waiting = parked(daemon)
    marker = data_paths.version(current) / "tree/marker"
    marker.chmod(0o644)
    marker.write_text("damaged")
    checking.verify(template="tiny", version=1, actor="ann")
    assert VersionHealth.objects.get().state != HealthState.VERIFIED
    assert api.call("POST", "/executions", MARKER.body()).status_code >= 400
    until(lambda: not alive(server._process.pid) and not waiting.alive)


def test_nothing_of_an_old_epoch_is_served(api: Api, daemon: Daemon) -> None:
    server = server_of(daemon)
    assert server is not None
    # Quarantined and healed faster than the pool looks: it never sees the state between.
    VersionHealth.objects.update(epoch=1)
    forks = server.forks
    assert api.submit(HELLO, wait=True)["timings"]["start"] == "cold"
    assert server.forks == forks
    another(daemon, server)
    until(lambda: not alive(server._process.pid))
    assert api.submit(HELLO, wait=True)["timings"]["start"] == "fork"


def test_a_server_without_a_job_is_not_renewed(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = server_of(daemon)
    assert server is not None
    monkeypatch.setattr(fork_servers, "MOST_SECONDS", 0.0)
    daemon.context.pool.look()
    time.sleep(1.5)  # longer than the pool waits between two looks
    assert server_of(daemon) is server


def test_a_sandbox_that_nobody_takes_does_not_keep_a_worn_server_alive(
    api: Api, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.submit(HELLO, wait=True)
    until(lambda: server_of(daemon))
    old = server_of(daemon)
    assert old is not None
    monkeypatch.setattr(fork_servers, "MOST_SECONDS", 0.0)
    new = another(daemon, old)
    until(lambda: not alive(old._process.pid))
    assert server_of(daemon) is new


def test_an_error_of_the_machine_does_not_cost_the_server(
    api: Api, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    until(lambda: server_of(daemon))
    server = server_of(daemon)
    failing = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    parked(daemon).close()  # so that the execution asks the server
    with monkeypatch.context() as patch:
        patch.setattr(ForkServer, "_fork", Mock(side_effect=failing))
        assert api.submit(HELLO, wait=True)["timings"]["start"] == "cold"
        group = forking_group(daemon)
        assert group is not None
        assert group.server is not None
        assert (group.server.server, group.failures) == (server, 0)
    until(lambda: server_of(daemon) is server)  # another sandbox waits
    assert api.submit(HELLO, wait=True)["timings"]["start"] == "fork"


@pytest.mark.parametrize("reason", ["forks", "time", "growth"])
def test_a_worn_server_is_renewed_while_a_program_runs(
    api: Api, daemon: Daemon, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    server = server_of(daemon)
    assert server is not None
    made = api.submit(program("echo begun; sleep 2; echo ended"))
    until(lambda: row_of(made).state == "running")
    with monkeypatch.context() as patch:
        if reason == "forks":
            patch.setattr(fork_servers, "MOST_FORKS", 1)
        elif reason == "time":
            patch.setattr(fork_servers, "MOST_SECONDS", 0.0)
        else:
            group = forking_group(daemon)
            assert group is not None
            assert group.server is not None
            group.server.memory_bytes = -(2**40)
        until(
            lambda: (
                (group := forking_group(daemon))
                and group.server
                and group.server.server is not server
            )
        )
    for _ in range(3):
        assert api.submit(HELLO, wait=True)["stdout"] == "hello\n"
    assert alive(server._process.pid)  # the program still runs
    done = api.get(f"/executions/{made['id']}?wait=60")
    assert (done["state"], done["stdout"]) == ("succeeded", "begun\nended\n")
    assert done["timings"]["start"] == "fork"
    # The sandbox that it had forked before may wait for an execution.
    for _ in range(2):
        api.submit(HELLO, wait=True)
    until(lambda: not alive(server._process.pid))


def test_a_server_that_fails_its_trial_does_not_serve(
    api: Api, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm_groups, "ROLLBACK_WITHIN", timedelta(0))
    make_version(2, smoke_says="something else")
    promotions.promote(template="tiny", version=2, actor="ann", reason="newer")
    until(lambda: (group := forking_group(daemon)) and group.version == 2 and group.failures)
    done = api.submit(MARKER, wait=True)
    assert (done["stdout"], done["timings"]["start"] != "fork") == ("2", True)
    until(lambda: any(g.version == 2 and g.reason for g in health.snapshot().groups))
    [group] = [group for group in health.snapshot().groups if group.tier and group.version == 2]
    assert not group.serving
    assert group.reason.startswith("smoke case ")
    assert ", forked: " in group.reason
    until(lambda: api.submit(MARKER, wait=True)["timings"]["start"] == "warm")


def test_cancel_ends_a_forked_program(api: Api, daemon: Daemon) -> None:
    made = api.submit(SLEEP)
    until(lambda: row_of(made).state == "running")
    api.call("POST", f"/executions/{made['id']}/cancel")
    until(lambda: row_of(made).state == "cancelled")


@pytest.mark.parametrize("when", ["idle", "forking"])
def test_server_dies_while_the_machine_starts_no_sandbox(
    api: Api, daemon: Daemon, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """The breaker then ends all warm sandboxes, which needs the pool's lock."""
    server = server_of(daemon)
    assert server is not None
    breaker = daemon.context.breaker
    trial = Mock(side_effect=OSError(errno.EMFILE, "Too many open files"))
    with monkeypatch.context() as patched:
        patched.setattr(breaker, "_trial", trial)
        if when == "idle":
            kill(server._process.pid)
        else:
            patched.setattr(server, "fork", Mock(side_effect=StartupError("it cannot fork")))
            daemon.context.pool.shed()
            daemon.context.pool.refill()
        until(lambda: breaker.trouble)
        submitted = api.submit(HELLO)
    until(lambda: state_of(submitted) in FINAL_STATES)
    assert row_of(submitted).state == "succeeded"
    until(lambda: server_of(daemon) not in (None, server))
