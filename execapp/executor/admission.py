"""Admission: which queued execution may start beside the running ones (decision 0037).

A program that waits holds no core. The load is the sum of the CPU rates of the running programs,
measured during their runs. A new program counts as one core until it has been seen for a moment,
or until all of its threads sleep. An exclusive one always counts as at least one core.

A few executions more are prepared: they have a sandbox and wait in it for a core. So no core is
idle while the next execution is claimed and its sandbox is made.
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
_PAUSES = 0.2  # of a core between two looks: a program that used more may only pause
_WAITS = 0.05  # of a core: a program that uses less waits, also on a busy machine
_SLACK = 0.25  # of a core: a program that computes measures a little less than one
_ENDING = 0.25  # of a core: the program has ended, and the kernel clears its sandbox away
_LOOK_SECONDS = 0.01  # between looks at the load while a prepared execution waits for a core


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

    def __init__(
        self,
        need: Need,
        freed: Callable[[], object] = lambda: None,
        *,
        prepared: bool = False,
    ) -> None:
        """Store the need. `freed` is called when the program begins to wait, and when it ends.

        `prepared`: it holds no core yet, and begins by `Admission.begin`.
        """
        self.need = need
        self.prepared = prepared
        self.waited_ms = 0.0  # prepared, for a core
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
        """Note that no thread of the program wants a processor now.

        One that computed since the look before may only pause for a moment, as runtimes do while
        they start: it does not wait yet.
        """
        if self._rate(0.0) < _PAUSES:
            self._waits = True
            self._freed()

    def ended(self) -> None:
        """Note the end of the program: until its sandbox is gone, the kernel has work with it."""
        self._ended = True
        self._freed()

    def seen(self, now: float, pressure: float) -> bool:
        """Return whether its rate is known: on a busy machine it may not have had its turn yet."""
        return self._began is not None and now - self._began >= SEEN_SECONDS * (
            1 + _LONGER * pressure
        )

    def load(self, now: float, pressure: float) -> float:
        """Return the cores that it uses, or would use if they were free."""
        least = 1.0 if self.need.exclusive else 0.0
        if self._ended:
            return max(least, _ENDING)
        if self._waits:
            return least
        if not self.seen(now, pressure):
            return 1.0
        rate = self._rate(_SPAN * (1 + _LONGER * pressure))
        if _WAITS < rate < 1:  # measured too low while others take its turn
            rate += pressure * (1 - rate)
        return max(least, rate)

    def _rate(self, span: float) -> float:
        samples = list(self._samples)
        last, cpu = samples[-1]
        for at, before in reversed(samples[:-1]):
            if last - at >= span:
                return (cpu - before) / 1000 / (last - at)
        return 1.0


class Admission:
    """Counts the running executions and admits others. Thread-safe.

    `cores`: how many may compute at once. As many may always run, whatever they use. `ahead`: how
    many more may be prepared. `most`: how many may be admitted at once. `memory_bytes`,
    `processes`: the limits of all admitted ones together. `freed` is called when another one may
    start.
    """

    def __init__(
        self,
        *,
        cores: int,
        most: int,
        memory_bytes: int,
        processes: int,
        readings: Readings,
        ahead: int = 0,
        clock: Callable[[], float] = time.monotonic,
        freed: Callable[[], object] = lambda: None,
    ) -> None:
        self.cores = cores
        self.most = max(cores, most)
        self._ahead = ahead
        self._memory_bytes = memory_bytes
        self._processes = processes
        self._readings = readings
        self._clock = clock
        self._freed = freed
        self._changed = threading.Condition()
        self._running: set[Entry] = set()
        self._prepared: deque[Entry] = deque()  # in the order in which they begin

    def openings(self) -> int:
        """Return how many may be admitted, each counted as one core; needs may still not fit."""
        with self._changed:
            return self._openings()

    def busy(self) -> bool:
        """Return whether one that is admitted now would have no core."""
        with self._changed:
            return self._free() <= len(self._prepared)

    def fits(self, need: Need) -> bool:
        """Return whether an execution with this need may be admitted now."""
        with self._changed:
            return self._may_run(need) or self._may_prepare(need)

    def admit(self, need: Need) -> Entry | None:
        """Return the entry of an execution that starts or is prepared now; None if it may not."""
        with self._changed:
            if self._may_run(need):
                entry = Entry(need, self._free_core)
                self._running.add(entry)
                return entry
            if self._may_prepare(need):
                entry = Entry(need, self._free_core, prepared=True)
                self._prepared.append(entry)
                return entry
            return None

    def begin(self, entry: Entry, unless: Callable[[], bool]) -> None:
        """Wait until a prepared execution may run; return at once for one that runs already.

        Prepared ones begin in the order of their admission. If `unless()` becomes true, return;
        the entry then stays prepared.
        """
        began = self._clock()
        with self._changed:
            while entry.prepared and not unless():
                if self._prepared[0] is entry and self._may_begin(entry.need):
                    self._prepared.popleft()
                    self._running.add(entry)
                    entry.prepared = False
                else:
                    self._changed.wait(_LOOK_SECONDS)
        entry.waited_ms += (self._clock() - began) * 1000

    def leave(self, entry: Entry) -> None:
        """Forget an execution whose sandbox is gone."""
        with self._changed:
            self._running.discard(entry)
            if entry in self._prepared:
                self._prepared.remove(entry)
            self._changed.notify_all()

    def load(self) -> float:
        """Return the cores that the running executions use."""
        with self._changed:
            return self._load()

    def _free_core(self) -> None:
        with self._changed:
            self._changed.notify_all()
        self._freed()

    def _free(self) -> int:
        """Return how many more may run by their load: the prepared ones come first."""
        free = max(self.cores - len(self._running), 0)  # the usual case; it reads nothing
        if free < self.cores:
            free = max(free, math.floor(self.cores - self._load() + 1 - _SLACK))
        return free

    def _openings(self) -> int:
        room = self.most - len(self._running) - len(self._prepared)
        return max(0, min(room, self._free() + self._ahead - len(self._prepared)))

    def _may_run(self, need: Need) -> bool:
        if not self._running and not self._prepared:
            return True  # one always may run
        return self._free() > len(self._prepared) and self._has_place(need)

    def _may_prepare(self, need: Need) -> bool:
        # An exclusive one is not prepared: that core could be far away.
        return not need.exclusive and self._openings() > 0 and self._holds(need)

    def _may_begin(self, need: Need) -> bool:
        if not self._running:
            return True
        return self._free() > 0 and self._has_place(need, admitted=True)

    def _has_place(self, need: Need, *, admitted: bool = False) -> bool:
        if not admitted and len(self._running) + len(self._prepared) >= self.most:
            return False
        if need.exclusive and self._load() > self.cores - 1 + _SLACK:
            return False
        if len(self._running) < self.cores:
            return True  # the operator's count of slots; their limits are the operator's choice
        return self._holds(need, admitted=admitted)

    def _holds(self, need: Need, *, admitted: bool = False) -> bool:
        """Return whether the limits of all fit, and the machine has the memory of one more.

        `admitted`: `need` is that of a prepared one, which is counted already.
        """
        entries = [*self._running, *self._prepared]
        more = 0 if admitted else 1
        memory_bytes = sum(entry.need.memory_bytes for entry in entries)
        if memory_bytes + more * need.memory_bytes > self._memory_bytes:
            return False
        processes = sum(entry.need.processes for entry in entries)
        if processes + more * need.processes > self._processes:
            return False
        now = self._clock()
        # A program that was not seen yet may still take all of its memory.
        new = sum(entry.need.memory_bytes for entry in entries if not entry.seen(now, 1))
        return self._readings.available_bytes() - new >= more * need.memory_bytes

    def _load(self) -> float:
        now, pressure = self._clock(), min(1.0, _STEEP * self._readings.pressure())
        return sum(entry.load(now, pressure) for entry in self._running)
