"""Class 15: cancel and kill one sandbox at every step.

tests/execapp tests the service (claims, leases, requeues) when an executor dies.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from sandbox.cgroup import leases
from sandbox.errors import LostError, SandboxError, StartupError, UsedError
from sandbox.isolation import process
from sandbox.session.outcome import State
from sandbox.session.sessions import Session
from tests.attacks.attack import LIMITS, PRELUDE
from tests.attacks.testbed import Arena
from tests.sandbox.node_tree import tree_for
from tests.timeouts import HANGS_SECONDS

SPIN = "fs.writeSync(1, 'begun'); for (;;);"


def session(arena: Arena) -> Session:
    return arena.start(tree_for(arena.tree, "run"))


@pytest.mark.parametrize("after_ms", [0, 1, 20, 60, 120, 250])
def test_cancelling_at_any_moment_ends_it(after_ms: int, arena: Arena) -> None:
    """Cancel before the start (0), while starting and while running.

    A cancel before the delivery takes effect right after it.
    """
    cancel = threading.Event()
    timer = threading.Timer(after_ms / 1000, cancel.set)
    timer.start()
    with arena.neighbour():
        job = arena.job(PRELUDE + SPIN)
        outcome = arena.execute(tree_for(arena.tree, "run"), job, cancel=cancel)
    timer.join()
    assert outcome.state == State.CANCELLED
    assert outcome.run_ms < LIMITS.wall_ms


@pytest.mark.parametrize("after_ms", [40, 55, 70, 85, 100])
def test_cancelling_at_the_end_gives_cancelled_or_succeeded(after_ms: int, arena: Arena) -> None:
    cancel = threading.Event()
    timer = threading.Timer(after_ms / 1000, cancel.set)
    timer.start()
    job = arena.job("setTimeout(() => {}, 10)")
    outcome = arena.execute(tree_for(arena.tree, "run"), job, cancel=cancel)
    timer.join()
    assert outcome.state in (State.CANCELLED, State.SUCCEEDED)


def test_a_second_cancel_changes_nothing(arena: Arena) -> None:
    cancel = threading.Event()
    timers = [threading.Timer(0.15, cancel.set) for _ in range(2)]
    for timer in timers:
        timer.start()
    job = arena.job(PRELUDE + SPIN)
    outcome = arena.execute(tree_for(arena.tree, "run"), job, cancel=cancel)
    for timer in timers:
        timer.join()
    assert outcome.state == State.CANCELLED


def test_closing_concurrently_from_other_threads_is_harmless(arena: Arena) -> None:
    waiting = session(arena)
    closers = [threading.Thread(target=waiting.close) for _ in range(8)]
    for closer in closers:
        closer.start()
    for closer in closers:
        closer.join()
    assert not waiting.alive
    with pytest.raises(UsedError):
        waiting.deliver(arena.job(""), LIMITS)


def test_a_second_delivery_at_the_same_time_is_refused(arena: Arena) -> None:
    used = session(arena)
    found: list[object] = []

    def deliver() -> None:
        try:
            found.append(used.deliver(arena.job(PRELUDE + "say('once');"), LIMITS).state)
        except SandboxError as error:
            found.append(type(error))

    threads = [threading.Thread(target=deliver) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, found)) == sorted(map(str, [State.SUCCEEDED, *[UsedError] * 3]))


def test_a_runner_killed_while_it_waits_is_an_internal_error(arena: Arena) -> None:
    waiting = session(arena)
    process.send_kill(waiting._container.init_pidfd)
    assert waiting._container.child.dead(5)
    with pytest.raises(StartupError):
        waiting.deliver(arena.job(""), LIMITS)


@pytest.mark.parametrize("whom", ["bubblewrap", "the first process", "everything in the group"])
def test_a_runner_killed_while_it_runs_ends_the_execution(whom: str, arena: Arena) -> None:
    running = session(arena)
    container = running._container

    def kill() -> None:
        if whom == "bubblewrap":
            container.child.kill()
        elif whom == "the first process":
            process.send_kill(container.init_pidfd)
        else:
            for pid in container.group.pids():
                with suppress(ProcessLookupError):  # another killed process took it down first
                    os.kill(pid, signal.SIGKILL)

    timer = threading.Timer(0.15, kill)
    timer.start()
    with arena.neighbour():
        if arena.way == "forked":  # nobody knows how the command ended: its sandbox told it
            with pytest.raises(LostError):
                running.deliver(arena.job(PRELUDE + SPIN), LIMITS)
        else:
            outcome = running.deliver(arena.job(PRELUDE + SPIN), LIMITS)
            assert outcome.state == State.CRASHED
            assert outcome.stdout.data in (b"begun", b"")
    timer.join()


HOST = """
import sys, time
from pathlib import Path
from sandbox.session import sessions
from tests.attacks.attack import LIMITS
from tests.sandbox.node_tree import program, tree_for
tree = tree_for(Path(sys.argv[1]), "run")
step = sys.argv[2]
if step == "starting":
    print("ready", flush=True)
session = sessions.start(tree, LIMITS, slot="attack")
if step == "waiting":
    print("ready", flush=True)
    time.sleep(20)
session.deliver(program("console.log('x'); for (;;);"), LIMITS,
                on_output=lambda *_: print("ready", flush=True))
"""


@pytest.mark.parametrize("step", ["starting", "waiting", "running"])
@pytest.mark.started
def test_when_the_host_process_is_killed_its_sandboxes_die(step: str, arena: Arena) -> None:
    """Send SIGKILL to the host process: no process stays, and the next start sweeps its groups."""
    victim = subprocess.Popen(
        [sys.executable, "-c", HOST, str(arena.tree), step],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert victim.stdout is not None
    with victim.stdout as said:
        assert said.readline() == b"ready\n"
        time.sleep(0.01)
        victim.kill()
        victim.wait(HANGS_SECONDS)
    mine = f"{leases.NAME_PREFIX}attack-{victim.pid}-"
    deadline = time.monotonic() + HANGS_SECONDS
    while living(mine) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not living(mine)
    leases.sweep(f"attack-{victim.pid}-")
    assert not [folder for folder in folders() if mine in str(folder)]


def folders() -> list[Path]:
    places = [place for _, place in leases.current_hierarchy().places]
    return [path for place in places for path in place.glob(f"{leases.NAME_PREFIX}*")]


def living(name: str) -> list[str]:
    found = []
    for folder in folders():
        if name in str(folder):
            found += (folder / "cgroup.procs").read_text().split()
    return found
