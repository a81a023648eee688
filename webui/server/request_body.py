"""Read the whole body of a request in time, before a thread handles the request."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from webui.server.bounds import Bounds

SMALL = 64 * 1024  # bytes; smaller bodies reserve no memory

Receive = Callable[[], Awaitable[Any]]


class GoneError(Exception):
    """The client has disconnected."""


class TooSlowError(Exception):
    """The body did not arrive in time."""


class FullError(Exception):
    """Other bodies hold all memory for large bodies."""


@dataclass(kw_only=True)
class Body:
    """A body. `length` is declared or counted; if not `whole`, `data` is shorter."""

    data: bytes = b""
    length: int = 0
    whole: bool = True
    held: int = 0


@dataclass
class BodyMemory:
    """Memory for large bodies, shared by all requests of a process."""

    available: int
    taken: set[int] = field(default_factory=set)

    def reserve(self, count: int) -> int:
        """Reserve `count` bytes and return `count`. Raise FullError."""
        if count > self.available:
            raise FullError
        self.available -= count
        return count

    def release(self, count: int) -> None:
        """Release bytes that were reserved."""
        self.available += count


async def read(
    headers: dict[bytes, bytes], receive: Receive, bounds: Bounds, memory: BodyMemory
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
    most = bounds.body_bytes if chunked else declared
    held = memory.reserve(most) if declared > SMALL else 0
    found = bytearray()
    try:
        async with asyncio.timeout(bounds.body_seconds):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise GoneError
                found += message["body"]
                if not held and len(found) > SMALL:
                    held = memory.reserve(most)
                if len(found) > bounds.body_bytes:
                    return Body(data=bytes(found), length=len(found), whole=False, held=held)
                if not message.get("more_body"):
                    return Body(data=bytes(found), length=len(found), held=held)
    except TimeoutError as error:
        memory.release(held)
        raise TooSlowError from error
    except BaseException:
        memory.release(held)
        raise


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
