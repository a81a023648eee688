"""Read the whole body of a request in time, before a thread handles the request."""

import asyncio
import contextlib
import functools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from webui.server.bounds import Bounds

SMALL = 64 * 1024  # bytes; smaller bodies are not counted

Receive = Callable[[], Awaitable[Any]]


class GoneError(Exception):
    """The client has disconnected."""


class TooSlowError(Exception):
    """The body did not arrive in time."""


class FullError(Exception):
    """Other bodies hold all memory for large bodies."""


@dataclass(eq=False, kw_only=True)
class Share:
    """The memory that one body of an address holds, and the body while it arrives."""

    address: str
    held: int = 0
    since: float = 0.0  # when it began to hold memory
    data: bytearray = field(default_factory=bytearray)
    evicted: bool = False
    wake: Callable[[], None] | None = None  # makes the reader notice an eviction; None: whole


@dataclass(kw_only=True)
class Body:
    """A body. `length` is declared or counted; if not `whole`, `data` is shorter."""

    data: bytes = b""
    length: int = 0
    whole: bool = True
    share: Share | None = None


class BodyMemory:
    """Memory for large bodies, shared by all requests of a process. Used only on the event loop.

    A body holds memory for the bytes that have arrived, whatever length it declares. If memory is
    short, the body that has been arriving for the longest time loses its memory: first a body of
    the address that holds the most. No body loses it within its first seconds.
    """

    def __init__(self, bounds: Bounds) -> None:
        self.available = bounds.bodies_bytes
        self._of_address = bounds.bodies_of_address or bounds.bodies_bytes
        self._grace_seconds = bounds.grace_seconds
        self._shares: dict[Share, None] = {}  # in the order in which they began to hold memory
        self._held_by: dict[str, int] = {}

    def grow(self, share: Share, size: int) -> None:
        """Let a share hold `size` bytes, more than before. Raise FullError."""
        more = size - share.held
        while self._held_by.get(share.address, 0) + more > self._of_address:
            self._evict(share, share.address)
        while more > self.available:
            self._evict(share, max(self._held_by, key=self._held_by.__getitem__, default=""))
        if share not in self._shares:
            self._shares[share], share.since = None, time.monotonic()
        self.available -= more
        self._held_by[share.address] = self._held_by.get(share.address, 0) + more
        share.held = size

    def release(self, share: Share) -> None:
        """Release the memory of a share. Releasing it again changes nothing."""
        if share not in self._shares:
            return
        del self._shares[share]
        self.available += share.held
        self._held_by[share.address] -= share.held
        if not self._held_by[share.address]:
            del self._held_by[share.address]
        share.held = 0

    def _evict(self, growing: Share, address: str) -> None:
        """Take the memory of the oldest incomplete body of an address, or of all addresses.

        Raise FullError if there is none, or if it is the growing body itself.
        """
        until = time.monotonic() - self._grace_seconds
        arriving = [each for each in self._shares if each.wake is not None and each.since <= until]
        oldest = next((each for each in arriving if each.address == address), None)
        if oldest is None and growing.address != address:
            oldest = next(iter(arriving), None)
        if oldest is None or oldest is growing:
            raise FullError
        oldest.evicted = True
        oldest.data.clear()
        self.release(oldest)
        if oldest.wake is not None:
            oldest.wake()


async def read(
    headers: dict[bytes, bytes],
    receive: Receive,
    bounds: Bounds,
    memory: BodyMemory,
    address: str = "",
) -> Body:
    """Return the body; if it is too large, return a Body with `whole` False.

    Raise GoneError, TooSlowError and FullError.
    """
    chunked = b"transfer-encoding" in headers
    declared = int(headers.get(b"content-length", b"0"))
    if not chunked and not declared:
        return Body()
    if declared > bounds.body_bytes:
        return Body(length=declared, whole=False)
    share = Share(address=address)
    try:
        async with asyncio.timeout(bounds.body_seconds) as clock:
            share.wake = functools.partial(_expire, clock)
            too_large = await _arrive(share, receive, bounds, memory)
    except TimeoutError as error:
        memory.release(share)
        raise (FullError if share.evicted else TooSlowError) from error
    except BaseException:
        memory.release(share)
        raise
    share.wake = None
    if too_large:
        memory.release(share)
        return Body(length=too_large, whole=False)
    data, share.data = bytes(share.data), bytearray()
    return Body(data=data, length=len(data), share=share)


def _expire(clock: asyncio.Timeout) -> None:
    with contextlib.suppress(RuntimeError):  # it expires already
        clock.reschedule(0)


async def _arrive(share: Share, receive: Receive, bounds: Bounds, memory: BodyMemory) -> int:
    """Read a body into a share; return 0, or the length at which the body was too large."""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise GoneError
        if share.evicted:
            raise FullError
        size = len(share.data) + len(message["body"])
        if size > bounds.body_bytes:
            return size
        if size > SMALL:
            memory.grow(share, size)
        share.data += message["body"]
        if not message.get("more_body"):
            return 0


async def drain(receive: Receive, bounds: Bounds) -> None:
    """Read the rest within bounds, so that a sending client sees the reply, not a broken pipe."""
    left = bounds.drain_bytes
    try:
        async with asyncio.timeout(bounds.drain_seconds):
            while left > 0:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body"):
                    return
                left -= len(message["body"])
    except TimeoutError:
        return
