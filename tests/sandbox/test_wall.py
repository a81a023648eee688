"""Test the wall limit: the wait for a processor is not counted, and it cannot be made longer."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.cgroup import leases, run_delay
from sandbox.cgroup.groups import Group, GroupV2
from sandbox.cgroup.no_group import NoGroup
from sandbox.cgroup.run_delay import Delays
from sandbox.session import job
from sandbox.session.outcome import State
from sandbox.session.sessions import start
from sandbox.session.wall import BASE_AFTER, MOST_EXTENSION, WallClock
from tests.sandbox.conftest import Run
from tests.sandbox.node_tree import LIMITS, program, tree_for, with_limits

CORES = len(os.sched_getaffinity(0))
PRESSURE = """\
some avg10=0.00 avg60=0.00 avg300=0.00 total=9000
full avg10=0.00 avg60=0.00 avg300=0.00 total=2500
"""


class Waiting(NoGroup):
    """A group whose tasks have waited this long."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: Delays = {"1": 0.0}

    def delays(self) -> Delays:
        return self.waited


def clock(group: Group, *, cores: int = 1) -> WallClock:
    made = WallClock(group, began=100.0, limit_ms=1000, cores=cores)
    made.look(100 + 2 * BASE_AFTER)
    return made


def test_pressure_is_that_of_the_whole_group() -> None:
    assert run_delay.of_group(PRESSURE) == {"group": 2.5}
    assert run_delay.of_group(PRESSURE.splitlines()[0]) is None


def test_the_longest_wait_of_one_task_counts() -> None:
    before = {"1": 10.0, "2": 500.0}
    assert run_delay.longest({"1": 40.0, "2": 510.0, "3": 5.0}, before) == 30
    assert run_delay.longest({}, before) == 0


def test_the_deadline_moves_by_the_wait_alone() -> None:
    group = Waiting()
    wall = clock(group)
    group.waited = {"1": 400.0}
    assert not wall.over(100.9, 0)
    assert wall.deadline == 101
    assert not wall.over(101.0, 0)
    assert wall.deadline == pytest.approx(101.4)
    assert wall.over(101.4, 0)


def test_without_a_wait_the_deadline_stays() -> None:
    wall = clock(Waiting())
    assert wall.over(101.0, 0)


def test_a_wait_before_the_first_reading_is_not_credited() -> None:
    group = Waiting()
    group.waited = {"1": 4000.0}
    wall = clock(group)
    assert wall.over(101.0, 0)
    short = WallClock(group, began=100.0, limit_ms=20, cores=1)
    assert short.over(100.02, 0)


def test_the_extension_is_bounded() -> None:
    group = Waiting()
    wall = clock(group)
    group.waited = {"1": 1e9}
    now, extensions = 101.0, 0
    while not wall.over(now, 0):
        now, extensions = wall.deadline, extensions + 1
        assert extensions < 20
    assert now == pytest.approx(101 + MOST_EXTENSION)


def test_threads_that_fill_the_cores_have_not_waited() -> None:
    """Each of fifty threads waits nearly all the time, but the program uses both cores."""
    group = Waiting()
    wall = clock(group, cores=2)
    group.waited = {str(number): 950.0 for number in range(50)}
    assert wall.over(101.0, cpu_ms=2000)


@pytest.mark.parametrize("kind", ["the pressure", "the tasks"])
def test_a_v2_group_reads_its_pressure_or_its_tasks(tmp_path: Path, kind: str) -> None:
    (tmp_path / "cgroup.procs").write_text(str(os.getpid()))
    if kind == "the pressure":
        (tmp_path / "cpu.pressure").write_text(PRESSURE)
        assert GroupV2(tmp_path).delays() == {"group": 2.5}
    else:
        assert str(threading.get_native_id()) in GroupV2(tmp_path).delays()


@contextlib.contextmanager
def hogs(count: int) -> Iterator[None]:
    """Burn every core with `count` processes each, outside of any sandbox's group."""
    pids = []
    for _ in range(count * CORES):
        pid = os.fork()
        if pid == 0:
            os.setsid()  # the scheduler gives each session the share of one process
            while True:
                pass
        pids.append(pid)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


class Clock(WallClock):
    """A wall clock that tells when it began."""

    def __init__(self, group: Group, *, began: float, limit_ms: int, cores: int) -> None:
        super().__init__(group, began=began, limit_ms=limit_ms, cores=cores)
        self.began = began


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> list[Clock]:
    """Return the clocks of the runs, in order: how long a run took says more about the machine."""
    made: list[Clock] = []

    def make(group: Group, *, began: float, limit_ms: int, cores: int) -> Clock:
        made.append(Clock(group, began=began, limit_ms=limit_ms, cores=cores))
        return made[-1]

    monkeypatch.setattr(job, "WallClock", make)
    return made


# 900 ms of CPU time, in a loop that reads its own clock.
_COMPUTES = """
const until = (ms) => { while (process.cpuUsage().user + process.cpuUsage().system < ms * 1000); };
until(900); console.log('done');
"""


def test_a_program_that_was_made_to_wait_gets_its_time(run: Run) -> None:
    with hogs(3):
        outcome = run(_COMPUTES, wall_ms=1200, cpu_ms=5000)
    assert outcome.state is State.SUCCEEDED
    assert outcome.run_ms > 1200, "the machine had free cores: nothing was tested"


def test_fifty_threads_cannot_extend_their_life(run: Run, clocks: list[Clock]) -> None:
    code = """
        import { Worker } from "node:worker_threads";
        for (let n = 0; n < 50; n++) new Worker("for (;;);", { eval: true });
    """
    outcome = run(code, wall_ms=1000, cpu_ms=60_000, processes=200, memory_bytes=1 << 31)
    assert outcome.state is State.TIMED_OUT
    assert clocks[-1].deadline - clocks[-1].began <= 1 + MOST_EXTENSION


def test_a_program_that_sleeps_is_stopped_in_time_on_a_busy_machine(
    run: Run, clocks: list[Clock]
) -> None:
    with hogs(2):
        outcome = run("setInterval(() => {}, 1e6)", wall_ms=1000)
    assert outcome.state is State.TIMED_OUT
    # Node itself waited for its turns while it started: tens of milliseconds, not another limit.
    assert clocks[-1].deadline - clocks[-1].began < 2


class Readings:
    """A meter that keeps what it receives."""

    def __init__(self) -> None:
        self.began: list[float] = []
        self.seen: list[float] = []

    def begun(self, now: float) -> None:
        self.began.append(now)

    def waits(self) -> None:
        pass

    def measured(self, cpu_ms: float, now: float) -> None:
        assert now >= self.began[0]
        self.seen.append(cpu_ms)


def test_the_meter_sees_the_run_and_an_exclusive_one_has_a_larger_share(
    tree_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = start(tree_for(tree_root, "run"), LIMITS, slot="adhoc-test")
    group, meter = session._container.group, Readings()
    favoured: list[str] = []
    monkeypatch.setattr(group, "favour", lambda: favoured.append("once"))
    outcome = session.deliver(
        program("setTimeout(() => {}, 300)"), LIMITS, meter=meter, exclusive=True
    )
    assert outcome.state is State.SUCCEEDED
    assert len(meter.began) == 1
    assert len(meter.seen) > 3
    assert meter.seen == sorted(meter.seen)
    assert favoured == ["once"]


def test_running_sandboxes_have_equal_shares_in_force(tree_root: Path) -> None:
    """Each sandbox's processes are in a group of the `cpu` controller, with the usual weight."""
    if leases.current_hierarchy().kind == "none":  # `doctor` says "weaker"
        return
    sessions = [start(tree_for(tree_root, "run"), with_limits(), slot="adhoc-test") for _ in "ab"]
    try:
        found = [_shares(session._container.init) for session in sessions]
        assert len({group for group, _ in found}) == 2
        assert {share for _, share in found} == {"1024"} or {s for _, s in found} == {"100"}
        sessions[0]._container.group.favour()
        assert int(_shares(sessions[0]._container.init)[1]) == 8 * int(found[1][1])
    finally:
        for session in sessions:
            session.close()
    again = start(tree_for(tree_root, "run"), with_limits(), slot="adhoc-test")
    try:
        assert _shares(again._container.init)[1] == found[1][1], "the next one keeps the share"
    finally:
        again.close()


def _shares(pid: int) -> tuple[str, str]:
    """Return a process's group of the `cpu` controller, and its weight there."""
    lines = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    by_name = {name: path for _, names, path in lines for name in names.split(",")}
    hierarchy = leases.current_hierarchy()
    if hierarchy.kind == "v2":
        place = hierarchy.place("unified")
        assert place is not None
        name = by_name[""].rpartition("/")[2]
        return name, (place / name / "cpu.weight").read_text().strip()
    place = hierarchy.place("cpu") or hierarchy.place("cpuacct")
    assert place is not None
    name = by_name["cpu"].rpartition("/")[2]
    return name, (place / name / "cpu.shares").read_text().strip()
