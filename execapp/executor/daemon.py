"""The executor: starts everything in order, tends it, and stops it in order."""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from django.conf import settings

from core.database import connections
from core.engine.local import socket_path
from core.jobs.failures import FailureLog
from core.jobs.wakeup import Bell
from execapp.executor import execution_worker, lookup_worker
from execapp.executor.breaker import CircuitBreaker
from execapp.executor.build_worker import BuildLane
from execapp.executor.listener import Listener
from execapp.executor.lock import ExecutorLock
from execapp.executor.pool import Pool
from execapp.executor.running import Registry
from execapp.executor.verification_worker import Keeper
from execapp.services import building, claims, heartbeats
from sandbox import probe, resources
from sandbox.cgroup import leases
from sandbox.isolation import orphans
from sandbox.isolation.parking import Berths
from templatemgr.build import lookups as questions
from templatemgr.integrity import compile_caches
from templatemgr.maintenance import startup_check
from templatemgr.promotion import promotions

logger = logging.getLogger(__name__)
BEAT_SECONDS = 1.0
REAP_SECONDS = 5.0


class Daemon:
    """One executor of one data directory. `start`, then `stop`; once each."""

    def __init__(
        self,
        *,
        slots: int | None = None,
        warm: int | None = None,
        grace: float | None = None,
    ) -> None:
        self.slots = settings.STENCIL_SLOTS if slots is None else slots
        self.warm = _setting("STENCIL_WARM", self.slots) if warm is None else warm
        self.grace = float(_setting("STENCIL_GRACE_SECONDS", 20)) if grace is None else grace
        self._stopped = threading.Event()
        self.stopped = False
        self._builders: list[BuildLane] = []
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Take the lock, clear up after a dead predecessor, and begin. `LockedError`."""
        data = Path(settings.STENCIL_DATA)
        data.mkdir(parents=True, exist_ok=True)
        self._lock = ExecutorLock(data / "executor.lock")
        try:
            self._failures = FailureLog(logger)
            self._descriptors = resources.raise_descriptor_limit()
            resources.raise_process_limit()
            self._clear_up(self._lock.identity)
            self.house = self._furnish(self._lock.identity)
        except BaseException:
            self._lock.release()
            raise
        house = self.house
        heartbeats.arrive(
            worker=house.worker,
            host=socket.gethostname()[:100],
            pid=os.getpid(),
            slots=self.slots,
            fingerprint=house.host,
        )
        house.listener.start()
        self._thread("breaker", self._tend_breaker)
        house.pool.start()
        house.berths.start()
        for number in range(self.slots):
            self._thread(
                f"slot-{number}", execution_worker.serve, house, f"{house.worker}-slot{number}"
            )
        self._thread("lookups", lookup_worker.serve, house)
        self._thread("tender", self._tend)
        self._builders = [BuildLane(house, n) for n in range(_setting("STENCIL_BUILDS", 1))]
        self._lanes = [
            threading.Thread(target=builder.serve, name=f"builds-{number}")
            for number, builder in enumerate(self._builders)
        ]
        for lane in self._lanes:
            lane.start()
        self._keeper = Keeper(worker=house.worker, registry=house.registry, bell=house.errands)
        self._keeper.start()
        logger.info(
            "executor %s: %s slots, warm %s each at most", house.worker, self.slots, self.warm
        )

    def stop(self) -> None:
        """Drain: what runs may finish within the grace; then it goes back to the queue."""
        house = self.house
        house.draining.set()
        house.bell.ring()
        house.errands.ring()
        deadline = time.monotonic() + self.grace
        _wait_until(lambda: len(house.registry) == 0, deadline)
        house.registry.give_back_all()
        self._keeper.stop()
        for lane in self._lanes:
            lane.join(max(0.0, deadline - time.monotonic()))
        for builder in self._builders:  # what took longer can be asked for again
            builder.abandon()
        for lane in self._lanes:
            lane.join()
        for thread in self._threads:
            if thread.name not in ("tender", "breaker"):
                thread.join()
        house.pool.close()
        house.berths.close()
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        house.listener.close()
        connections.patiently(lambda: heartbeats.leave(worker=house.worker))
        connections.release()
        self._lock.release()
        self.stopped = True
        logger.info("executor %s: stopped", house.worker)

    def _clear_up(self, worker: str) -> None:
        # We hold the lock, so whatever bears our identity was left by a process that is dead.
        swept = self._if_possible("removing control groups", lambda: leases.sweep(f"{worker}-"))
        orphaned = self._if_possible("ending sandboxes", lambda: orphans.sweep(f"{worker}-"))
        requeued = connections.patiently(lambda: claims.take_over(worker=worker))
        interrupted = connections.patiently(lambda: building.take_over(worker=worker))
        connections.patiently(lambda: questions.reap(worker=worker))
        if swept or orphaned or requeued or interrupted:
            text = "cleared up: %s control groups, %s sandboxes, %s executions, %s builds"
            counts = (len(swept or ()), len(orphaned or ()), requeued, interrupted)
            logger.warning(text, *counts)
        # The links are for people: no trouble with them keeps anybody from being served.
        self._if_possible("renewing the links `current`", promotions.reconcile_all)
        self._if_possible("clearing what was filled", compile_caches.sweep)
        self._if_possible(
            "looking for what changed", lambda: connections.patiently(startup_check.check_current)
        )

    def _if_possible[T](self, what: str, act: Callable[[], T]) -> T | None:
        """Do what start-up can do without; its failure is logged."""
        try:
            return act()
        except Exception as error:  # noqa: BLE001 - logged with its traceback
            self._failures.failed(what, error)
            return None

    def _furnish(self, worker: str) -> execution_worker.House:
        bell, errands, registry = Bell(), Bell(), Registry()
        breaker = CircuitBreaker(
            trial=partial(resources.try_start, slot=f"{worker}-trial"),
            opened=lambda: pool.shed(),
            closed=bell.ring,
        )
        room = resources.sandboxes_within(self._descriptors, slots=self.slots)
        pool = Pool(
            size=self.warm,
            budget=settings.STENCIL_WARM_BYTES,
            slot=f"{worker}-warm",
            most=room,
            breaker=breaker,
        )
        if room < self.warm:
            text = "open files are limited to %s: at most %s sandboxes are kept warm"
            logger.warning(text, self._descriptors, room)
        return execution_worker.House(
            worker=worker,
            host={**probe.host_fingerprint()},
            bell=bell,
            errands=errands,
            registry=registry,
            rotation=claims.Rotation(),
            pool=pool,
            berths=Berths(slot=f"{worker}-berth"),
            listener=Listener(
                socket_path(),
                on_wake=partial(_woken, bell, errands, pool),
                on_cancel=registry.cancel,
            ),
            draining=threading.Event(),
            claiming=threading.Lock(),
            breaker=breaker,
            failures=self._failures,
            client_limit=settings.STENCIL_CLIENT_SLOTS or None,
        )

    def _thread(self, name: str, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, name=name)
        self._threads.append(thread)
        thread.start()

    def _tend(self) -> None:
        """Heartbeat, leases, cancellations that came without a message, expired leases."""
        reap_at = 0.0
        try:
            while not self._stopped.is_set():
                try:
                    self._beat()
                    self.house.listener.ensure()
                    if time.monotonic() >= reap_at:
                        self._reap()
                        reap_at = time.monotonic() + REAP_SECONDS
                    self._failures.worked("the heartbeat")
                except Exception as error:  # noqa: BLE001 - logged, and tried again
                    self._failures.failed("the heartbeat", error)
                    connections.release()
                self._stopped.wait(BEAT_SECONDS)
        finally:
            connections.release()

    def _tend_breaker(self) -> None:
        """Try whether sandboxes can be started: in trouble, and when none was for a while."""
        while not self._stopped.wait(BEAT_SECONDS):
            self.house.breaker.tend()

    def _beat(self) -> None:
        house = self.house
        running = house.registry.ids()
        trouble = house.breaker.trouble
        heartbeats.beat(
            worker=house.worker,
            busy=len(running),
            pool=house.pool.figures(),
            builds_running=sum(builder.busy for builder in self._builders),
            draining=house.draining.is_set(),
            trouble="" if trouble is None else f"{trouble.cause} (error {trouble.error_id})",
        )
        if running:
            for execution_id in claims.cancelled(executions=running):
                house.registry.cancel(execution_id)

    def _reap(self) -> None:
        house = self.house
        claims.heartbeat(worker=house.worker, executions=house.registry.ids())
        if claims.reap():
            house.bell.ring()


def _woken(bell: Bell, errands: Bell, pool: Pool, kind: str) -> None:
    if kind == "promotion":
        pool.look()
    elif kind == "execution":
        bell.ring_for_one()  # the others would only ask the database for nothing
    else:
        errands.ring()


def _setting(name: str, default: int) -> int:
    return int(getattr(settings, name, default))


def _wait_until(holds: Callable[[], bool], deadline: float) -> None:
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
