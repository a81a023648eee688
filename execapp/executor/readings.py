"""Readings of the machine for admission: pressure on the processors, and available memory.

Sources: /proc/pressure/cpu (psi in the kernel's documentation), `procs_running` in /proc/stat and
`MemAvailable` in /proc/meminfo (see proc(5)), and the memory limits of our control groups.
"""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sandbox.cgroup.hierarchy import Hierarchy

_WINDOW = 0.05  # seconds between two readings of one kind, at least
_STALE = 1.0  # seconds after which an old reading says nothing about the last moments
_FILES = {"v2": ("memory.max", "memory.current")}
_FILES |= {"v1": ("memory.limit_in_bytes", "memory.usage_in_bytes")}
_KIB = 1024


class MachineReadings:
    """Readings of this machine. Use it from one thread at a time."""

    def __init__(
        self,
        hierarchy: Hierarchy,
        *,
        proc: Path = Path("/proc"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._proc = proc
        self._clock = clock
        self._cores = len(os.sched_getaffinity(0))
        self._limits = _limiting_groups(hierarchy)
        self._base: tuple[float, float] | None = None
        self._pressure = 1.0
        self._available: tuple[float, int] | None = None

    def pressure(self) -> float:
        """Return the part of the last moments in which a task waited for a processor, 0 to 1.

        1 if nothing is known yet: measured rates may then be too low.
        """
        now = self._clock()
        if self._base is not None and now - self._base[0] < _WINDOW:
            return self._pressure
        try:
            total = _some(self._proc / "pressure/cpu")
        except (OSError, ValueError):  # a kernel that does not measure it
            return self._run_queue()
        if self._base is None or now - self._base[0] > _STALE:
            self._pressure = 1.0
        else:
            at, before = self._base
            self._pressure = min(1.0, max(0.0, (total - before) / 1e6 / (now - at)))
        self._base = (now, total)
        return self._pressure

    def available_bytes(self) -> int:
        """Return the memory that programs can still take, by the machine and by our groups."""
        now = self._clock()
        if self._available is None or now - self._available[0] >= _WINDOW:
            self._available = (now, min([self._of_machine(), *map(_left, self._limits)]))
        return self._available[1]

    def _run_queue(self) -> float:
        try:
            lines = (self._proc / "stat").read_text(encoding="ascii").splitlines()
            running = next(line.split()[1] for line in lines if line.startswith("procs_running"))
        except (OSError, StopIteration):
            return 1.0
        return min(1.0, max(0, int(running) - self._cores) / self._cores)

    def _of_machine(self) -> int:
        for line in (self._proc / "meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * _KIB
        return 1 << 62  # before Linux 3.14


def _some(path: Path) -> float:
    """Return the total of the line `some`, in microseconds. ValueError if there is none."""
    for line in path.read_text(encoding="ascii").splitlines():
        if line.startswith("some "):
            return float(line.rpartition("total=")[2])
    message = f"{path} has no line `some`"
    raise ValueError(message)


def _limiting_groups(hierarchy: Hierarchy) -> list[tuple[Path, Path]]:
    """Return the files of limit and use of each group above our sandboxes that has a limit."""
    place = hierarchy.place("unified") or hierarchy.place("memory")
    if place is None or hierarchy.kind not in _FILES:
        return []
    limit, use = _FILES[hierarchy.kind]
    found = []
    for folder in (place, *place.parents):
        with suppress(OSError, ValueError):
            int((folder / limit).read_text(encoding="ascii"))  # "max" is no limit
            found.append((folder / limit, folder / use))
    return found


def _left(files: tuple[Path, Path]) -> int:
    try:
        limit, use = (int(path.read_text(encoding="ascii")) for path in files)
    except (OSError, ValueError):
        return 1 << 62
    return max(0, limit - use)
