"""The verification worker: one thread that verifies versions, by request or by schedule.

While executions run it reads only a tenth of the time; see `templatemgr.trees.hashing`.
"""

import logging
import threading
import time

from core.database import connections
from core.database.retry import retry_on_lock
from core.jobs.failures import FailureLog
from core.jobs.wakeup import Wakeup
from execapp.executor.running import RunningExecutions
from templatemgr.integrity import checking
from templatemgr.maintenance import retrying, startup_check, verification

logger = logging.getLogger(__name__)
LOOK_SECONDS = 1.0
SCHEDULE_SECONDS = 300.0
REAP_SECONDS = 15.0
# After a start: when everything current is read whole, also what looks as it should.
READ_ALL_SECONDS = 20.0


class VerificationWorker:
    """`start`, then `stop`; once each."""

    def __init__(
        self, *, worker: str, running_executions: RunningExecutions, wakeup: Wakeup
    ) -> None:
        self._worker = worker
        self._failures = FailureLog(logger)
        self._running_executions = running_executions
        self._wakeup = wakeup
        self._stopping = threading.Event()
        self._schedule_at = self._reap_at = 0.0
        self._read_all_at: float | None = time.monotonic() + READ_ALL_SECONDS
        self._thread = threading.Thread(target=self._work, name="verification")

    def start(self) -> None:
        """Take back what a dead predecessor left, and begin."""
        retry_on_lock(lambda: verification.take_over(worker=self._worker))
        self._thread.start()

    def stop(self) -> None:
        """What is being verified goes back to the queue."""
        self._stopping.set()
        self._wakeup.notify()
        self._thread.join()

    def _work(self) -> None:
        try:
            self._arrive()
            while not self._stopping.is_set():
                seen = self._wakeup.count
                try:
                    self._tend()
                    worked = self._round()
                    self._failures.worked("the verification worker")
                except Exception as error:  # noqa: BLE001 - logged, and tried again
                    self._failures.failed("the verification worker", error)
                    connections.release()
                    worked = False
                if not worked and not self._stopping.is_set():
                    self._wakeup.wait(seen, LOOK_SECONDS)
        finally:
            connections.release()

    def _arrive(self) -> None:
        try:
            retry_on_lock(startup_check.check_others)
        except Exception:
            logger.exception("what is not current could not be looked at; the schedule will")
            connections.release()

    def _tend(self) -> None:
        now = time.monotonic()
        if self._read_all_at is not None and now >= self._read_all_at:
            self._read_all_at = None
            startup_check.read_current()
        retrying.due()
        if now >= self._reap_at:
            self._reap_at = now + REAP_SECONDS
            verification.reap()
        if now >= self._schedule_at:
            self._schedule_at = now + SCHEDULE_SECONDS
            verification.schedule()

    def _round(self) -> bool:
        """Verify until nothing waits; scheduled ones read files that they share once."""
        shared, worked = checking.Reader(), False
        while not self._stopping.is_set():
            found = retry_on_lock(lambda: verification.claim(worker=self._worker))
            if found is None:
                break
            worked = True
            verification.run(
                verification=found,
                surroundings=verification.Surroundings(
                    busy=lambda: len(self._running_executions) > 0,
                    stop=self._stopping.is_set,
                    slot=f"{self._worker}-verification",
                ),
                reader=shared if found.scheduled else None,
            )
        return worked
