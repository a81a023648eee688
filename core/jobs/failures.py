"""Log each failure of a long-lived loop once, with an id, and say when it is over.

A loop that fails tries again every second. The first failure is logged with its traceback; the
same failure again is counted and said once in a while; a different one is logged like the first.
"""

import logging
import secrets
import threading
import time
from dataclasses import dataclass

REMIND_SECONDS = 600.0


@dataclass
class _Seen:
    error_id: str
    text: str
    count: int
    since: float
    remind_at: float


class FailureLog:
    """Failures by the place where they happen; for any thread."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._lock = threading.Lock()
        self._seen: dict[str, _Seen] = {}

    def failed(self, what: str, error: BaseException) -> str:
        """Note that `what` failed, and return the id under which the log has it."""
        text, now = f"{type(error).__name__}: {error}", time.monotonic()
        with self._lock:
            seen = self._seen.get(what)
            if seen is not None and seen.text == text:
                seen.count += 1
                remind = now >= seen.remind_at
                if remind:
                    seen.remind_at = now + REMIND_SECONDS
            else:
                seen = _Seen(secrets.token_hex(6), text, 1, now, now + REMIND_SECONDS)
                self._seen[what] = seen
                remind = False
        if seen.count == 1:
            message = "error %s: %s: unhandled error, continuing; the log says when it is over"
            self._logger.error(message, seen.error_id, what, exc_info=error)
        elif remind:
            message = "error %s: %s still fails, %s times so far: %s"
            self._logger.error(message, seen.error_id, what, seen.count, text)
        return seen.error_id

    def worked(self, what: str) -> None:
        """Note that `what` succeeded; log it if it failed before."""
        if what not in self._seen:
            return
        with self._lock:
            seen = self._seen.pop(what, None)
        if seen is not None:
            lasted = time.monotonic() - seen.since
            message = "error %s is over: %s works again after %s failures in %.0f s"
            self._logger.warning(message, seen.error_id, what, seen.count, lasted)
