"""The watchdog in the place of a control group, for machines without control groups."""

import os
import resource
from contextlib import suppress
from typing import override

from sandbox.cgroup import run_delay
from sandbox.cgroup.groups import Group
from sandbox.cgroup.hierarchy import Kind
from sandbox.cgroup.process_tree import CAP_SYS_NICE, Member, may, threads_of, tree_of

_LOW_NICE = 5


def _may_renice() -> bool:
    # Counted from 40: a limit of 20 allows to go back to nice 0.
    return resource.getrlimit(resource.RLIMIT_NICE)[0] >= 20 or may(CAP_SYS_NICE)


class NoGroup(Group):
    """No control group: each question is answered from the tree of processes.

    This is weaker: it sees resident memory at intervals, and the CPU of a short-lived child only
    after its parent has waited for it. RLIMIT_NPROC limits the number of processes and counts by
    user, so sandboxes that root starts share one limit.
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

    @override
    def vacant(self) -> bool:
        return True

    @override
    def empty(self) -> None:
        self._forget()

    @override
    def add(self, pid: int) -> None:
        self._root = pid

    @override
    def begin(self, *, memory_bytes: int, processes: int) -> None:
        self._memory_limit = memory_bytes

    @override
    def lower(self, *, memory_bytes: int, processes: int) -> None:
        self._memory_limit = memory_bytes

    @override
    def cpu_ms(self) -> float:
        self._look()
        return self._cpu

    @override
    def memory_peak(self) -> int | None:
        return self._peak or None

    @override
    def set_priority(self, *, low: bool) -> None:
        if not _may_renice():  # a lowered priority could not be raised again
            return
        for member in self._members():
            for thread in threads_of(member.pid):
                with suppress(ProcessLookupError):
                    os.setpriority(os.PRIO_PROCESS, thread, _LOW_NICE if low else 0)

    @override
    def favour(self) -> None:
        """Do nothing: a raised priority would apply against the whole machine."""

    @override
    def delays(self) -> run_delay.Delays:
        return run_delay.of_tasks(self.pids())

    @override
    def memory_used(self) -> int:
        return sum(member.resident_bytes for member in self._members())

    @override
    def out_of_memory(self) -> bool:
        return self._over

    @override
    def pids(self) -> list[int]:
        return [member.pid for member in self._members()]

    @override
    def kill(self) -> None:
        """Forget the processes: their pid namespace has died, and zombies wait for their parent."""
        self._root = None

    @override
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
