"""The warm pool: started and locked-down sandboxes with a loaded runner, each for one job.

One thread fills the pool, one sandbox at a time and at low priority, to slow running executions
only slightly. The number of warm sandboxes follows recent demand, within a budget of
memory. If the pool is empty, a slot starts its sandbox itself.
"""

import logging
import threading
import time
from collections.abc import Iterable
from typing import Any

from core.database.retry import retry_on_lock
from core.jobs.failures import FailureLog
from core.jobs.wakeup import Wakeup
from core.jobs.worker import Worker
from execapp.executor import demand, warm_groups
from execapp.executor.breaker import CircuitBreaker
from execapp.executor.demand import Demand, WarmRequest
from execapp.executor.warm_groups import Key, WarmGroup, WarmSandbox
from sandbox.errors import SandboxError
from sandbox.limits import Limits
from sandbox.session import sessions
from sandbox.session.sessions import Session

logger = logging.getLogger(__name__)
LOOK_SECONDS = 1.0
LONGEST_PAUSE = 60.0
STALE_SECONDS = 3600.0  # a sandbox that waited longer is replaced
LINGER_SECONDS = 60.0  # how long a surplus sandbox may wait while its memory is not needed


class Pool:
    """Up to `size` warm sandboxes for each mode of each current version, within `budget` bytes.

    While the circuit breaker is open, no sandbox is warmed. `shed` ends the waiting sandboxes.
    """

    def __init__(
        self,
        *,
        size: int,
        budget: int,
        slot: str,
        most: int | None = None,
        breaker: CircuitBreaker | None = None,
    ) -> None:
        """Create a stopped pool. `most`: the number that the limit of open files allows."""
        self._size = size
        self._most = most
        self._breaker = breaker
        self._failures = FailureLog(logger)
        self._budget = budget
        self._slot = slot
        self._lock = threading.Lock()
        self._groups: dict[Key, WarmGroup] = {}
        # By template and mode: the next version has the same demand.
        self._demand: dict[tuple[str, str], Demand] = {}
        self._wakeup = Wakeup()
        self._moved = threading.Event()
        self._stopping = threading.Event()
        self._desired: dict[Key, WarmGroup] = {}
        self._look_at = 0.0
        worker = Worker[tuple[Key, WarmGroup]](
            name="the warm pool",
            claim=self._next,
            run=self._start_one,
            wakeup=self._wakeup,
            stopping=self._stopping,
            failures=self._failures,
            poll_seconds=LOOK_SECONDS,
        )
        self._thread = threading.Thread(target=worker.serve, name="warmer")

    def start(self) -> None:
        """Start the thread that fills the pool."""
        if self._size > 0:
            self._thread.start()

    def take(self, key: Key, limits: Limits) -> Session | None:
        """Return a live warm sandbox that fits the limits, now owned by the caller, or None."""
        dead: list[Session] = []
        taken = None
        with self._lock:
            group = self._groups.get(key)
            if group is None or not sessions.fits(group.limits, limits):
                return None
            group.demand.arrived(time.monotonic())
            while group.waiting and taken is None:
                session = group.waiting.popleft().session
                if session.alive:
                    taken = session
                else:
                    dead.append(session)
        for session in dead:
            session.close()
        return taken

    def refill(self) -> None:
        """Replace a used sandbox after its job: warming during the job would slow it.

        During a long job the pool refills without this call.
        """
        self._wakeup.notify()

    def look(self) -> None:
        """Read the current versions immediately, after a promotion."""
        self._moved.set()
        self._wakeup.notify()

    def shed(self) -> None:
        """End every warm sandbox, to free resources for the start of other sandboxes."""
        with self._lock:
            dropped = [one for group in self._groups.values() for one in group.waiting]
            for group in self._groups.values():
                group.waiting.clear()
        _end(dropped)

    def count(self) -> int:
        """Return the number of waiting warm sandboxes."""
        with self._lock:
            return sum(len(group.waiting) for group in self._groups.values())

    def metrics(self) -> dict[str, Any]:
        """Return the budget, and each group's waiting and desired sandboxes and memory in bytes."""
        now = time.monotonic()
        with self._lock:
            found = [
                {
                    "template": group.template,
                    "version": group.version,
                    "mode": group.mode,
                    "spare": group.spare,
                    "warm": len(group.waiting),
                    "desired": group.granted,
                    "memory_bytes": group.memory_bytes,
                    "per_minute": 0.0 if group.spare else round(group.demand.rate(now) * 60, 1),
                }
                for group in self._groups.values()
            ]
        return {"budget_bytes": self._budget if self._size else 0, "groups": found}

    def close(self) -> None:
        """Stop warming and end the warm sandboxes."""
        self._stopping.set()
        self._wakeup.notify()
        if self._thread.ident is not None:
            self._thread.join()
        with self._lock:
            everything, self._groups = list(self._groups.values()), {}
        _end(one for group in everything for one in group.waiting)

    def _next(self) -> tuple[Key, WarmGroup] | None:
        """Return the group with the greatest need for a sandbox, or None."""
        if self._moved.is_set() or time.monotonic() >= self._look_at:
            self._moved.clear()
            self._desired = retry_on_lock(warm_groups.desired_groups)
            self._look_at = time.monotonic() + LOOK_SECONDS
        self._follow(self._desired)
        return None if self._breaker and self._breaker.trouble else self._emptiest()

    def _follow(self, desired: dict[Key, WarmGroup]) -> None:
        """Keep a group for each key of `desired`; drop dead, stale and surplus sandboxes."""
        dropped: list[WarmSandbox] = []
        now = time.monotonic()
        with self._lock:
            for key in [key for key in self._groups if key not in desired]:
                dropped.extend(self._groups.pop(key).waiting)
            for key, new in desired.items():
                group = self._groups.setdefault(key, new)
                group.spare = new.spare
                group.demand = self._demand.setdefault((group.template, group.mode), Demand())
            self._grant(now)
            needed = self._memory_is_needed()
            for group in self._groups.values():
                dropped.extend(_unfit(group, now))
                dropped.extend(_surplus(group, now, needed=needed))
        _end(dropped)

    def _grant(self, now: float) -> None:
        requests = {
            key: WarmRequest(
                count=1 if group.spare else group.demand.desired(now, self._size),
                each_bytes=group.each_bytes,
                spare=group.spare,
            )
            for key, group in self._groups.items()
        }
        for key, count in demand.allocate(requests, self._budget, self._most).items():
            self._groups[key].granted = count

    def _memory_is_needed(self) -> bool:
        """Return whether the next missing sandbox exceeds the budget."""
        held = sum(group.memory_bytes for group in self._groups.values())
        missing = [
            group.each_bytes
            for group in self._groups.values()
            if len(group.waiting) < group.granted
        ]
        return held + max(missing, default=0) > self._budget

    def _start_one(self, chosen: tuple[Key, WarmGroup]) -> None:
        """Start a sandbox of this group; after a failure the group waits before a retry."""
        if self._stopping.is_set():
            return
        key, group = chosen
        began = time.monotonic()
        try:
            session = sessions.start(group.tree, group.limits, slot=self._slot, low_priority=True)
        except (SandboxError, OSError) as error:
            group.failures += 1
            pause = min(LONGEST_PAUSE, 2.0 ** min(group.failures, 6))
            group.retry_at = time.monotonic() + pause
            if self._breaker is None or not self._breaker.blames_machine(error):
                self._failures.failed(f"warming {group.template}@{group.version}", error)
            return
        self._failures.worked(f"warming {group.template}@{group.version}")
        if self._breaker is not None:
            self._breaker.worked()
        with self._lock:
            kept = self._groups.get(key) is group
            if kept:
                group.put(session, time.monotonic() - began)
        if not kept:  # dropped while it started
            session.close()

    def _emptiest(self) -> tuple[Key, WarmGroup] | None:
        now = time.monotonic()
        with self._lock:
            short = [
                (len(group.waiting), group.spare, key.version_id, key.mode, key)
                for key, group in self._groups.items()
                if len(group.waiting) < group.granted and group.retry_at <= now
            ]
            if not short:
                return None
            key = min(short, key=lambda item: item[:4])[4]
            return key, self._groups[key]


def _unfit(group: WarmGroup, now: float) -> list[WarmSandbox]:
    """Remove and return dead sandboxes; if there are none, the oldest one if it is stale."""
    unfit = [one for one in group.waiting if not one.session.alive]
    if not unfit and group.waiting and now - group.waiting[0].since > STALE_SECONDS:
        unfit = [group.waiting[0]]
    for one in unfit:
        group.waiting.remove(one)
    return unfit


def _surplus(group: WarmGroup, now: float, *, needed: bool) -> list[WarmSandbox]:
    """Remove and return surplus sandboxes: after a while, or at once if memory is `needed`."""
    over = len(group.waiting) - group.granted
    if over <= 0:
        group.surplus_since = None
        return []
    if group.surplus_since is None:
        group.surplus_since = now
    if not needed and now - group.surplus_since < LINGER_SECONDS:
        return []
    return [group.waiting.popleft() for _ in range(over)]


def _end(dropped: Iterable[WarmSandbox]) -> None:
    for one in dropped:
        one.session.close()
