"""Warm sandboxes: started, locked down, runner loaded, each for one job.

One thread fills the pool, outside the slots, one sandbox at a time and at low priority, so that
warming takes little from what is running. How many wait follows recent demand, within a budget of
memory. An empty pool is no failure: a slot then starts its sandbox itself.
"""

import logging
import threading
import time
from collections.abc import Iterable
from typing import Any

from core.database import connections
from core.jobs.failures import FailureLog
from core.jobs.wakeup import Bell
from execapp.executor import demand, warm_groups
from execapp.executor.breaker import CircuitBreaker
from execapp.executor.demand import Ask, Demand
from execapp.executor.warm_groups import Key, Shelf, Waiting
from sandbox.errors import SandboxError
from sandbox.limits import Limits
from sandbox.session import sessions
from sandbox.session.sessions import Session

logger = logging.getLogger(__name__)
LOOK_SECONDS = 1.0
LONGEST_PAUSE = 60.0
STALE_SECONDS = 3600.0  # one that waited longer is replaced
LINGER_SECONDS = 60.0  # how long more than is wanted may wait, while nobody else needs the memory


class Pool:
    """Up to `size` warm sandboxes for each mode of each current version, within `budget` bytes.

    While the circuit breaker is open nothing is warmed; `shed` gives back what waits.
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
        """`most`: how many sandboxes the limit of open files allows. `breaker`: whether to warm."""
        self._size = size
        self._most = most
        self._breaker = breaker
        self._failures = FailureLog(logger)
        self._budget = budget
        self._slot = slot
        self._lock = threading.Lock()
        self._shelves: dict[Key, Shelf] = {}
        # By template and mode: what was asked of one version is asked of the next as well.
        self._demand: dict[tuple[str, str], Demand] = {}
        self._bell = Bell()
        self._moved = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._fill, name="warmer")

    def start(self) -> None:
        """Begin to warm."""
        if self._size > 0:
            self._thread.start()

    def take(self, key: Key, limits: Limits) -> Session | None:
        """A living warm sandbox that can take these limits, or None: start one yourself."""
        dead: list[Session] = []
        taken = None
        with self._lock:
            shelf = self._shelves.get(key)
            if shelf is None or not sessions.fits(shelf.limits, limits):
                return None
            shelf.demand.arrived(time.monotonic())
            while shelf.waiting and taken is None:
                session = shelf.waiting.popleft().session
                if session.alive:
                    taken = session
                else:
                    dead.append(session)
        for session in dead:
            session.close()
        return taken

    def refill(self) -> None:
        """One was used, and its job is done: warming the next would have slowed it down.

        While a job lasts longer, the pool notices by itself.
        """
        self._bell.ring()

    def look(self) -> None:
        """Something was promoted: see what is current, now."""
        self._moved.set()
        self._bell.ring()

    def shed(self) -> None:
        """End every sandbox that waits: what they hold is needed to start anything at all."""
        with self._lock:
            dropped = [one for shelf in self._shelves.values() for one in shelf.waiting]
            for shelf in self._shelves.values():
                shelf.waiting.clear()
        _end(dropped)

    def count(self) -> int:
        """How many wait now."""
        with self._lock:
            return sum(len(shelf.waiting) for shelf in self._shelves.values())

    def figures(self) -> dict[str, Any]:
        """The budget, and of each shelf what waits, what is wanted and what it holds."""
        now = time.monotonic()
        with self._lock:
            found = [
                {
                    "template": shelf.template,
                    "version": shelf.version,
                    "mode": shelf.mode,
                    "spare": shelf.spare,
                    "warm": len(shelf.waiting),
                    "wanted": shelf.granted,
                    "memory_bytes": shelf.memory_bytes,
                    "per_minute": 0.0 if shelf.spare else round(shelf.demand.rate(now) * 60, 1),
                }
                for shelf in self._shelves.values()
            ]
        return {"budget_bytes": self._budget if self._size else 0, "shelves": found}

    def close(self) -> None:
        """Stop warming and end what is warm."""
        self._stopping.set()
        self._bell.ring()
        if self._thread.ident is not None:
            self._thread.join()
        with self._lock:
            everything, self._shelves = list(self._shelves.values()), {}
        _end(one for shelf in everything for one in shelf.waiting)

    def _fill(self) -> None:
        wanted: dict[Key, Shelf] = {}
        look_at = 0.0
        try:
            while not self._stopping.is_set():
                seen = self._bell.count
                try:
                    if self._moved.is_set() or time.monotonic() >= look_at:
                        self._moved.clear()
                        wanted = connections.patiently(warm_groups.wanted)
                        look_at = time.monotonic() + LOOK_SECONDS
                    self._follow(wanted)
                    busy = self._start_one()
                    self._failures.worked("the warm pool")
                except Exception as error:  # noqa: BLE001 - logged, and tried again
                    self._failures.failed("the warm pool", error)
                    busy = False
                if not busy:
                    self._bell.wait(seen, LOOK_SECONDS)
        finally:
            connections.release()

    def _follow(self, wanted: dict[Key, Shelf]) -> None:
        """Keep a shelf for each key of `wanted`, with as many as demand and budget say."""
        dropped: list[Waiting] = []
        now = time.monotonic()
        with self._lock:
            for key in [key for key in self._shelves if key not in wanted]:
                dropped.extend(self._shelves.pop(key).waiting)
            for key, new in wanted.items():
                shelf = self._shelves.setdefault(key, new)
                shelf.spare = new.spare
                shelf.demand = self._demand.setdefault((shelf.template, shelf.mode), Demand())
            self._grant(now)
            needed = self._memory_is_needed()
            for shelf in self._shelves.values():
                dropped.extend(_unfit(shelf, now))
                dropped.extend(_surplus(shelf, now, needed=needed))
        _end(dropped)

    def _grant(self, now: float) -> None:
        asks = {
            key: Ask(
                count=1 if shelf.spare else shelf.demand.wanted(now, self._size),
                each_bytes=shelf.each_bytes,
                spare=shelf.spare,
            )
            for key, shelf in self._shelves.items()
        }
        for key, count in demand.allot(asks, self._budget, self._most).items():
            self._shelves[key].granted = count

    def _memory_is_needed(self) -> bool:
        """Whether those that wait hold too much, or so much that one who is short gets none."""
        held = sum(shelf.memory_bytes for shelf in self._shelves.values())
        missing = [
            shelf.each_bytes
            for shelf in self._shelves.values()
            if len(shelf.waiting) < shelf.granted
        ]
        return held + max(missing, default=0) > self._budget

    def _start_one(self) -> bool:
        """Start the sandbox that is missed most; False when none is."""
        chosen = None if self._breaker and self._breaker.trouble else self._emptiest()
        if chosen is None or self._stopping.is_set():
            return False
        key, shelf = chosen
        began = time.monotonic()
        try:
            session = sessions.start(shelf.tree, shelf.limits, slot=self._slot, low_priority=True)
        except (SandboxError, OSError) as error:
            shelf.failures += 1
            pause = min(LONGEST_PAUSE, 2.0 ** min(shelf.failures, 6))
            shelf.retry_at = time.monotonic() + pause
            if self._breaker is None or not self._breaker.blames_machine(error):
                self._failures.failed(f"warming {shelf.template}@{shelf.version}", error)
            return True
        self._failures.worked(f"warming {shelf.template}@{shelf.version}")
        if self._breaker is not None:
            self._breaker.worked()
        with self._lock:
            kept = self._shelves.get(key) is shelf
            if kept:
                shelf.put(session, time.monotonic() - began)
        if not kept:  # dropped while it started
            session.close()
        return True

    def _emptiest(self) -> tuple[Key, Shelf] | None:
        now = time.monotonic()
        with self._lock:
            short = [
                (len(shelf.waiting), shelf.spare, key.version_id, key.mode, key)
                for key, shelf in self._shelves.items()
                if len(shelf.waiting) < shelf.granted and shelf.retry_at <= now
            ]
            if not short:
                return None
            key = min(short, key=lambda item: item[:4])[4]
            return key, self._shelves[key]


def _unfit(shelf: Shelf, now: float) -> list[Waiting]:
    """Take off what has died, and the oldest when it waited too long: one at a time."""
    unfit = [one for one in shelf.waiting if not one.session.alive]
    if not unfit and shelf.waiting and now - shelf.waiting[0].since > STALE_SECONDS:
        unfit = [shelf.waiting[0]]
    for one in unfit:
        shelf.waiting.remove(one)
    return unfit


def _surplus(shelf: Shelf, now: float, *, needed: bool) -> list[Waiting]:
    """Take off what is more than granted: after a while, or at once when its memory is `needed`."""
    over = len(shelf.waiting) - shelf.granted
    if over <= 0:
        shelf.surplus_since = None
        return []
    if shelf.surplus_since is None:
        shelf.surplus_since = now
    if not needed and now - shelf.surplus_since < LINGER_SECONDS:
        return []
    return [shelf.waiting.popleft() for _ in range(over)]


def _end(dropped: Iterable[Waiting]) -> None:
    for one in dropped:
        one.session.close()
