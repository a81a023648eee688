"""How many requests of a process may wait or stream at a time, in all and for one client each."""

import threading
from collections import Counter


class Pass:
    """A place that was taken. It is given back by `release`, or when nothing refers to it."""

    def __init__(self, room: "Room", client: str) -> None:
        self._room: Room | None = room
        self._client = client

    def release(self) -> None:
        """Give the place back; more than once changes nothing."""
        room, self._room = self._room, None
        if room is not None:
            room.leave(self._client)

    def __del__(self) -> None:
        """A reply that another exception replaced is never closed: its place goes with it."""
        self.release()


class Full(Exception):  # noqa: N818 - an answer that callers give on, not a failure
    """No place is left: in all ("server"), or for this client ("client")."""

    def __init__(self, scope: str, limit: int) -> None:
        super().__init__(f"{limit} of the {scope} are taken")
        self.scope, self.limit = scope, limit


class Room:
    """Places, counted for each client and in all. For any thread."""

    def __init__(self) -> None:
        # Re-entrant: the collector may run `Pass.__del__` in the very thread that counts.
        self._lock = threading.RLock()
        self._taken: Counter[str] = Counter()

    def enter(self, client: str, *, most: int, most_of_client: int) -> Pass:
        """Take a place. Raises Full."""
        with self._lock:
            if self._taken.total() >= most:
                raise Full("server", most)
            if self._taken[client] >= most_of_client:
                raise Full("client", most_of_client)
            self._taken[client] += 1
        return Pass(self, client)

    def leave(self, client: str) -> None:
        """Count one less."""
        with self._lock:
            self._taken[client] -= 1
            if self._taken[client] <= 0:
                del self._taken[client]

    def taken(self) -> int:
        """How many places are taken now."""
        with self._lock:
            return self._taken.total()


waits = Room()
streams = Room()
held = Room()  # waits that hold a thread
