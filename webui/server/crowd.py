"""Who is connected, and who has to go when there are too many. Used on the event loop alone."""

import time
from typing import Literal, Protocol

from webui.server.bounds import Bounds

# half: a request has begun to arrive, or the first one is awaited; idle: between two requests;
# busy: a request is complete and not answered yet.
State = Literal["half", "idle", "busy"]


class Member(Protocol):
    """One connection."""

    address: str

    def evict(self) -> None:
        """Close at once; calls `Crowd.leave`, now or soon."""


class Crowd:
    """Connections by state, each state in the order of arrival.

    The oldest goes first: who is served in time is never among them, however many others begin
    requests that they do not end.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        # Each with the time at which it came into its state, the earliest first.
        self._states: dict[State, dict[Member, float]] = {"half": {}, "idle": {}, "busy": {}}
        self._state_of: dict[Member, State] = {}
        self._half_of: dict[str, dict[Member, float]] = {}

    def admit(self, member: Member) -> bool:
        """Take a new connection, in the place of another if need be; False when there is none."""
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
        """Note the state of a connection; whoever is one too many in it goes."""
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
        """Forget a connection; one that is not known is no error."""
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
        """How many are in a state."""
        return len(self._states[state])

    def _shorten(self, among: dict[Member, float], most: int, now: float) -> None:
        """Let the oldest go, but none that came just now: its request may be here unread."""
        while len(among) > most:
            oldest, since = next(iter(among.items()))
            if now - since < self._bounds.grace_seconds:
                return
            self._evict(oldest)

    def _evict(self, member: Member) -> None:
        self.leave(member)
        member.evict()
