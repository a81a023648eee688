"""The open connections by state, and the choice of connections to close when too many are open.

Used only on the event loop.
"""

import time
from typing import Literal, Protocol

from webui.server.bounds import Bounds

# half: a request has begun to arrive, or the first request is awaited; idle: between two requests;
# busy: a request is complete and not answered yet.
State = Literal["half", "idle", "busy"]


class Member(Protocol):
    """One connection."""

    address: str

    def evict(self) -> None:
        """Close at once; calls `ConnectionTable.leave`, now or soon."""


class ConnectionTable:
    """Connections by state, each state in the order of arrival.

    The oldest connection of a state is closed first. A client that completes its requests in time
    is never among the oldest, even if many others start requests without completing them.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        # With the time at which each connection entered its state, earliest first.
        self._states: dict[State, dict[Member, float]] = {"half": {}, "idle": {}, "busy": {}}
        self._state_of: dict[Member, State] = {}
        self._half_of: dict[str, dict[Member, float]] = {}

    def admit(self, member: Member) -> bool:
        """Admit a new connection, if needed by closing another; return False if impossible."""
        while len(self._state_of) >= self._bounds.connections:
            oldest = next(iter(self._states["idle"]), None) or next(
                iter(self._states["half"]), None
            )
            if oldest is None:
                return False
            self._evict(oldest)
        self.enter(member, "half")
        return True

    def enter(self, member: Member, state: State) -> None:
        """Set the state of a connection; if that state is full, close its oldest connection."""
        self.leave(member)
        self._state_of[member] = state
        among, now = self._states[state], time.monotonic()
        among[member] = now
        if state == "idle":
            self._shorten(among, self._bounds.idle, now)
        elif state == "half":
            mine = self._half_of.setdefault(member.address, {})
            mine[member] = now
            if self._bounds.half_of_address:
                self._shorten(mine, self._bounds.half_of_address, now)
            self._shorten(among, self._bounds.half, now)

    def leave(self, member: Member) -> None:
        """Remove a connection. Ignore an unknown connection."""
        state = self._state_of.pop(member, None)
        if state is None:
            return
        del self._states[state][member]
        if state == "half":
            mine = self._half_of[member.address]
            del mine[member]
            if not mine:
                del self._half_of[member.address]

    def count(self, state: State) -> int:
        """Return the number of connections in a state."""
        return len(self._states[state])

    def _shorten(self, among: dict[Member, float], most: int, now: float) -> None:
        """Close the oldest, but none within its grace: its request may be unread in the socket."""
        while len(among) > most:
            oldest, since = next(iter(among.items()))
            if now - since < self._bounds.grace_seconds:
                return
            self._evict(oldest)

    def _evict(self, member: Member) -> None:
        self.leave(member)
        member.evict()
