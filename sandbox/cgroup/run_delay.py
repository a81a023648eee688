"""The time that processes were ready to run but waited for a processor.

Sources: `cpu.pressure` of a v2 group (see psi in the kernel's documentation), and the second field
of `/proc/<pid>/task/<tid>/schedstat`, in nanoseconds (see sched-stats).
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from sandbox.cgroup.process_tree import threads_of

_GROUP = "group"
Delays = Mapping[str, float]  # milliseconds, by task or for the whole group


def of_group(pressure: str) -> Delays | None:
    """Parse `cpu.pressure`: the time in which no process of the group ran and one was ready.

    `some` would grow while threads of one program wait for each other's processor. None if the
    kernel has no such line.
    """
    for line in pressure.splitlines():
        kind, *fields = line.split()
        if kind == "full":
            values = dict(field.split("=", 1) for field in fields)
            return {_GROUP: int(values["total"]) / 1e3}
    return None


def of_tasks(pids: Iterable[int]) -> Delays:
    """Return the delay of each task of these processes; tasks that have ended are left out."""
    found = {}
    for pid in pids:
        for task in threads_of(pid):
            delay = _of_task(pid, task)
            if delay is not None:
                found[str(task)] = delay
    return found


def _of_task(pid: int, task: int) -> float | None:
    try:
        text = Path(f"/proc/{pid}/task/{task}/schedstat").read_text(encoding="ascii")
        return int(text.split()[1]) / 1e6
    except (OSError, ValueError, IndexError):  # it has just ended, or the kernel does not count
        return None


def longest(now: Delays, before: Delays) -> float:
    """Return the milliseconds that the task with the longest delay waited since `before`.

    One task, not the sum: more threads do not make the wait longer.
    """
    return max((delay - before.get(task, 0.0) for task, delay in now.items()), default=0.0)
