"""Waking threads without losing a wake-up that comes while they are busy."""

import threading


class Bell:
    """Counts its rings; a thread that has seen fewer of them does not sleep."""

    def __init__(self) -> None:
        self._rung = threading.Condition()
        self._count = 0

    @property
    def count(self) -> int:
        """How often it has rung."""
        with self._rung:
            return self._count

    def ring(self) -> None:
        """Wake everyone who waits."""
        with self._rung:
            self._count += 1
            self._rung.notify_all()

    def ring_for_one(self) -> None:
        """Wake one of those who wait: there is work for one. Those who do not wait look anyway."""
        with self._rung:
            self._count += 1
            self._rung.notify()

    def wait(self, seen: int, seconds: float) -> None:
        """Sleep until it has rung since `seen`, or the time is over."""
        with self._rung:
            self._rung.wait_for(lambda: self._count != seen, seconds)
