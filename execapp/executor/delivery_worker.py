"""The delivery worker: one thread claims deliveries that are due, others send them.

The number of attempts at a time is bounded, in all and for each signer: the slow receivers of one
token hold up no other token. Each attempt has a time-out of its own.
"""

import threading
import time
from collections import Counter

from django.conf import settings

from core.database.retry import retry_on_lock
from core.jobs.worker import Periodic, Worker
from execapp.deliveries import attempts, outbox
from execapp.deliveries.rules import rules
from execapp.deliveries.sending import Cutter
from execapp.executor.context import ExecutorContext
from execapp.executor.runners import Runners
from execapp.models import Delivery

REAP_SECONDS = 15.0
FORGET_SECONDS = 300.0
SIGNER_SHARE = 4  # a signer has at most this part of the attempts at a time


class DeliveryWorker:
    """Sends the deliveries of one executor. Call `start`, then `stop`, once each."""

    def __init__(self, context: ExecutorContext) -> None:
        self._context = context
        self._most = settings.STENCIL_CALLBACKS
        self._lock = threading.Lock()
        self._running: dict[Delivery, Cutter] = {}
        self._runners = Runners[Delivery](self._run, prefix=f"{context.worker}-delivery")
        self._worker = Worker[Delivery](
            name="the delivery worker",
            claim=self._claim,
            run=self._start,
            wakeup=context.delivery_wakeup,
            stopping=context.draining,
            failures=context.failures,
            periodic=[
                Periodic(name="the reaper of deliveries", action=outbox.reap, seconds=REAP_SECONDS),
                Periodic(
                    name="the retention of deliveries",
                    action=outbox.forget,
                    seconds=FORGET_SECONDS,
                ),
            ],
        )
        self._thread = threading.Thread(target=self._worker.serve, name="deliveries")

    def start(self) -> None:
        """Requeue the deliveries of a dead predecessor, and start the thread."""
        retry_on_lock(lambda: outbox.take_over(worker=self._context.worker))
        self._thread.start()

    def stop(self, deadline: float) -> None:
        """End the thread when the executor drains. At `deadline` (monotonic) attempts are cut.

        An attempt that was cut returns to the queue.
        """
        self._context.delivery_wakeup.notify()
        self._thread.join()
        while self._cutters() and time.monotonic() < deadline:
            time.sleep(0.02)
        for cutter in self._cutters():
            cutter.cut(stopping=True)
        self._runners.close()

    def _claim(self) -> Delivery | None:
        with self._lock:
            counts = Counter(delivery.signer for delivery in self._running)
        if counts.total() >= self._most:
            return None
        share = max(1, self._most // SIGNER_SHARE)
        busy = [signer for signer, count in counts.items() if count >= share]
        worker = self._context.worker
        return retry_on_lock(lambda: outbox.claim(worker=worker, without=busy))

    def _start(self, delivery: Delivery) -> None:
        with self._lock:
            self._running[delivery] = Cutter()
        try:
            self._runners.start(delivery)
        except RuntimeError:  # no thread can be started; the reaper returns it to the queue
            self._forget(delivery)
            raise

    def _run(self, _slot: str, delivery: Delivery) -> None:
        try:
            with self._lock:
                cutter = self._running[delivery]
            attempts.run(delivery=delivery, rules=rules(), cutter=cutter)
        finally:
            self._forget(delivery)

    def _forget(self, delivery: Delivery) -> None:
        with self._lock:
            del self._running[delivery]
        self._context.delivery_wakeup.notify()

    def _cutters(self) -> list[Cutter]:
        with self._lock:
            return list(self._running.values())
