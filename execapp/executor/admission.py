"""Admission: which queued execution may start beside the running ones (decision 0037).

A program that waits holds no core. The load is the sum of the CPU rates of the running programs,
measured during their runs. A new program counts as one core until it has been seen for a moment,
or until all of its threads sleep. An exclusive one always counts as at least one core.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

SEEN_SECONDS = 0.028  # of its run; until then a program counts as one core
_SPAN = 0.018  # seconds over which a rate is measured, at least
_LONGER = 6  # times as long on a busy machine, where a program waits for its turn
_STEEP = 3  # at a third of full pressure, rates say only whether a program waits
_SAMPLES = 16  # enough for the longest span
_WAITS = 0.05  # of a core: a program that uses less waits, also on a busy machine
_SLACK = 0.25  # of a core: a program that computes measures a little less than one


class Readings(Protocol):
    """What the machine says. The methods are called often, and must be quick."""

    def pressure(self) -> float:
        """Return the part of the last moments in which a task waited for a processor, 0 to 1."""

    def available_bytes(self) -> int:
        """Return the memory that programs can still take."""


@dataclass(frozen=True, kw_only=True)
class Need:
    """The resources that one execution may take by its limits."""

    memory_bytes: int
    processes: int
    exclusive: bool = False


class Entry:
    """One admitted execution, and the meter of its run (`sandbox.session.meter`).

    The thread of the run writes it; other threads read it.
    """

    def __init__(self, need: Need, freed: Callable[[], object] = lambda: None) -> None:
        """Store the need. `freed` is called when the program begins to wait, early in its run."""
        self.need = need
        self._freed = freed
        self._ended = False
        self._waits = False
        self._began: float | None = None
        self._samples: deque[tuple[float, float]] = deque(maxlen=_SAMPLES)

    def begun(self, now: float) -> None:
        """Note the delivery of the job."""
        self._samples.clear()
        self._samples.append((now, 0.0))
        self._began = now

    def measured(self, cpu_ms: float, now: float) -> None:
        """Note the CPU time used since the delivery."""
        self._samples.append((now, cpu_ms))
        self._waits = False

    def waits(self) -> None:
        """Note that no thread of the program wants a processor now."""
        self._waits = True
        self._freed()

    def ended(self) -> None:
        """Note the end of the program: until its sandbox is gone, the kernel has work with it."""
        self._ended = True

    def seen(self, now: float, pressure: float) -> bool:
        """Return whether its rate is known: on a busy machine it may not have had its turn yet."""
        return self._began is not None and now - self._began >= SEEN_SECONDS * (
            1 + _LONGER * pressure
        )

    def load(self, now: float, pressure: float) -> float:
        """Return the cores that it uses, or would use if they were free."""
        least = 1.0 if self.need.exclusive else 0.0
        if self._waits and not self._ended:
            return least
        if self._ended or not self.seen(now, pressure):
            return 1.0
        rate = self._rate(_SPAN * (1 + _LONGER * pressure))
        if _WAITS < rate < 1:  # measured too low while others take its turn
            rate += pressure * (1 - rate)
        return max(least, rate)

    def _rate(self, span: float) -> float:
        samples = list(self._samples)
        last, cpu = samples[-1]
        for at, before in reversed(samples):
            if last - at >= span:
                return (cpu - before) / 1000 / (last - at)
        return 1.0


class Admission:
    """Counts the running executions and admits others. Thread-safe.

    `cores`: how many may compute at once. As many may always run, whatever they use. `most`: how
    many may run at once. `memory_bytes`, `processes`: the limits of all running ones together.
    `freed` is called when a program begins to wait, so that another one may start.
    """

    def __init__(
        self,
        *,
        cores: int,
        most: int,
        memory_bytes: int,
        processes: int,
        readings: Readings,
        clock: Callable[[], float] = time.monotonic,
        freed: Callable[[], object] = lambda: None,
    ) -> None:
        self.cores = cores
        self.most = max(cores, most)
        self._memory_bytes = memory_bytes
        self._processes = processes
        self._readings = readings
        self._clock = clock
        self._freed = freed
        self._lock = threading.Lock()
        self._entries: set[Entry] = set()

    def openings(self) -> int:
        """Return how many may start now, each counted as one core; its needs may still not fit."""
        with self._lock:
            return self._openings()

    def fits(self, need: Need) -> bool:
        """Return whether an execution with this need may start now."""
        with self._lock:
            return self._fits(need)

    def admit(self, need: Need) -> Entry | None:
        """Count an execution as running and return its entry, or None if it may not start now."""
        with self._lock:
            if not self._fits(need):
                return None
            entry = Entry(need, self._freed)
            self._entries.add(entry)
            return entry

    def leave(self, entry: Entry) -> None:
        """Forget an execution whose sandbox is gone."""
        with self._lock:
            self._entries.discard(entry)

    def load(self) -> float:
        """Return the cores that the running executions use."""
        with self._lock:
            return self._load()

    def _openings(self) -> int:
        room = self.most - len(self._entries)
        free = max(self.cores - len(self._entries), 0)  # the usual case; it reads nothing
        if free < self.cores and room > free:
            free = max(free, math.floor(self.cores - self._load() + 1 - _SLACK))
        return max(0, min(room, free))

    def _fits(self, need: Need) -> bool:
        if not self._entries:
            return True  # one always may run
        if self._openings() == 0:
            return False
        if need.exclusive and self._load() > self.cores - 1 + _SLACK:
            return False
        if len(self._entries) < self.cores:
            return True  # the operator's count of slots; their limits are the operator's choice
        return self._holds(need)

    def _holds(self, need: Need) -> bool:
        """Return whether the limits of all fit, and the machine has the memory of one more."""
        needs = [entry.need for entry in self._entries]
        if sum(one.memory_bytes for one in needs) + need.memory_bytes > self._memory_bytes:
            return False
        if sum(one.processes for one in needs) + need.processes > self._processes:
            return False
        now = self._clock()
        # A program that was not seen yet may still take all of its memory.
        new = sum(e.need.memory_bytes for e in self._entries if not e.seen(now, 1))
        return self._readings.available_bytes() - new >= need.memory_bytes

    def _load(self) -> float:
        now, pressure = self._clock(), min(1.0, _STEEP * self._readings.pressure())
        return sum(entry.load(now, pressure) for entry in self._entries)
