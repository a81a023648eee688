"""The warm pool: started and locked-down sandboxes with a loaded runner, each for one job.

A sandbox is forked from a loaded process, where the template supports it (decision 0035), or loads
its runner itself. One thread starts the fork servers and fills the pool, one sandbox at a time. The
number of warm sandboxes follows recent demand, within a budget of memory. If the pool is empty, a
slot forks its sandbox, or starts one.

While executions wait for the processors, the pool starts fork servers and nothing else: a warm
sandbox serves one execution only, so making it then would take what that execution could use.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from core.database.retry import retry_on_lock
from core.jobs.failures import FailureLog
from core.jobs.wakeup import Wakeup
from core.jobs.worker import Worker
from execapp.executor import demand, fork_servers, warm_groups
from execapp.executor.breaker import CircuitBreaker
from execapp.executor.demand import Demand, WarmRequest
from execapp.executor.fork_servers import TriedServer
from execapp.executor.warm_groups import Key, WarmGroup, WarmSandbox
from sandbox.errors import ConfinementError, SandboxError, StartupError
from sandbox.forkserver.server import TIERS, Tier
from sandbox.limits import Limits
from sandbox.session import sessions
from sandbox.session.sessions import Session

logger = logging.getLogger(__name__)
LOOK_SECONDS = 1.0
MACHINE_PAUSE = 2.0  # without descriptors or processes, before another sandbox is forked early
DIED = "the fork server has died"
FORKING = "forking a sandbox of"
STALE_SECONDS = 3600.0  # a sandbox that waited longer is replaced
SERVER_BYTES = 64 * 1024 * 1024  # that must be left in the budget for another fork server
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
        busy: Callable[[], bool] = lambda: False,
    ) -> None:
        """Create a stopped pool.

        `most`: the number that the limit of open files allows. `busy`: whether executions use all
        processors.
        """
        self._size = size
        self._most = most
        self._breaker = breaker
        self._busy = busy
        self._failures = FailureLog(logger)
        self._budget = budget
        self._slot = slot
        self._lock = threading.Lock()
        self._groups: dict[Key, WarmGroup] = {}
        # By template, mode and tier: the next version has the same demand.
        self._demand: dict[tuple[str, str, Tier | None], Demand] = {}
        self._retired: list[TriedServer] = []  # their last sandboxes still run
        self._dropped: list[WarmSandbox] = []  # to be ended without the lock
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

    def take(
        self, key: Key, limits: Limits, *, started: Limits, tier: Tier, slot: str
    ) -> Session | None:
        """Return a live sandbox with a loaded runner, whose limits can be lowered to `limits`.

        The caller owns it. `tier` is that of the fork server which suits the submission; the other
        one also does. Without a waiting sandbox a server forks one now, with the limits `started`
        and in a control group of `slot`. None if nothing waits and no server serves.
        """
        tiers = sorted(TIERS, key=lambda each: each != tier)
        forked = [replace(key, tier=each) for each in tiers]
        for each in forked:
            session = self._waiting(each, limits) or self._fork(each, started, slot)
            if session is not None:
                return session
        return self._waiting(key, limits)

    def fork(self, key: Key, *, limits: Limits, tier: Tier, slot: str) -> Session | None:
        """Return another sandbox for the same execution, forked now; None if no server serves.

        It takes no waiting sandbox and does not count as demand: those are for other executions.
        """
        for each in sorted(TIERS, key=lambda name: name != tier):
            session = self._fork(replace(key, tier=each), limits, slot)
            if session is not None:
                return session
        return None

    def _waiting(self, key: Key, limits: Limits) -> Session | None:
        dead: list[Session] = []
        taken = None
        with self._lock:
            group = self._groups.get(key)
            if group is None:
                return None
            group.demand.arrived(time.monotonic())
            if not sessions.fits(group.limits, limits):
                return None
            while group.waiting and taken is None:
                session = group.waiting.popleft().session
                if session.alive:
                    taken = session
                    if group.server is not None:
                        group.server.jobs += 1
                else:
                    dead.append(session)
        for session in dead:
            session.close()
        return taken

    def _fork(self, key: Key, limits: Limits, slot: str) -> Session | None:
        with self._lock:
            group = self._groups.get(key)
            serving = group.server if group is not None else None
            if group is None or serving is None:
                return None
            serving.jobs += 1
        try:
            return serving.server.fork(limits, slot=slot)
        except (SandboxError, OSError) as error:
            self._not_forked(group, serving, error)
            return None

    def refill(self) -> None:
        """Replace a used sandbox after its job: warming during the job would slow it.

        During a long job the pool refills without this call, and also when it is no longer busy.
        """
        if not self._busy():
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
                    "tier": group.tier,
                    "serving": group.server is not None,
                    "forks": group.server.server.forks if group.server else 0,
                    "reason": group.reason,
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
            servers = [group.server for group in everything if group.server] + self._retired
            dropped, self._dropped = self._dropped, []
        _end([*dropped, *(one for group in everything for one in group.waiting)])
        for serving in servers:
            serving.server.close()

    def _next(self) -> tuple[Key, WarmGroup] | None:
        """Return the group with the greatest need for a sandbox, or None."""
        if self._moved.is_set() or time.monotonic() >= self._look_at:
            self._moved.clear()
            self._desired = retry_on_lock(warm_groups.desired_groups)
            self._look_at = time.monotonic() + LOOK_SECONDS
        self._follow(self._desired)
        self._end_dropped()
        if self._breaker and self._breaker.trouble:
            return None
        return self._serverless() or (None if self._busy() else self._emptiest())

    def _follow(self, desired: dict[Key, WarmGroup]) -> None:
        """Keep a group for each key of `desired`; drop dead, stale and surplus sandboxes."""
        now = time.monotonic()
        died: list[WarmGroup] = []
        with self._lock:
            for key in [key for key in self._groups if key not in desired]:
                gone = self._groups.pop(key)
                self._retire(gone)
                self._dropped.extend(gone.waiting)
            for group in self._groups.values():
                if group.server is not None and not group.server.server.alive:
                    self._retire(group)
                    group.postpone(StartupError(DIED))
                    died.append(group)
            for key, new in desired.items():
                group = self._groups.setdefault(key, new)
                group.spare = new.spare
                group.demand = self._demand.setdefault(
                    (group.template, group.mode, group.tier), Demand()
                )
            self._grant(now)
            needed = self._memory_is_needed()
            for group in self._groups.values():
                self._dropped.extend(_unfit(group, now))
                self._dropped.extend(_surplus(group, now, needed=needed))
        for group in died:
            self._report(group, StartupError(DIED), "the fork server of")

    def _grant(self, now: float) -> None:
        requests = {
            key: WarmRequest(
                count=1 if group.spare else group.demand.desired(now, self._size),
                each_bytes=group.each_bytes,
                spare=group.spare,
            )
            for key, group in self._groups.items()
            if self._is_needed(key, group)
        }
        servers = sum(group.server.memory_bytes for group in self._groups.values() if group.server)
        granted = demand.allocate(requests, max(0, self._budget - servers), self._most)
        for key, group in self._groups.items():
            group.granted = granted.get(key, 0)

    def _is_needed(self, key: Key, group: WarmGroup) -> bool:
        """Return whether this group's sandboxes may wait.

        Those of a fork server can once it serves. Others are of use only where no server serves, or
        where one has failed.
        """
        if group.tier is not None:
            return group.server is not None
        tiers = [self._groups.get(replace(key, tier=tier)) for tier in TIERS]
        forked = [each for each in tiers if each is not None]
        return not forked or any(each.server is None and each.failures for each in forked)

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
        """Start a server or a sandbox of this group; after a failure the group waits to retry."""
        if self._stopping.is_set():
            return
        key, group = chosen
        if _needs_server(group):
            self._serve(key, group)
        else:
            self._park(key, group)

    def _serve(self, key: Key, group: WarmGroup) -> None:
        """Start a fork server for this group, in the place of a worn one."""
        assert group.tier is not None  # noqa: S101 - only such groups have servers
        try:
            serving = fork_servers.start(
                group.tree, group.limits, group.smoke, slot=self._slot, tier=group.tier
            )
        except (SandboxError, OSError) as error:
            self._failed(group, error, "the fork server of")
            return
        with self._lock:
            self._retire(group)
            kept = self._groups.get(key) is group
            if kept:
                group.server, group.reason, group.failures = serving, "", 0
        if not kept:  # dropped while it started
            serving.server.close()

    def _park(self, key: Key, group: WarmGroup) -> None:
        began = time.monotonic()
        serving = group.server  # another thread may retire it meanwhile
        try:
            if serving is not None:
                session = serving.server.fork(group.limits, slot=self._slot)
            elif group.tier is None:
                session = sessions.start(
                    group.tree, group.limits, slot=self._slot, low_priority=True
                )
            else:
                return
        except (SandboxError, OSError) as error:
            if serving is not None:
                self._not_forked(group, serving, error)
            else:
                self._failed(group, error, "warming")
            return
        self._failures.worked(f"warming {group.template}@{group.version}")
        if self._breaker is not None:
            self._breaker.worked()
        with self._lock:
            kept = self._groups.get(key) is group and group.server is serving
            if kept:
                group.put(session, time.monotonic() - began)
        if not kept:  # dropped while it started
            session.close()

    def _failed(self, group: WarmGroup, error: Exception, what: str) -> None:
        """Note and report why a server or a sandbox could not be started."""
        group.postpone(error)
        self._report(group, error, what)

    def _report(self, group: WarmGroup, error: Exception, what: str) -> None:
        """Log the error as the machine's or the group's. Call it without the lock.

        The breaker tries a sandbox, which takes its time, and may call `shed`.
        """
        if self._breaker is None or not self._breaker.blames_machine(error):
            self._failures.failed(f"{what} {group.template}@{group.version}", error)

    def _not_forked(self, group: WarmGroup, serving: TriedServer, error: Exception) -> None:
        """Retire a server that could not fork; the pool starts another one.

        Errors of the machine are not the server's: it forks later.
        """
        with self._lock:
            first = group.server is serving  # of several threads
            if not isinstance(error, StartupError | ConfinementError):
                group.retry_at = time.monotonic() + MACHINE_PAUSE
            elif first:
                self._retire(group)
                group.postpone(error)
        if first:
            self._report(group, error, FORKING)
        self._wakeup.notify()

    def _retire(self, group: WarmGroup) -> None:
        """Let the group's server fork no more, and drop what waits. Call it with the lock held."""
        if group.server is not None:
            group.server.server.retire()
            self._retired.append(group.server)
            group.server = None
            # Else one that nobody takes would keep the server alive.
            self._dropped.extend(group.waiting)
            group.waiting.clear()

    def _end_dropped(self) -> None:
        """End dropped sandboxes, and the retired servers whose last sandboxes have ended."""
        with self._lock:
            dropped, self._dropped = self._dropped, []
        _end(dropped)
        with self._lock:
            idle = [serving for serving in self._retired if not serving.server.busy]
            self._retired = [serving for serving in self._retired if serving not in idle]
        for serving in idle:
            serving.server.close()

    def _serverless(self) -> tuple[Key, WarmGroup] | None:
        """Return a group that needs a fork server, current versions first; or None."""
        now = time.monotonic()
        with self._lock:
            held = sum(group.memory_bytes for group in self._groups.values())
            if self._size <= 0 or held + SERVER_BYTES > self._budget:
                return None
            found = [
                (group.spare, key.version_id, key.mode, key.tier or "", key)
                for key, group in self._groups.items()
                if group.retry_at <= now and _needs_server(group)
            ]
            if not found:
                return None
            key = min(found, key=lambda item: item[:4])[4]
            return key, self._groups[key]

    def _emptiest(self) -> tuple[Key, WarmGroup] | None:
        now = time.monotonic()
        with self._lock:
            short = [
                (len(group.waiting), group.spare, key.version_id, key.mode, key.tier or "", key)
                for key, group in self._groups.items()
                if len(group.waiting) < group.granted and group.retry_at <= now
            ]
            if not short:
                return None
            key = min(short, key=lambda item: item[:5])[5]
            return key, self._groups[key]


def _needs_server(group: WarmGroup) -> bool:
    if group.tier is None:
        return False
    return group.server is None or group.server.worn()


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
