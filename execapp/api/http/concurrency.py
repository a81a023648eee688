"""Limits on how many requests of a process wait or stream at a time, in all and per client."""

import threading
from collections import Counter


class Permit:
    """One of the places of a limit. `release` returns it, and so does the end of its last name."""

    def __init__(self, limit: "ConcurrencyLimit", client: str) -> None:
        self._limit: ConcurrencyLimit | None = limit
        self._client = client

    def release(self) -> None:
        """Return the permit; a second call changes nothing."""
        limit, self._limit = self._limit, None
        if limit is not None:
            limit.give_back(self._client)

    def __del__(self) -> None:
        """Return the permit of a reply that an exception replaced: that reply is never closed."""
        self.release()


class LimitReached(Exception):  # noqa: N818 - an answer that callers pass on, not a failure
    """No permit is left. `scope`: "server" for all clients together, "client" for this one."""

    def __init__(self, scope: str, limit: int) -> None:
        super().__init__(f"{limit} of the {scope} are taken")
        self.scope, self.limit = scope, limit


class ConcurrencyLimit:
    """Permits, counted in all and for each client. Safe for threads."""

    def __init__(self) -> None:
        # Re-entrant: the collector may run `Permit.__del__` in the very thread that counts.
        self._lock = threading.RLock()
        self._taken: Counter[str] = Counter()

    def acquire(self, client: str, *, most: int, most_of_client: int) -> Permit:
        """Take a permit at once. Raises LimitReached."""
        with self._lock:
            if self._taken.total() >= most:
                raise LimitReached("server", most)
            if self._taken[client] >= most_of_client:
                raise LimitReached("client", most_of_client)
            self._taken[client] += 1
        return Permit(self, client)

    def give_back(self, client: str) -> None:
        """Count one permit less."""
        with self._lock:
            self._taken[client] -= 1
            if self._taken[client] <= 0:
                del self._taken[client]

    def taken(self) -> int:
        """Return how many permits are taken."""
        with self._lock:
            return self._taken.total()


waits = ConcurrencyLimit()
streams = ConcurrencyLimit()
held = ConcurrencyLimit()  # waits that hold a thread
