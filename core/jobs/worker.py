"""The loop of a worker thread: claim a job and run it, or wait for a wake-up."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from core.database import connections
from core.jobs.failures import FailureLog
from core.jobs.wakeup import Wakeup

POLL_SECONDS = 1.0  # how often an idle worker looks for jobs without a wake-up, which may be lost


@dataclass(kw_only=True)
class Periodic:
    """Work that a worker does between jobs, about once in `seconds`; first after `delay`.

    `name` is its name in the log. If the action raises, the worker still claims jobs and
    repeats the action after `seconds`.
    """

    name: str
    action: Callable[[], object]
    seconds: float
    delay: float = 0.0
    _due_at: float = field(init=False)

    def __post_init__(self) -> None:
        self._due_at = time.monotonic() + self.delay

    def due(self) -> bool:
        """Return whether the action is due; the caller then runs it."""
        now = time.monotonic()
        if now < self._due_at:
            return False
        self._due_at = now + self.seconds
        return True


@dataclass(kw_only=True)
class Worker[Job]:
    """Call `serve` in a thread of its own. `name` is the worker's name in the log.

    `claim` returns a job that belongs to this worker now, or None. `run` does the job. An exception
    of either is logged once for as long as it repeats, and the loop continues after a pause.
    """

    name: str
    claim: Callable[[], Job | None]
    run: Callable[[Job], object]
    wakeup: Wakeup
    stopping: threading.Event
    failures: FailureLog
    periodic: Sequence[Periodic] = ()
    poll_seconds: float = POLL_SECONDS

    def serve(self) -> None:
        """Work until `stopping` is set, then close this thread's database connection.

        Notify `wakeup` after setting `stopping`. Never raises.
        """
        try:
            while not self.stopping.is_set():
                seen = self.wakeup.count
                self._run_periodic_actions()
                if not self._one() and not self.stopping.is_set():
                    self.wakeup.wait(seen, self.poll_seconds)
        finally:
            connections.release()

    def _one(self) -> bool:
        """Claim and run at most one job; return whether there was one."""
        job = self._guarded(self.name, self.claim)
        if job is None:
            return False
        return self._guarded(f"a job of {self.name}", lambda: (self.run(job),)) is not None

    def _run_periodic_actions(self) -> None:
        for periodic in self.periodic:
            if periodic.due():
                self._guarded(periodic.name, periodic.action)

    def _guarded[T](self, what: str, action: Callable[[], T | None]) -> T | None:
        """Return what `action` returns; None, with the error logged, if it raises."""
        try:
            found = action()
        except Exception as error:  # noqa: BLE001 - logged, and the loop continues
            self.failures.failed(what, error)
            connections.release()
            return None
        self.failures.worked(what)
        return found
