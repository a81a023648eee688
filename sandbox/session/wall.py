"""The wall limit of a run, without the time that its processes waited for a processor of ours.

Decision 0037: more programs than cores may run at a time. If they compute together, each one gets a
part of a core, and its wall limit must not count the rest.
"""

from sandbox.cgroup import run_delay
from sandbox.cgroup.groups import Group

BASE_AFTER = 0.05  # seconds of the run until the first reading: short runs do not pay for it
MOST_EXTENSION = 3.0  # parts of the limit by which a deadline is moved at most
_STEP = 0.005  # seconds; a smaller extension is not worth another reading


class WallClock:
    """The deadline of one run. Use it from one thread. Times are monotonic, in seconds."""

    def __init__(self, group: Group, *, began: float, limit_ms: int, cores: int) -> None:
        self._group = group
        self._began = began
        self._limit = limit_ms / 1000
        self._cores = cores
        self._before: run_delay.Delays | None = None
        self.deadline = began + self._limit

    def look(self, now: float) -> None:
        """Take the first reading when it is due. The wait before it is not credited."""
        if self._before is None and now - self._began >= BASE_AFTER:
            self._before = self._group.delays()

    def over(self, now: float, cpu_ms: float) -> bool:
        """Return whether the run is over its limit; else `deadline` has moved.

        `cpu_ms` is the CPU time of the run. It bounds the wait: a program whose threads fill the
        cores has not waited, though each of its threads has.
        """
        if now < self.deadline:
            return False
        if self._before is None:  # the limit is shorter than the time to the first reading
            return True
        waited = run_delay.longest(self._group.delays(), self._before) / 1000
        idle = now - self._began - cpu_ms / 1000 / self._cores
        extension = max(0.0, min(waited, idle, self._limit * MOST_EXTENSION))
        deadline = self._began + self._limit + extension
        if deadline < max(now, self.deadline) + _STEP:
            return True
        self.deadline = deadline
        return False
