"""One sandbox's control group, behind one interface: v2, v1, or a watchdog where there is none."""

import os
import resource
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from sandbox.cgroup.hierarchy import Kind
from sandbox.cgroup.process_tree import CAP_SYS_NICE, Member, may, threads_of, tree_of
from sandbox.errors import LimitsError


class Group(Protocol):
    """One sandbox's share. Memory and CPU are of all its processes, dead ones included."""

    kind: Kind
    enforces_memory: bool

    def vacant(self) -> bool:
        """Whether the kernel counts nobody in it any more, not even the dead."""

    def empty(self) -> None:
        """Nothing in it, and fresh counters; its limits are yet to come."""

    def add(self, pid: int) -> None:
        """Put bubblewrap's outer process in; what it starts from now on is in as well."""

    def begin(self, *, memory_bytes: int, processes: int) -> None:
        """Give it its limits, before a program runs. LimitsError if the kernel refuses."""

    def lower(self, *, memory_bytes: int, processes: int) -> None:
        """Lower the limits of a running sandbox. LimitsError if more is already in use."""

    def set_priority(self, *, low: bool) -> None:
        """Whether it yields processors, and disks, to others; where the machine allows it."""

    def cpu_ms(self) -> float: ...

    def memory_used(self) -> int:
        """What it holds now, without file pages that the kernel may drop at any time."""

    def memory_peak(self) -> int | None: ...

    def out_of_memory(self) -> bool:
        """Whether the memory limit has killed something since `empty`."""

    def pids(self) -> list[int]: ...

    def kill(self) -> None:
        """Kill all that is in it, and wait until nothing is."""

    def remove(self) -> None: ...


_NOT_THERE = (FileNotFoundError, PermissionError)
_DROPPABLE = ("inactive_file", "active_file")  # in memory.stat
_LOW_NICE = 5
_OUTER = 1  # bubblewrap's outer process, which is in the group but not in the sandbox


def _read(path: Path) -> str:
    return path.read_text(encoding="ascii")


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="ascii")


def _numbers(text: str) -> dict[str, int]:
    """`key value` lines, as in memory.events and cpu.stat."""
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}


class _Folders:
    """What v1 and v2 share: one or more folders of the same name."""

    def __init__(self, folders: list[Path]) -> None:
        self.folders = folders

    def add(self, pid: int) -> None:
        for folder in self.folders:
            _write(folder / "cgroup.procs", str(pid))

    def pids(self) -> list[int]:
        found: set[int] = set()
        for folder in self.folders:
            with suppress(FileNotFoundError):
                found.update(int(line) for line in _read(folder / "cgroup.procs").split())
        found.discard(0)  # a process of another pid namespace
        return sorted(found)

    def kill(self) -> None:
        deadline = time.monotonic() + 5
        pause = 0.0005
        while pids := self.pids():
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > deadline:
                return
            time.sleep(pause)
            pause = min(pause * 2, 0.02)

    def remove(self) -> None:
        self.kill()
        for folder in self.folders:
            _remove_folder(folder)


def remove_folders(folders: list[Path]) -> None:
    """Kill what is in these groups and delete them."""
    _Folders(folders).remove()


def _remove_folder(folder: Path) -> None:
    for _ in range(50):  # a dying process may hold it a moment longer
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.002)
        else:
            return


class GroupV2(_Folders):
    """One folder of the unified hierarchy, made anew for each run: its counters start at zero."""

    kind: Kind = "v2"
    enforces_memory = True

    def __init__(self, folder: Path) -> None:
        super().__init__([folder])
        self.folder = folder

    def vacant(self) -> bool:
        return True  # it is made anew

    def empty(self) -> None:
        self.remove()
        self.folder.mkdir()

    def begin(self, *, memory_bytes: int, processes: int) -> None:
        self.lower(memory_bytes=memory_bytes, processes=processes)
        for name, text in (("memory.swap.max", "0"), ("memory.oom.group", "1")):
            with suppress(*_NOT_THERE):  # no swap accounting, or an old kernel
                _write(self.folder / name, text)

    def set_priority(self, *, low: bool) -> None:
        weight = "25" if low else "100"
        with suppress(*_NOT_THERE):  # the cpu controller was not handed down
            _write(self.folder / "cpu.weight", weight)
        with suppress(OSError):  # nor that of disks, or none of them knows weights
            _write(self.folder / "io.weight", f"default {weight}")

    def memory_used(self) -> int:
        stat = _numbers(_read(self.folder / "memory.stat"))
        droppable = sum(stat.get(name, 0) for name in _DROPPABLE)
        return max(0, int(_read(self.folder / "memory.current")) - droppable)

    def lower(self, *, memory_bytes: int, processes: int) -> None:
        # memory.max below what is in use does not fail: it reclaims, then kills.
        current = self.folder / "memory.current"
        if current.exists() and int(_read(current)) > memory_bytes and self.pids():
            raise LimitsError("more memory is in use than the new limit")
        _write(self.folder / "memory.max", str(memory_bytes))
        _write(self.folder / "pids.max", str(processes + _OUTER))

    def cpu_ms(self) -> float:
        return _numbers(_read(self.folder / "cpu.stat")).get("usage_usec", 0) / 1e3

    def memory_peak(self) -> int | None:
        try:
            return int(_read(self.folder / "memory.peak"))
        except FileNotFoundError:  # before Linux 5.19
            return None

    def out_of_memory(self) -> bool:
        return _numbers(_read(self.folder / "memory.events")).get("oom_kill", 0) > 0

    def kill(self) -> None:
        with suppress(OSError):  # before Linux 5.14; what follows kills one by one
            _write(self.folder / "cgroup.kill", "1")
        super().kill()


class GroupV1(_Folders):
    """One folder a controller, kept for the slot; counters are differences to a base."""

    kind: Kind = "v1"
    enforces_memory = True

    def __init__(self, folders: dict[str, Path]) -> None:
        super().__init__(list(folders.values()))
        self.memory, self.pids_folder = folders["memory"], folders["pids"]
        self.cpu = folders["cpuacct"]
        # Mostly one hierarchy: then the folder is the same.
        self._shares = folders.get("cpu", self.cpu) / "cpu.shares"
        self._cpu_base = 0
        self._oom_base = 0

    def vacant(self) -> bool:
        # A dead process is one of `pids.max` until it is waited for, and bubblewrap does not wait
        # for its inner one: PID 1 does, when it comes to it.
        with suppress(FileNotFoundError):
            return int(_read(self.pids_folder / "pids.current")) == 0
        return True

    def empty(self) -> None:
        self.kill()
        for folder in self.folders:
            folder.mkdir(exist_ok=True)
        self._cpu_base, self._oom_base = self._cpu(), self._ooms()
        self.set_priority(low=False)

    def begin(self, *, memory_bytes: int, processes: int) -> None:
        with suppress(OSError):  # the limit with swap must never be below the one without
            _write(self.memory / "memory.memsw.limit_in_bytes", "-1")
        self._limit_memory(memory_bytes)
        _write(self.memory / "memory.max_usage_in_bytes", "0")
        _write(self.pids_folder / "pids.max", str(processes + _OUTER))

    def set_priority(self, *, low: bool) -> None:
        with suppress(*_NOT_THERE):  # no cpu controller for us
            _write(self._shares, "256" if low else "1024")

    def memory_used(self) -> int:
        stat = _numbers(_read(self.memory / "memory.stat"))
        droppable = sum(stat.get(f"total_{name}", 0) for name in _DROPPABLE)
        return max(0, int(_read(self.memory / "memory.usage_in_bytes")) - droppable)

    def _limit_memory(self, memory_bytes: int) -> None:
        try:
            _write(self.memory / "memory.limit_in_bytes", str(memory_bytes))
        except OSError as error:  # EBUSY: more is in use and cannot be reclaimed
            raise LimitsError(f"the memory limit was refused: {error.strerror}") from error
        with suppress(OSError):  # no swap accounting
            _write(self.memory / "memory.memsw.limit_in_bytes", str(memory_bytes))

    def lower(self, *, memory_bytes: int, processes: int) -> None:
        with suppress(OSError):
            _write(self.memory / "memory.memsw.limit_in_bytes", "-1")
        self._limit_memory(memory_bytes)
        _write(self.pids_folder / "pids.max", str(processes + _OUTER))

    def cpu_ms(self) -> float:
        return (self._cpu() - self._cpu_base) / 1e6

    def _cpu(self) -> int:
        return int(_read(self.cpu / "cpuacct.usage"))

    def memory_peak(self) -> int | None:
        return int(_read(self.memory / "memory.max_usage_in_bytes"))

    def out_of_memory(self) -> bool:
        return self._ooms() > self._oom_base

    def _ooms(self) -> int:
        return _numbers(_read(self.memory / "memory.oom_control")).get("oom_kill", 0)


def _may_renice() -> bool:
    # Counted from 40: a limit of 20 allows to go back to nice 0.
    return resource.getrlimit(resource.RLIMIT_NICE)[0] >= 20 or may(CAP_SYS_NICE)


class NoGroup:
    """No control groups: a watchdog looks at the tree of processes whenever it is asked.

    Weaker: memory is seen at intervals and only what is resident, a short-lived child's CPU is
    seen when its parent has waited for it, and the number of processes is left to RLIMIT_NPROC,
    which counts by user: started as root, all sandboxes are one.
    """

    kind: Kind = "none"
    enforces_memory = False

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._root: int | None = None
        self._memory_limit = 0
        self._peak = 0
        self._cpu = 0.0
        self._over = False

    def vacant(self) -> bool:
        return True

    def empty(self) -> None:
        self._forget()

    def add(self, pid: int) -> None:
        self._root = pid

    def begin(self, *, memory_bytes: int, processes: int) -> None:  # noqa: ARG002 - an rlimit
        self._memory_limit = memory_bytes

    def lower(self, *, memory_bytes: int, processes: int) -> None:  # noqa: ARG002 - an rlimit
        self._memory_limit = memory_bytes

    def cpu_ms(self) -> float:
        self._look()
        return self._cpu

    def memory_peak(self) -> int | None:
        return self._peak or None

    def set_priority(self, *, low: bool) -> None:
        if not _may_renice():  # what is lowered once would stay so
            return
        for member in self._members():
            for thread in threads_of(member.pid):
                with suppress(ProcessLookupError):
                    os.setpriority(os.PRIO_PROCESS, thread, _LOW_NICE if low else 0)

    def memory_used(self) -> int:
        return sum(member.resident_bytes for member in self._members())

    def out_of_memory(self) -> bool:
        return self._over

    def pids(self) -> list[int]:
        return [member.pid for member in self._members()]

    def kill(self) -> None:
        """Forget them: the pid namespace has died, what is left of it waits for its parent."""
        self._root = None

    def remove(self) -> None:
        self._root = None

    def _members(self) -> list[Member]:
        return [] if self._root is None else tree_of(self._root)

    def _look(self) -> None:
        members = self._members()
        self._cpu = max(self._cpu, sum(member.cpu_ms for member in members))
        resident = sum(member.resident_bytes for member in members)
        self._peak = max(self._peak, resident)
        self._over = self._over or resident > self._memory_limit
