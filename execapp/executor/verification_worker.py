"""The verification worker: verify versions in one thread, by request or by schedule.

While executions run, the worker reads for a tenth of the time; see `templatemgr.trees.hashing`.
"""

import logging
import threading

from core.database import connections
from core.database.retry import retry_on_lock
from core.jobs.worker import Periodic, Worker
from execapp.executor.context import ExecutorContext
from templatemgr.integrity.inspection import Reader
from templatemgr.maintenance import retrying, startup_check, verification
from templatemgr.models import Verification

logger = logging.getLogger(__name__)
SCHEDULE_SECONDS = 300.0
REAP_SECONDS = 15.0
# Time after the start at which the worker reads every current version, even if unchanged.
READ_ALL_SECONDS = 20.0
ONCE = float("inf")


class VerificationWorker:
    """The verification thread of one executor. Call `start`, then `stop`, once each."""

    def __init__(self, context: ExecutorContext) -> None:
        self._context = context
        self._stopping = threading.Event()
        self._reader = Reader()
        self._worker = Worker[Verification](
            name="the verification worker",
            claim=self._claim,
            run=self._verify,
            wakeup=context.maintenance_wakeup,
            stopping=self._stopping,
            failures=context.failures,
            periodic=[
                Periodic(
                    name="the check after the start",
                    action=startup_check.read_current,
                    seconds=ONCE,
                    delay=READ_ALL_SECONDS,
                ),
                Periodic(name="healing", action=retrying.due, seconds=0.0),
                Periodic(
                    name="the reaper of verifications",
                    action=verification.reap,
                    seconds=REAP_SECONDS,
                ),
                Periodic(
                    name="the schedule of verifications",
                    action=verification.schedule,
                    seconds=SCHEDULE_SECONDS,
                ),
            ],
        )
        self._thread = threading.Thread(target=self._serve, name="verification")

    def start(self) -> None:
        """Requeue the verifications of a dead predecessor, and start the thread."""
        retry_on_lock(lambda: verification.take_over(worker=self._context.worker))
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread. A running verification returns to the queue."""
        self._stopping.set()
        self._context.maintenance_wakeup.notify()
        self._thread.join()

    def _serve(self) -> None:
        try:
            retry_on_lock(startup_check.check_others)
        except Exception:
            logger.exception("versions that are not current could not be checked at the start")
            connections.release()
        self._worker.serve()

    def _claim(self) -> Verification | None:
        found = retry_on_lock(lambda: verification.claim(worker=self._context.worker))
        if found is None:  # the round is over: files can change before the next round
            self._reader = Reader()
        return found

    def _verify(self, found: Verification) -> None:
        """Verify a version; scheduled verifications of one round read shared files once."""
        verification.run(
            verification=found,
            surroundings=verification.Surroundings(
                busy=lambda: len(self._context.running_executions) > 0,
                stop=self._stopping.is_set,
                slot=f"{self._context.worker}-verification",
            ),
            reader=self._reader if found.scheduled else None,
        )
