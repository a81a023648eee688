"""The circuit breaker: claim no execution while this machine cannot start a sandbox.

If a sandbox does not start, the breaker starts a trial sandbox without a template. If the trial
also fails, the machine is at fault (descriptors, memory, processes, namespaces, disk): the breaker
opens, executions return to the queue, and no execution is claimed until a trial succeeds. Trials
are repeated with back-off, and every 30 seconds on an idle executor (decision 0029).
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from sandbox import resources

logger = logging.getLogger(__name__)
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
IDLE_TRIAL_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Why the breaker is open: the cause as text, the id in the log, the start (epoch seconds)."""

    cause: str
    error_id: str
    since: float


# Decision 0029: a trial shows whether the machine or the template is at fault.
class CircuitBreaker:
    """Closed: executions are claimed. Open: `trouble` gives the reason. Thread-safe."""

    def __init__(
        self,
        *,
        trial: Callable[[], None],
        opened: Callable[[], None] = lambda: None,
        closed: Callable[[], None] = lambda: None,
    ) -> None:
        """Store the callbacks. `trial` raises if no sandbox can start."""
        self._trial = trial
        self._on_open, self._on_close = opened, closed
        self._lock = threading.Lock()
        self._trouble: Trouble | None = None
        self._pause = FIRST_PAUSE_SECONDS
        self._try_at = time.monotonic() + IDLE_TRIAL_SECONDS

    @property
    def trouble(self) -> Trouble | None:
        """Return why no execution is claimed, or None."""
        return self._trouble

    def worked(self) -> None:
        """Note that a sandbox has started: the next idle trial is due in 30 seconds."""
        if self._trouble is None:
            self._try_at = time.monotonic() + IDLE_TRIAL_SECONDS

    def blames_machine(self, error: BaseException) -> bool:
        """Return whether the machine prevented the start of a sandbox; if so, open the breaker."""
        with self._lock:
            if self._trouble is not None:
                return True
            if self._attempt() is None:
                return False
            self._open(error)
        self._on_open()
        return True

    def run_due_trial(self) -> None:
        """Start a trial if one is due. One thread calls this about once a second."""
        if time.monotonic() < self._try_at:
            return
        with self._lock:
            was = self._trouble
            failure = self._attempt()
            if failure is None:
                self._trouble = None
            elif was is None:
                self._open(failure)
            else:
                self._pause = min(LONGEST_PAUSE_SECONDS, self._pause * 2)
                self._try_at = time.monotonic() + self._pause
        if was is None and failure is not None:
            self._on_open()
        elif was is not None and failure is None:
            lasted = time.time() - was.since
            logger.warning(
                "error %s is over: sandboxes can be started again, after %.0f s; claiming goes on",
                was.error_id,
                lasted,
            )
            self._on_close()

    def _attempt(self) -> Exception | None:
        try:
            self._trial()
        except Exception as error:  # noqa: BLE001 - any error is the result of the trial
            return error
        self._try_at = time.monotonic() + IDLE_TRIAL_SECONDS
        return None

    def _open(self, error: BaseException) -> None:
        cause, error_id = resources.cause_of(error), secrets.token_hex(6)
        self._trouble = Trouble(cause=cause, error_id=error_id, since=time.time())
        self._pause = FIRST_PAUSE_SECONDS
        self._try_at = time.monotonic() + self._pause
        text = "error %s: this machine cannot start a sandbox, so nothing is claimed: %s"
        logger.error(text, error_id, cause, exc_info=error)
