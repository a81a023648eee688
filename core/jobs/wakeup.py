"""Wake-ups for threads; a wake-up that comes while a thread is busy is not lost."""

import threading


class Wakeup:
    """Counts notifications; `wait` returns at once if there were more than the caller saw."""

    def __init__(self) -> None:
        self._notified = threading.Condition()
        self._count = 0

    @property
    def count(self) -> int:
        """Return the number of notifications so far."""
        with self._notified:
            return self._count

    def notify(self) -> None:
        """Wake every waiting thread."""
        with self._notified:
            self._count += 1
            self._notified.notify_all()

    def notify_one(self) -> None:
        """Wake one waiting thread: there is work for one. Busy threads look before they wait."""
        with self._notified:
            self._count += 1
            self._notified.notify()

    def wait(self, seen: int, seconds: float) -> None:
        """Sleep until the count differs from `seen`, for at most `seconds`."""
        with self._notified:
            self._notified.wait_for(lambda: self._count != seen, seconds)
