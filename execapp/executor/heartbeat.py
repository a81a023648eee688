"""The heartbeat thread: write heartbeats, renew leases, and find missed cancellations.

Once a second it writes the state of the executor. Every few seconds it renews the leases of running
executions and requeues executions with an expired lease.
"""

import threading
from collections.abc import Callable

from core.jobs.wakeup import Wakeup
from core.jobs.worker import Periodic, Worker
from execapp.counters import counting
from execapp.counters.tally import FORGET_SECONDS, TALLY, forget
from execapp.executor.context import ExecutorContext
from execapp.services import claims, collected_files, heartbeats

BEAT_SECONDS = 1.0
REAP_SECONDS = 5.0


class HeartbeatThread:
    """The heartbeat of one executor. Call `start`, then `stop`, once each."""

    def __init__(self, context: ExecutorContext, *, builds_running: Callable[[], int]) -> None:
        self._context = context
        self._builds_running = builds_running
        self._stopping = threading.Event()
        self._wakeup = Wakeup()
        worker = Worker[None](
            name="the heartbeat",
            claim=self._beat,
            run=lambda _: None,
            wakeup=self._wakeup,
            stopping=self._stopping,
            failures=context.failures,
            periodic=[
                Periodic(name="the reaper", action=self._renew_and_reap, seconds=REAP_SECONDS),
                Periodic(
                    name="the counters", action=TALLY.flush, seconds=counting.FLUSH_SECONDS / 2
                ),
                Periodic(
                    name="unnamed files",
                    action=collected_files.sweep,
                    seconds=collected_files.SWEEP_SECONDS,
                ),
                Periodic(name="old counters", action=forget, seconds=FORGET_SECONDS),
            ],
            poll_seconds=BEAT_SECONDS,
        )
        self._thread = threading.Thread(target=worker.serve, name="heartbeat")

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread and wait for its end."""
        self._stopping.set()
        self._wakeup.notify()
        self._thread.join()
        counting.flush_last()

    def _beat(self) -> None:
        context = self._context
        running = context.running_executions.ids()
        trouble = context.breaker.trouble
        heartbeats.beat(
            worker=context.worker,
            busy=len(running),
            pool=context.pool.metrics(),
            builds_running=self._builds_running(),
            draining=context.draining.is_set(),
            trouble="" if trouble is None else f"{trouble.cause} (error {trouble.error_id})",
        )
        if running:
            for execution_id in claims.cancelled(executions=running):
                context.running_executions.cancel(execution_id)
        context.receiver.ensure()

    def _renew_and_reap(self) -> None:
        context = self._context
        claims.heartbeat(worker=context.worker, executions=context.running_executions.ids())
        if claims.reap():
            context.execution_wakeup.notify()
