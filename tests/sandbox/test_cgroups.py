"""Test control groups: detection from /proc, counters, leases and leftover groups."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sandbox.cgroup import groups, leases, no_group
from sandbox.cgroup.groups import GroupV1, GroupV2
from sandbox.cgroup.hierarchy import Hierarchy, detect, parse_membership, parse_mounts
from sandbox.cgroup.no_group import NoGroup
from sandbox.cgroup.process_tree import all_sleep, parse_stat, tree_of
from sandbox.errors import LimitsError

MOUNTS_V1 = """\
cgroup {0}/cpuacct,cpu cgroup rw,cpu,cpuacct 0 0
cgroup {0}/memory cgroup rw,memory 0 0
cgroup {0}/pids cgroup rw,pids 0 0
cgroup2 {0}/unified cgroup2 rw 0 0
"""


def fake_proc(root: Path, mounts: str, own: str) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/mounts").write_text(mounts)
    (root / "proc/self/cgroup").write_text(own)
    return root / "proc"


def fake_v2(root: Path, controllers: str = "cpu memory pids") -> Path:
    base = root / "sys/fs/cgroup/unit.service"
    base.mkdir(parents=True)
    (base / "cgroup.controllers").write_text(controllers)
    (base / "cgroup.subtree_control").write_text("memory pids")
    return base


def test_mounts_and_membership_are_read() -> None:
    mounts = parse_mounts(MOUNTS_V1.format("/c"))
    assert mounts.unified == Path("/c/unified")
    assert mounts.controllers["cpuacct"] == Path("/c/cpuacct,cpu")
    own = parse_membership("4:memory:/a:b\n2:cpu,cpuacct:/x\n0::/unit\n")
    assert own == {"memory": "/a:b", "cpu": "/x", "cpuacct": "/x", "": "/unit"}


def test_delegated_v2_is_preferred(tmp_path: Path) -> None:
    base = fake_v2(tmp_path)
    mounts = f"cgroup2 {tmp_path}/sys/fs/cgroup cgroup2 rw 0 0\n"
    found = detect(fake_proc(tmp_path, mounts, "0::/unit.service\n"))
    assert (found.kind, found.place("unified")) == ("v2", base)


@pytest.mark.parametrize(
    ("own", "beside"),
    [
        ("stencil-w-build0-helper-12-0", True),
        ("stencil-executor.service", False),  # a unit's name and the delegated folder
        ("stencil-host-1", False),
    ],
)
def test_a_helper_makes_its_groups_beside_its_own(tmp_path: Path, own: str, beside: bool) -> None:
    base = fake_v2(tmp_path)
    (base / own).mkdir()
    for name in ("cgroup.controllers", "cgroup.subtree_control"):
        (base / own / name).write_text("memory pids")
    mounts = f"cgroup2 {tmp_path}/sys/fs/cgroup cgroup2 rw 0 0\n"
    found = detect(fake_proc(tmp_path, mounts, f"0::/unit.service/{own}\n"))
    assert found.place("unified") == (base if beside else base / own)


def test_a_process_of_our_own_leaf_goes_on_in_its_parent(tmp_path: Path) -> None:
    base = fake_v2(tmp_path)
    (base / "stencil-host").mkdir()
    mounts = f"cgroup2 {tmp_path}/sys/fs/cgroup cgroup2 rw 0 0\n"
    found = detect(fake_proc(tmp_path, mounts, "0::/unit.service/stencil-host\n"))
    assert found.place("unified") == base


def test_v1_is_used_where_v2_has_no_controllers(tmp_path: Path) -> None:
    for name in ("memory/mine", "pids", "cpuacct,cpu", "unified"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "unified/cgroup.controllers").write_text("")
    own = "3:memory:/mine\n2:pids:/\n1:cpu,cpuacct:/\n0::/\n"
    found = detect(fake_proc(tmp_path, MOUNTS_V1.format(tmp_path), own))
    assert found.kind == "v1"
    assert found.place("memory") == tmp_path / "memory/mine"


def test_without_control_groups_the_reason_is_given(tmp_path: Path) -> None:
    found = detect(fake_proc(tmp_path, "", "0::/\n"))
    assert found.kind == "none"
    assert "no cgroup v2" in found.reason
    assert detect(tmp_path / "nowhere").kind == "none"


def test_v2_counters_are_read(tmp_path: Path) -> None:
    group = GroupV2(tmp_path)
    (tmp_path / "cpu.stat").write_text("usage_usec 12500\nuser_usec 1\n")
    (tmp_path / "memory.peak").write_text("4096\n")
    (tmp_path / "memory.events").write_text("low 0\noom 2\noom_kill 1\n")
    (tmp_path / "cgroup.procs").write_text("")
    (tmp_path / "memory.current").write_text("10\n")
    group.lower(memory_bytes=1 << 20, processes=5)
    assert (group.cpu_ms(), group.memory_peak(), group.out_of_memory()) == (12.5, 4096, True)
    assert (tmp_path / "memory.max").read_text() == "1048576"
    assert (tmp_path / "pids.max").read_text() == "6"  # and bubblewrap itself
    (tmp_path / "memory.peak").unlink()
    assert group.memory_peak() is None


def test_a_v2_limit_below_the_current_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "cgroup.procs").write_text(f"{os.getpid()}\n")
    with pytest.raises(LimitsError):
        GroupV2(tmp_path).lower(memory_bytes=10, processes=5)


def test_v1_counters_are_differences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = GroupV1(dict.fromkeys(("memory", "pids", "cpuacct"), tmp_path))
    (tmp_path / "cpuacct.usage").write_text("5000000\n")
    (tmp_path / "memory.oom_control").write_text("under_oom 0\noom_kill 3\n")
    (tmp_path / "cgroup.procs").write_text("")
    group.empty()
    group.begin(memory_bytes=1 << 20, processes=5)
    assert (group.cpu_ms(), group.out_of_memory()) == (0, False)
    (tmp_path / "cpuacct.usage").write_text("7500000\n")
    (tmp_path / "memory.oom_control").write_text("under_oom 0\noom_kill 4\n")
    assert (group.cpu_ms(), group.out_of_memory()) == (2.5, True)
    monkeypatch.setattr(groups, "_write", refuse)
    with pytest.raises(LimitsError, match="busy"):
        group.lower(memory_bytes=1, processes=1)


def test_reclaimable_file_pages_do_not_count_as_held(tmp_path: Path) -> None:
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.usage_in_bytes").write_text("1000\n")
    both = "inactive_file 300\nactive_file 200\ntotal_inactive_file 30\ntotal_active_file 20\n"
    (tmp_path / "memory.stat").write_text(f"anon 400\n{both}")
    assert GroupV2(tmp_path).memory_used() == 500
    folders = dict.fromkeys(("memory", "pids", "cpuacct"), tmp_path)
    assert GroupV1(folders).memory_used() == 950


def weight(place: Path) -> int:
    """Return the number at the end; for disks, a word stands before it."""
    return int(place.read_text().split()[-1])


def test_priority_is_written_if_there_is_a_controller(tmp_path: Path) -> None:
    for group, name in (
        (GroupV2(tmp_path), "cpu.weight"),
        (GroupV2(tmp_path), "io.weight"),
        (GroupV1(dict.fromkeys(("memory", "pids", "cpuacct"), tmp_path)), "cpu.shares"),
    ):
        group.set_priority(low=True)
        low = weight(tmp_path / name)
        group.set_priority(low=False)
        assert low < weight(tmp_path / name)


@pytest.mark.parametrize("allowed", [True, False])
def test_without_groups_priority_is_niceness_if_it_can_be_raised_again(
    allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(no_group, "_may_renice", lambda: allowed)
    given: list[int] = []
    monkeypatch.setattr(os, "setpriority", lambda _kind, _who, nice: given.append(nice))
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        group = NoGroup()
        group.empty()
        group.begin(memory_bytes=1 << 40, processes=5)
        group.add(child.pid)
        group.set_priority(low=True)
        group.set_priority(low=False)
        child.kill()
    assert given == ([5, 0] if allowed else [])


def refuse(path: Path, text: str) -> None:
    raise OSError(16, "busy")


def test_the_watchdog_sees_a_tree_of_processes() -> None:
    code = "import time; print(input(), flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        group = NoGroup()
        group.empty()
        group.begin(memory_bytes=1 << 40, processes=5)
        group.add(child.pid)
        assert child.stdin
        assert child.stdout
        child.stdin.write(b"up\n")
        child.stdin.flush()
        child.stdout.readline()
        assert group.pids() == [child.pid]
        assert child.pid in [member.pid for member in tree_of(os.getpid())]
        assert group.cpu_ms() >= 0
        assert (group.memory_peak() or 0) > 1 << 20
        assert not group.out_of_memory()
        group.lower(memory_bytes=1 << 20, processes=5)
        group.cpu_ms()
        assert group.out_of_memory()
        child.kill()
    group.kill()
    group.remove()
    assert group.pids() == []


def test_a_process_may_have_any_name() -> None:
    text = "7 (a) S (b) ) R 3 " + " ".join(str(number) for number in range(5, 40))
    member = parse_stat(text)
    assert (member.pid, member.parent) == (7, 3)


def test_slots_have_plain_names() -> None:
    held = leases.Leases(Hierarchy(kind="none"))
    for wrong in ("", "../x", "a/b", "a b", "x" * 81):
        with pytest.raises(ValueError, match="slot"):
            held.take(wrong)


def test_leases_are_reused() -> None:
    held = leases.Leases(Hierarchy(kind="none"))
    first, second = held.take("a"), held.take("a")
    held.give_back("a", first)
    assert held.take("a") is first
    assert first is not second
    held.give_back("a", first)
    held.remove_all()


def test_a_group_that_still_counts_zombies_is_leased_last(tmp_path: Path) -> None:
    """Check this because a zombie counts as one of the next sandbox's processes."""
    places = tuple((name, tmp_path) for name in ("memory", "pids", "cpuacct"))
    held = leases.Leases(Hierarchy(kind="v1", places=places))
    given = [held.take("a") for _ in range(3)]
    for group, dead in zip(given, (1, 0, 0), strict=True):
        assert isinstance(group, GroupV1)
        group.pids_folder.mkdir()
        (group.pids_folder / "pids.current").write_text(f"{dead}\n")
        held.give_back("a", group)
    assert [held.take("a") for _ in range(3)] == [given[1], given[2], given[0]]


def test_leftovers_of_a_killed_process_are_swept() -> None:
    hierarchy = leases.current_hierarchy()
    prefix = f"sweep{os.getpid()}"
    names = [f"stencil-{prefix}-{2**22 + 1}-0", f"stencil-{prefix}-{2**22 + 1}-1"]
    for name in names:
        for _, place in hierarchy.places:
            (place / name).mkdir()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as left:
        for _, place in hierarchy.places:
            (place / names[0] / "cgroup.procs").write_text(str(left.pid))
        found = leases.sweep(prefix)
        if hierarchy.kind == "none":
            left.kill()
        assert left.wait() == -9
    assert found == ([] if hierarchy.kind == "none" else names)
    assert not any((place / name).exists() for _, place in hierarchy.places for name in names)


def test_sweeping_leaves_groups_of_living_processes() -> None:
    hierarchy = leases.current_hierarchy()
    mine = leases.process_leases().take("sweepmine")
    mine.empty()
    theirs = f"stencil-adhoc-{os.getppid()}-77"
    for _, place in hierarchy.places:
        (place / theirs).mkdir()
    try:
        assert leases.sweep("sweepmine") == []
        assert theirs not in leases.sweep("adhoc")
    finally:
        groups.remove_folders([place / theirs for _, place in hierarchy.places])
        leases.process_leases().give_back("sweepmine", mine)


ONE_COMPUTES = """
import threading, time
print(flush=True)
threading.Thread(target=time.sleep, args=(60,)).start()
while True: pass
"""


@pytest.mark.parametrize(
    ("program", "sleeps"),
    [
        ("import time; print(flush=True); time.sleep(60)", True),
        ("print(flush=True)\nwhile True: pass", False),
        (ONE_COMPUTES, False),
    ],
    ids=["sleeping", "computing", "one of two threads computing"],
)
def test_a_program_sleeps_when_all_of_its_threads_do(program: str, sleeps: bool) -> None:
    argv = [sys.executable, "-c", program]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None
            child.stdout.readline()
            seen = False
            for _ in range(200):  # a thread that computes sleeps while it takes the lock
                seen = all_sleep([child.pid])
                if seen is sleeps:
                    break
                time.sleep(0.01)
            assert seen is sleeps
            if not sleeps:
                assert sum(all_sleep([child.pid]) for _ in range(20)) < 20
        finally:
            child.kill()
    assert not all_sleep([child.pid])
    assert not all_sleep([])
