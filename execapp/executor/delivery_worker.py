"""The delivery worker: one thread claims deliveries that are due, others send them.

The number of attempts at a time is bounded, in all and for each signer: the slow receivers of one
token hold up no other token. Each attempt has a time-out of its own. Signers take turns, so that a
backlog of one of them does not delay the others.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from uuid import UUID

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
ALONE_SECONDS = 1.0  # for which a signer without others keeps every turn
SIGNER_SHARE = 4  # a signer has at most this part of the attempts at a time


class Turns:
    """Lets signers take turns: those that were served in this round wait until no other is due.

    To find another signer, the claim reads past the due deliveries of the served ones. While there
    is no other, it looks for one once in `ALONE_SECONDS`.
    """

    def __init__(self) -> None:
        self._served: set[str] = set()
        self._alone_until = 0.0

    def claim(self, choose: Callable[[Collection[str]], Delivery | None]) -> Delivery | None:
        """Return what `choose` claims; it gets the signers to leave out."""
        found = None
        if self._served and time.monotonic() >= self._alone_until:
            found = choose(self._served)
            if found is None:
                self._alone_until = time.monotonic() + ALONE_SECONDS
                self._served.clear()
        if found is None:
            found = choose(())
        if found is not None:
            self._served.add(found.signer)
        return found


class DeliveryWorker:
    """Sends the deliveries of one executor. Call `start`, then `stop`, once each."""

    def __init__(self, context: ExecutorContext) -> None:
        self._context = context
        self._most = settings.STENCIL_CALLBACKS
        self._lock = threading.Lock()
        self._turns = Turns()
        self._running: dict[tuple[UUID, int], tuple[str, Cutter]] = {}  # by id and attempt
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
            counts = Counter(signer for signer, _ in self._running.values())
        if counts.total() >= self._most:
            return None
        share = max(1, self._most // SIGNER_SHARE)
        busy = [signer for signer, count in counts.items() if count >= share]

        def choose(served: Collection[str]) -> Delivery | None:
            without = [*busy, *served]
            worker = self._context.worker
            return retry_on_lock(lambda: outbox.claim(worker=worker, without=without))

        return self._turns.claim(choose)

    def _start(self, delivery: Delivery) -> None:
        with self._lock:
            self._running[_key(delivery)] = delivery.signer, Cutter()
        try:
            self._runners.start(delivery)
        except RuntimeError:  # no thread can be started; the reaper returns it to the queue
            self._forget(delivery)
            raise

    def _run(self, _slot: str, delivery: Delivery) -> None:
        try:
            with self._lock:
                _, cutter = self._running[_key(delivery)]
            attempts.run(delivery=delivery, rules=rules(), cutter=cutter)
        finally:
            self._forget(delivery)

    def _forget(self, delivery: Delivery) -> None:
        with self._lock:
            del self._running[_key(delivery)]
        self._context.delivery_wakeup.notify()

    def _cutters(self) -> list[Cutter]:
        with self._lock:
            return [cutter for _, cutter in self._running.values()]


def _key(delivery: Delivery) -> tuple[UUID, int]:
    return delivery.id, delivery.attempt
