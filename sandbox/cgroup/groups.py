"""The control group of one sandbox behind one interface: v2 or v1; `no_group` has the watchdog."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol, override

from sandbox.cgroup import run_delay
from sandbox.cgroup.hierarchy import Kind
from sandbox.errors import LimitsError


class Group(Protocol):
    """The control group of one sandbox. Memory and CPU cover all its processes, also dead ones."""

    kind: Kind
    enforces_memory: bool

    def vacant(self) -> bool:
        """Return whether the kernel counts no process in the group, not even a zombie."""

    def empty(self) -> None:
        """Remove all processes and reset the counters. `begin` sets the limits."""

    def add(self, pid: int) -> None:
        """Move bubblewrap's outer process in; its later children are in the group, too."""

    def begin(self, *, memory_bytes: int, processes: int) -> None:
        """Set the limits before a program runs. LimitsError if the kernel refuses them."""

    def lower(self, *, memory_bytes: int, processes: int) -> None:
        """Lower the limits of a running sandbox. LimitsError if more is already in use."""

    def set_priority(self, *, low: bool) -> None:
        """Set whether the sandbox yields processors and disks to others, where this is possible."""

    def favour(self) -> None:
        """Give the sandbox a larger share of the processors than others, where possible."""

    def delays(self) -> run_delay.Delays:
        """Return how long its processes were ready and waited for a processor, by task or in all.

        Compare two readings by `run_delay.longest`. This may read a file for each task.
        """

    def cpu_ms(self) -> float:
        """Return the CPU time used since `empty`, in milliseconds."""

    def memory_used(self) -> int:
        """Return the memory in use in bytes, without file pages that the kernel may drop."""

    def memory_peak(self) -> int | None:
        """Return the highest memory use since `empty` in bytes; None if it is unknown."""

    def out_of_memory(self) -> bool:
        """Return whether the memory limit has killed a process since `empty`."""

    def pids(self) -> list[int]:
        """Return the process ids in the group."""

    def kill(self) -> None:
        """Kill all processes in the group and wait until none is left."""

    def remove(self) -> None:
        """Kill the processes and delete the group."""


_NOT_THERE = (FileNotFoundError, PermissionError)
_DROPPABLE = ("inactive_file", "active_file")  # in memory.stat
_WEIGHTS = {"low": 25, "usual": 100, "high": 800}  # of v2; the values of v1 are in proportion
_OUTER = 1  # bubblewrap's outer process, which is in the group but not in the sandbox


_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
_READ_BYTES = 64 * 1024


# A sandbox takes some thirty reads and writes of these files. Each is one open and one read or
# write here; a text file object costs four times as much (decision 0038).
def _read(path: str) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        pieces = [os.read(descriptor, _READ_BYTES)]
        while pieces[-1]:
            pieces.append(os.read(descriptor, _READ_BYTES))
    finally:
        os.close(descriptor)
    return b"".join(pieces).decode("ascii")


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, _WRITE, 0o666)
    try:
        os.write(descriptor, text.encode("ascii"))
    finally:
        os.close(descriptor)


def _numbers(text: str) -> dict[str, int]:
    """Parse `key value` lines, the format of memory.events and cpu.stat."""
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}


class _Folders:
    """The common part of v1 and v2: one or more folders of the same name."""

    def __init__(self, folders: list[Path]) -> None:
        self.folders = folders
        self._procs = [f"{folder}/cgroup.procs" for folder in folders]

    def add(self, pid: int) -> None:
        for procs in self._procs:
            _write(procs, str(pid))

    def pids(self) -> list[int]:
        found: set[int] = set()
        for procs in self._procs:
            with suppress(FileNotFoundError):
                found.update(map(int, _read(procs).split()))
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
    """Kill the processes in these groups and delete the groups."""
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


def _shares_of(weight: str) -> str:
    return str(_WEIGHTS[weight] * 1024 // _WEIGHTS["usual"])


class GroupV2(_Folders, Group):
    """One folder of the unified hierarchy, made for each run: its counters start at zero."""

    kind: Kind = "v2"
    enforces_memory = True

    def __init__(self, folder: Path) -> None:
        super().__init__([folder])
        self.folder = folder

    @override
    def vacant(self) -> bool:
        return True  # it is made anew

    @override
    def empty(self) -> None:
        self.remove()
        self.folder.mkdir()

    @override
    def begin(self, *, memory_bytes: int, processes: int) -> None:
        self.lower(memory_bytes=memory_bytes, processes=processes)
        for name, text in (("memory.swap.max", "0"), ("memory.oom.group", "1")):
            with suppress(*_NOT_THERE):  # no swap accounting, or an old kernel
                _write(f"{self.folder}/{name}", text)

    @override
    def set_priority(self, *, low: bool) -> None:
        weight = str(_WEIGHTS["low" if low else "usual"])
        with suppress(*_NOT_THERE):  # the cpu controller is not enabled for this group
            _write(f"{self.folder}/cpu.weight", weight)
        with suppress(OSError):  # the io controller is not enabled, or no disk has weights
            _write(f"{self.folder}/io.weight", f"default {weight}")

    @override
    def favour(self) -> None:
        with suppress(*_NOT_THERE):
            _write(f"{self.folder}/cpu.weight", str(_WEIGHTS["high"]))

    @override
    def delays(self) -> run_delay.Delays:
        found = None
        with suppress(OSError):  # the kernel counts no pressure, or not for groups
            found = run_delay.of_group(_read(f"{self.folder}/cpu.pressure"))
        return run_delay.of_tasks(self.pids()) if found is None else found

    @override
    def memory_used(self) -> int:
        stat = _numbers(_read(f"{self.folder}/memory.stat"))
        droppable = sum(stat.get(name, 0) for name in _DROPPABLE)
        return max(0, int(_read(f"{self.folder}/memory.current")) - droppable)

    def _current(self) -> int:
        try:
            return int(_read(f"{self.folder}/memory.current"))
        except FileNotFoundError:  # the group is not made yet
            return 0

    @override
    def lower(self, *, memory_bytes: int, processes: int) -> None:
        # A memory.max below the memory in use is accepted: the kernel reclaims, then kills.
        if self._current() > memory_bytes and self.pids():
            raise LimitsError("more memory is in use than the new limit")
        _write(f"{self.folder}/memory.max", str(memory_bytes))
        _write(f"{self.folder}/pids.max", str(processes + _OUTER))

    @override
    def cpu_ms(self) -> float:
        return _numbers(_read(f"{self.folder}/cpu.stat")).get("usage_usec", 0) / 1e3

    @override
    def memory_peak(self) -> int | None:
        try:
            return int(_read(f"{self.folder}/memory.peak"))
        except FileNotFoundError:  # before Linux 5.19
            return None

    @override
    def out_of_memory(self) -> bool:
        return _numbers(_read(f"{self.folder}/memory.events")).get("oom_kill", 0) > 0

    @override
    def kill(self) -> None:
        with suppress(OSError):  # before Linux 5.14; the code below kills them one by one
            _write(f"{self.folder}/cgroup.kill", "1")
        super().kill()


class GroupV1(_Folders, Group):
    """One folder for each controller, kept for the slot; counters are differences to a base."""

    kind: Kind = "v1"
    enforces_memory = True

    def __init__(self, folders: dict[str, Path]) -> None:
        super().__init__(list(folders.values()))
        self.memory, self.pids_folder = folders["memory"], folders["pids"]
        self.cpu = folders["cpuacct"]
        # Usually both are in one hierarchy, and the folder is the same.
        self._shares = f"{folders.get('cpu', self.cpu)}/cpu.shares"
        self._cpu_base = 0
        self._oom_base = 0

    @override
    def vacant(self) -> bool:
        # A dead process counts for `pids.max` until its parent has waited for it. bubblewrap does
        # not wait for its inner process; PID 1 does so later.
        with suppress(FileNotFoundError):
            return int(_read(f"{self.pids_folder}/pids.current")) == 0
        return True

    @override
    def empty(self) -> None:
        self.kill()
        for folder in self.folders:
            folder.mkdir(exist_ok=True)
        self._cpu_base, self._oom_base = self._cpu(), self._ooms()
        self.set_priority(low=False)

    @override
    def begin(self, *, memory_bytes: int, processes: int) -> None:
        with suppress(OSError):  # the limit with swap must never be below the one without
            _write(f"{self.memory}/memory.memsw.limit_in_bytes", "-1")
        self._limit_memory(memory_bytes)
        _write(f"{self.memory}/memory.max_usage_in_bytes", "0")
        _write(f"{self.pids_folder}/pids.max", str(processes + _OUTER))

    @override
    def set_priority(self, *, low: bool) -> None:
        with suppress(*_NOT_THERE):  # no cpu controller that this process may use
            _write(self._shares, _shares_of("low" if low else "usual"))

    @override
    def favour(self) -> None:
        with suppress(*_NOT_THERE):
            _write(self._shares, _shares_of("high"))

    @override
    def delays(self) -> run_delay.Delays:
        return run_delay.of_tasks(self.pids())

    @override
    def memory_used(self) -> int:
        stat = _numbers(_read(f"{self.memory}/memory.stat"))
        droppable = sum(stat.get(f"total_{name}", 0) for name in _DROPPABLE)
        return max(0, int(_read(f"{self.memory}/memory.usage_in_bytes")) - droppable)

    def _limit_memory(self, memory_bytes: int) -> None:
        try:
            _write(f"{self.memory}/memory.limit_in_bytes", str(memory_bytes))
        except OSError as error:  # EBUSY: more is in use and cannot be reclaimed
            raise LimitsError(f"the memory limit was refused: {error.strerror}") from error
        with suppress(OSError):  # no swap accounting
            _write(f"{self.memory}/memory.memsw.limit_in_bytes", str(memory_bytes))

    @override
    def lower(self, *, memory_bytes: int, processes: int) -> None:
        with suppress(OSError):
            _write(f"{self.memory}/memory.memsw.limit_in_bytes", "-1")
        self._limit_memory(memory_bytes)
        _write(f"{self.pids_folder}/pids.max", str(processes + _OUTER))

    @override
    def cpu_ms(self) -> float:
        return (self._cpu() - self._cpu_base) / 1e6

    def _cpu(self) -> int:
        return int(_read(f"{self.cpu}/cpuacct.usage"))

    @override
    def memory_peak(self) -> int | None:
        return int(_read(f"{self.memory}/memory.max_usage_in_bytes"))

    @override
    def out_of_memory(self) -> bool:
        return self._ooms() > self._oom_base

    def _ooms(self) -> int:
        return _numbers(_read(f"{self.memory}/memory.oom_control")).get("oom_kill", 0)
