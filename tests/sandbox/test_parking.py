"""Test parked bubblewraps: they run nothing while parked, and their sandboxes do not differ."""

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from sandbox.cgroup import leases
from sandbox.cgroup.hierarchy import Hierarchy
from sandbox.cgroup.no_group import NoGroup
from sandbox.errors import IsolationUnavailableError
from sandbox.isolation import orphans, process
from sandbox.isolation.container import Container
from sandbox.isolation.launch import (
    ParkedSandbox,
    ParkingKey,
    Shares,
    launch,
    park,
    parking_key,
    starts_as_root,
)
from sandbox.isolation.parking import ParkedPool
from sandbox.isolation.profile import HOSTS, Profile, Tmpfs, options
from sandbox.limits import MIB
from sandbox.session.outcome import State
from sandbox.session.sessions import start
from tests.sandbox.node_tree import program, tree_for, with_limits
from tests.timeouts import HANGS_SECONDS

SLOT = f"parked_pool{os.getpid()}"
SHARES = Shares(
    memory_bytes=64 * MIB,
    processes=9,
    rlimits={resource.RLIMIT_NOFILE: 77, resource.RLIMIT_FSIZE: 4 * MIB},
)


def inside(script: str, **environment: str) -> Profile:
    return Profile(
        command=("/usr/bin/bash", "-c", script),
        directory="/tmp",
        environment=environment,
        tmpfs=(Tmpfs(at="/tmp", size_bytes=8 * MIB),),
        files={"/etc/hosts": HOSTS},
    )


def park_one(profile: Profile, slot: str = SLOT) -> ParkedSandbox:
    return park(parking_key(profile, channel=False), slot=slot)


def go(profile: Profile, *, parked: ParkedSandbox | None, slot: str = SLOT) -> Container:
    shares = SHARES
    if leases.process_leases().hierarchy.kind == "none":  # counts by user, other tests too
        shares = replace(SHARES, processes=999)
    return launch(profile, shares, slot=slot, startup_ms=60_000, channel=False, parked=parked)


def said(container: Container) -> str:
    """Return the whole output of the program after its end."""
    try:
        text = b""
        while data := os.read(container.stdout, 65536):
            text += data
        assert container.child.dead(HANGS_SECONDS)
        return text.decode()
    finally:
        container.close()


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + HANGS_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def gone(pid: int) -> bool:
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


def waits(parked_pool: ParkedPool, count: int) -> bool:
    return parked_pool.count() == count


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture(params=["as here", "none"])
def group_kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run the test with the control groups of this machine, and without any."""
    if request.param == "none":
        monkeypatch.setattr(leases, "_leases", leases.Leases(Hierarchy(kind="none")))
    yield
    if request.param == "none":
        leases.process_leases().remove_all()


@pytest.mark.usefixtures("group_kind")
def test_a_parked_sandbox_has_no_namespaces_and_no_children() -> None:
    parked = park_one(inside("echo began; sleep 60"))
    try:
        table = Path(f"/proc/{parked.child.pid}/task/{parked.child.pid}/children")
        until(lambda: "pipe" in Path(f"/proc/{parked.child.pid}/wchan").read_text())
        assert parked.alive()
        assert table.read_text() == ""
        maker = process._spawner.thread.submit(threading.get_native_id).result()
        for space in ("mnt", "net", "pid", "uts"):  # under root, the spawner has its own mounts
            theirs = Path(f"/proc/{parked.child.pid}/ns/{space}").readlink()
            assert theirs == Path(f"/proc/self/task/{maker}/ns/{space}").readlink()
            if space != "mnt" or not starts_as_root():
                assert theirs == Path(f"/proc/self/ns/{space}").readlink()
        assert parked.group.pids() == [parked.child.pid]
    finally:
        parked.close()
    assert gone(parked.child.pid)
    assert parked.group.pids() == []


@pytest.mark.usefixtures("group_kind")
@pytest.mark.parametrize("ahead", [True, False])
def test_limits_hold_from_the_first_instruction(ahead: bool) -> None:
    profile = inside("ulimit -n; ulimit -f; cat /proc/self/cgroup; cat /proc/1/cgroup")
    parked = park_one(profile) if ahead else None
    container = go(profile, parked=parked)
    files, blocks, *groups = said(container).splitlines()
    assert (files, blocks) == ("77", str(4 * MIB // 1024))
    assert container.group is parked.group if parked else True
    if container.group.kind != "none":
        assert not any("stencil" in line for line in groups)  # the name of the group is not visible


@pytest.mark.parametrize("ahead", [True, False])
def test_the_number_of_processes_is_bounded_parked_or_not(ahead: bool) -> None:
    profile = inside("for n in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 60 & done; echo no; exit 0")
    slot = f"{SLOT}-{ahead}"  # a new group: zombies of another test would count
    container = go(profile, parked=park_one(profile, slot) if ahead else None, slot=slot)
    try:
        if container.group.kind == "none":
            return  # there, the limit counts by user
        until(lambda: len(container.group.pids()) >= SHARES.processes + 1)
        assert b"Resource temporarily" in os.read(container.stderr, 65536)
        # One more than the limit inside: bubblewrap's own process, which waits outside.
        assert len(container.group.pids()) == SHARES.processes + 1
        assert container.child.pid in container.group.pids()
    finally:
        container.close()


@pytest.mark.usefixtures("group_kind")
def test_a_memory_limit_ends_a_sandbox_that_was_parked(tree_root: Path) -> None:
    parked_pool = ParkedPool(slot=SLOT)
    parked_pool.start()
    try:
        tree, limits = tree_for(tree_root, "run"), with_limits(memory_bytes=128 * MIB)
        hog = "const kept = []; for (;;) kept.push(Buffer.alloc(1 << 20, 1));"
        for number in range(2):
            until(partial(waits, parked_pool, number))
            session = start(tree, limits, slot=SLOT, cold=True, parked_pool=parked_pool)
            outcome = session.deliver(program(hog), limits)
            assert outcome.state is State.OUT_OF_MEMORY
            parked_pool.refill()
    finally:
        parked_pool.close()


@pytest.mark.usefixtures("group_kind")
def test_the_exit_of_a_parked_sandbox_is_reported_as_of_another(tree_root: Path) -> None:
    parked_pool = ParkedPool(slot=SLOT)
    parked_pool.start()
    try:
        tree, limits = tree_for(tree_root, "run"), with_limits()
        for number, code in enumerate(("process.exit(7)", "process.kill(process.pid, 'SIGSEGV')")):
            until(partial(waits, parked_pool, number))
            session = start(tree, limits, slot=SLOT, cold=True, parked_pool=parked_pool)
            outcome = session.deliver(program(code), limits)
            assert (outcome.exit_code, outcome.signal) == ((7, None), (None, "SIGSEGV"))[number]
            parked_pool.refill()
    finally:
        parked_pool.close()


def test_killing_the_group_ends_the_outer_process_too() -> None:
    profile = inside("sleep 60")
    container = go(profile, parked=park_one(profile))
    try:
        if container.group.kind == "none":
            container.kill()
        container.group.kill()
        assert container.child.dead(HANGS_SECONDS)
        until(partial(gone, container.init))
    finally:
        container.close()


PARKS = """
import sys
from sandbox.isolation.launch import ParkingKey, park
key = ParkingKey(command=("/usr/bin/bash", "-c", "echo x"), files=3, channel=True)
parked = park(key, slot=sys.argv[1])
print(parked.child.pid, flush=True)
input()
"""


def test_parked_sandboxes_end_when_their_process_is_killed() -> None:
    slot = f"gone{os.getpid()}"
    with subprocess.Popen(
        [sys.executable, "-c", PARKS, slot], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert not gone(pid)
        names = [f"stencil-{slot}-{parent.pid}-0"]
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    until(lambda: gone(pid))  # the sandbox ends by itself: it has not read all options
    assert leases.sweep(slot) == ([] if leases.current_hierarchy().kind == "none" else names)
    assert orphans.sweep(slot) == []


@pytest.mark.parametrize("kept", [0, 100, -1])
def test_incomplete_options_start_no_sandbox(kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut the options, as if the writer were killed: without the last one, no sandbox starts."""
    monkeypatch.setattr("sandbox.isolation.launch.profile.options", cut(kept))
    with pytest.raises(IsolationUnavailableError, match="cannot isolate here: bwrap: "):
        go(inside("echo began"), parked=None)


def cut(kept: int) -> Callable[..., tuple[str, ...]]:
    whole = options
    return lambda *given: whole(*given)[:kept]


def test_options_are_not_visible_in_any_command_line() -> None:
    profile = inside("cat /proc/1/cmdline /proc/self/cmdline; sleep 60", TOKEN="sesame")
    container = go(profile, parked=park_one(profile))
    try:
        seen = os.read(container.stdout, 65536)
        seen += Path(f"/proc/{container.child.pid}/cmdline").read_bytes()
        seen += Path(f"/proc/{container.init}/cmdline").read_bytes()
        assert b"--args" in seen
        assert b"sesame" not in seen
        assert b"--ro-bind" not in seen
    finally:
        container.close()


def test_a_parked_sandbox_with_another_key_is_refused_and_ended() -> None:
    parked = park_one(inside("echo one"))
    with pytest.raises(ValueError, match="parked for"):
        go(inside("echo another"), parked=parked)
    assert gone(parked.child.pid)


def test_many_parked_sandboxes_leak_no_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = inside("exit 0")
    monkeypatch.setattr(
        sys.modules[__name__], "SHARES", replace(SHARES, processes=999)
    )  # zombies count
    said(go(profile, parked=park_one(profile)))
    before = open_descriptors()
    for number in range(200):
        parked = park_one(profile)
        if number % 4 == 3:
            parked.close()
        else:
            go(profile, parked=parked).close()
    assert open_descriptors() == before


def test_dead_parked_sandboxes_are_replaced_without_a_log_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    key = ParkingKey(command=("/usr/bin/bash",), files=3, channel=False)
    parked_pool = ParkedPool(slot=SLOT)
    parked_pool.start()
    try:
        assert parked_pool.take(key) is None
        parked_pool.refill()
        until(partial(waits, parked_pool, 1))
        [first] = orphans._marked(SLOT)
        os.kill(first, signal.SIGKILL)
        until(lambda: orphans._marked(SLOT) not in ([], [first]))  # the pool replaces it by itself
        [second] = orphans._marked(SLOT)
        os.kill(second, signal.SIGKILL)
        until(lambda: gone(second))
        taken = parked_pool.take(key)  # the pool may have replaced it already
        assert taken is None or taken.child.pid != second
        if taken is not None:
            taken.close()
    finally:
        parked_pool.close()
    assert caplog.records == []
    assert orphans._marked(SLOT) == []


def test_only_recently_used_keys_are_kept() -> None:
    keys = [ParkingKey(command=(name,), files=3, channel=False) for name in "abc"]
    parked_pool = ParkedPool(slot=SLOT, most=2)
    parked_pool.start()
    try:
        for key in keys:
            assert parked_pool.take(key) is None
        parked_pool.refill()
        until(partial(waits, parked_pool, 2))
        assert list(parked_pool._parked) == keys[1:]
    finally:
        parked_pool.close()
    assert parked_pool.count() == 0


def test_without_groups_the_outer_process_is_watched_too() -> None:
    group = NoGroup()
    group.empty()
    group.add(os.getpid())
    group.begin(memory_bytes=1 << 40, processes=5)
    assert os.getpid() in group.pids()
