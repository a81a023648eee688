"""Start and stop the threads of the executor, in order."""

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
from core.database.retry import retry_on_lock
from core.jobs.failures import FailureLog
from core.jobs.wakeup import Wakeup
from core.jobs.worker import Periodic, Worker
from execapp.executor import execution_worker, lookup_worker
from execapp.executor.admission import Admission
from execapp.executor.breaker import CircuitBreaker
from execapp.executor.build_worker import BuildWorker
from execapp.executor.context import ExecutorContext
from execapp.executor.delivery_worker import DeliveryWorker
from execapp.executor.dispatcher import Claimed, Dispatcher
from execapp.executor.heartbeat import HeartbeatThread
from execapp.executor.listener import make_receiver
from execapp.executor.live import LiveOutputs
from execapp.executor.lock import ExecutorLock
from execapp.executor.pool import Pool
from execapp.executor.readings import MachineReadings
from execapp.executor.runners import Runners
from execapp.executor.running import RunningExecutions
from execapp.executor.verification_worker import VerificationWorker
from execapp.services import claims, heartbeats
from sandbox import probe, resources
from sandbox.cgroup import leases
from sandbox.isolation import orphans
from sandbox.isolation.parking import ParkedPool
from templatemgr import data_paths
from templatemgr.build import builds, lookups
from templatemgr.integrity import compile_caches, data_directory
from templatemgr.maintenance import startup_check
from templatemgr.promotion import promotions
from templatemgr.trees import places

logger = logging.getLogger(__name__)
BREAKER_SECONDS = 1.0
MOST_EACH = 32  # executions that run at once, most of them waiting, for each slot


class Daemon:
    """The executor of one data directory. Call `start`, then `stop`, once each."""

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
        self._stopped, self._stop_wakeup = threading.Event(), Wakeup()
        self.stopped = False
        self._build_workers: list[BuildWorker] = []
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Take the lock, clean up after a dead predecessor, and start. Raise LockedError."""
        data = Path(settings.STENCIL_DATA)
        data.mkdir(parents=True, exist_ok=True)
        self._lock = ExecutorLock(data / "executor.lock")
        try:
            self._failures = FailureLog(logger)
            self._descriptors = resources.raise_descriptor_limit()
            resources.raise_process_limit()
            self._clear_up(self._lock.identity)
            self.context = self._make_context(self._lock.identity)
        except BaseException:
            self._lock.release()
            raise
        context = self.context
        heartbeats.arrive(
            worker=context.worker,
            host=socket.gethostname()[:100],
            pid=os.getpid(),
            slots=self.slots,
            fingerprint=context.host,
        )
        places.make_room_for_socket(data / "executor.sock", data_paths.aside())
        context.receiver.start()
        self._thread("breaker", self._make_breaker_worker().serve)
        context.pool.start()
        context.parked_pool.start()
        self._runners = Runners[Claimed](
            partial(execution_worker.run, context),
            prefix=f"{context.worker}-slot",
            kept=self.slots,
        )
        self._runners.open()
        self._dispatching = Dispatcher(context, start=self._runners.start)
        self._dispatcher = threading.Thread(target=self._dispatching.serve, name="dispatcher")
        self._dispatcher.start()
        self._thread("lookups", lookup_worker.make_worker(context).serve)
        self._build_workers = [
            BuildWorker(context, n) for n in range(_setting("STENCIL_BUILDS", 1))
        ]
        self.heartbeat = HeartbeatThread(
            context, builds_running=lambda: sum(worker.busy for worker in self._build_workers)
        )
        self.heartbeat.start()
        self._build_threads = [
            threading.Thread(target=worker.serve, name=f"builds-{number}")
            for number, worker in enumerate(self._build_workers)
        ]
        for thread in self._build_threads:
            thread.start()
        self._verification_worker = VerificationWorker(context)
        self._verification_worker.start()
        self._delivery_worker = DeliveryWorker(context)
        self._delivery_worker.start()
        logger.info(
            "executor %s: %s slots, %s executions and warm %s each at most",
            context.worker,
            self.slots,
            context.admission.most,
            self.warm,
        )

    def stop(self) -> None:
        """Drain: let running jobs finish within the grace, then return the rest to the queue."""
        context = self.context
        context.draining.set()
        context.execution_wakeup.notify()
        context.maintenance_wakeup.notify()
        deadline = time.monotonic() + self.grace
        self._dispatcher.join(max(0.0, deadline - time.monotonic()))
        _wait_until(lambda: len(context.running_executions) == 0, deadline)
        context.running_executions.give_back_all()
        self._verification_worker.stop()
        self._delivery_worker.stop(deadline)
        for thread in self._build_threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        for worker in self._build_workers:  # an abandoned build can be requested again
            worker.abandon()
        for thread in self._build_threads:
            thread.join()
        self._dispatcher.join()
        context.running_executions.give_back_all()  # those that it claimed while the database hung
        self._runners.close()
        for thread in self._threads:
            if thread.name != "breaker":
                thread.join()
        context.pool.close()
        context.parked_pool.close()
        self._stopped.set()
        self._stop_wakeup.notify()
        for thread in self._threads:
            thread.join()
        self.heartbeat.stop()
        context.receiver.close()
        retry_on_lock(lambda: heartbeats.leave(worker=context.worker))
        connections.release()
        self._lock.release()
        self.stopped = True
        logger.info("executor %s: stopped", context.worker)

    def _clear_up(self, worker: str) -> None:
        self._if_possible("repairing the data directory", data_directory.repair)
        # This process holds the lock, so a dead process left the groups with this identity.
        swept = self._if_possible("removing control groups", lambda: leases.sweep(f"{worker}-"))
        orphaned = self._if_possible("ending sandboxes", lambda: orphans.sweep(f"{worker}-"))
        requeued = retry_on_lock(lambda: claims.take_over(worker=worker))
        # Their leases expire soon, if the store cannot be locked now.
        interrupted = self._if_possible(
            "ending the builds of a dead process",
            lambda: retry_on_lock(lambda: builds.take_over(worker=worker)),
        )
        retry_on_lock(lambda: lookups.take_over(worker=worker))
        if swept or orphaned or requeued or interrupted:
            text = "cleared up: %s control groups, %s sandboxes, %s executions, %s builds"
            counts = (len(swept or ()), len(orphaned or ()), requeued, interrupted)
            logger.warning(text, *counts)
        # The links are for people only: an error here must not stop the executor.
        self._if_possible("renewing the links `current`", promotions.reconcile_all)
        self._if_possible("removing unfinished caches", compile_caches.sweep)
        self._if_possible(
            "checking versions for changes", lambda: retry_on_lock(startup_check.check_current)
        )

    def _if_possible[T](self, what: str, act: Callable[[], T]) -> T | None:
        """Run an optional step of the start; log its failure."""
        try:
            return act()
        except Exception as error:  # noqa: BLE001 - logged with its traceback
            self._failures.failed(what, error)
            return None

    def _make_context(self, worker: str) -> ExecutorContext:
        execution_wakeup, maintenance_wakeup, delivery_wakeup = Wakeup(), Wakeup(), Wakeup()
        running_executions = RunningExecutions()
        breaker = CircuitBreaker(
            trial=partial(resources.try_start, slot=f"{worker}-trial"),
            opened=lambda: pool.shed(),
            closed=execution_wakeup.notify,
        )
        room = resources.sandboxes_within(self._descriptors, slots=self.slots)
        admission = self._make_admission(execution_wakeup.notify)
        pool = Pool(
            size=self.warm,
            budget=settings.STENCIL_WARM_BYTES,
            slot=f"{worker}-warm",
            most=room,
            breaker=breaker,
            busy=admission.busy,
        )
        if room < self.warm:
            text = "open files are limited to %s: at most %s sandboxes are kept warm"
            logger.warning(text, self._descriptors, room)
        receiver = make_receiver(
            execution_wakeup=execution_wakeup,
            maintenance_wakeup=maintenance_wakeup,
            delivery_wakeup=delivery_wakeup,
            pool=pool,
            running_executions=running_executions,
        )
        live = LiveOutputs(receiver.changed)
        receiver.serve_live(live)
        return ExecutorContext(
            worker=worker,
            host={**probe.host_fingerprint()},
            execution_wakeup=execution_wakeup,
            maintenance_wakeup=maintenance_wakeup,
            delivery_wakeup=delivery_wakeup,
            running_executions=running_executions,
            rotation=claims.Rotation(),
            pool=pool,
            parked_pool=ParkedPool(slot=f"{worker}-parked"),
            receiver=receiver,
            live=live,
            draining=threading.Event(),
            admission=admission,
            breaker=breaker,
            failures=self._failures,
            client_limit=settings.STENCIL_CLIENT_SLOTS or None,
        )

    def _make_admission(self, freed: Callable[[], object]) -> Admission:
        most = settings.STENCIL_MOST_RUNNING or MOST_EACH * self.slots
        return Admission(
            cores=self.slots,
            ahead=self.slots,
            most=min(most, resources.running_within(self._descriptors)),
            memory_bytes=settings.STENCIL_RUNNING_BYTES,
            processes=resources.raise_process_limit() // 2,
            readings=MachineReadings(leases.current_hierarchy()),
            freed=freed,
        )

    def _thread(self, name: str, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, name=name)
        self._threads.append(thread)
        thread.start()

    def _make_breaker_worker(self) -> Worker[None]:
        """Return the worker that lets the breaker start its trials: while open, or when idle."""
        trials = Periodic(
            name="the trials of the circuit breaker",
            action=self.context.breaker.run_due_trial,
            seconds=BREAKER_SECONDS,
            delay=BREAKER_SECONDS,
        )
        return Worker[None](
            name="the circuit breaker",
            claim=lambda: None,
            run=lambda _: None,
            wakeup=self._stop_wakeup,
            stopping=self._stopped,
            failures=self._failures,
            periodic=[trials],
            poll_seconds=BREAKER_SECONDS,
        )


def _setting(name: str, default: int) -> int:
    return int(getattr(settings, name, default))


def _wait_until(holds: Callable[[], bool], deadline: float) -> None:
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
