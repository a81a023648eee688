"""What a request carries: read whole and in time, before a thread is asked for anything."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from webui.server.bounds import Bounds

SMALL = 64 * 1024  # bodies up to here need no leave: many of them fit beside each other

Receive = Callable[[], Awaitable[Any]]


class GoneError(Exception):
    """The client went away."""


class TooSlowError(Exception):
    """The body did not arrive in time."""


class FullError(Exception):
    """As much is held for other bodies as may be held."""


@dataclass(kw_only=True)
class Body:
    """A body. `length` is what the request says, or what came: more than `data` if not `whole`."""

    data: bytes = b""
    length: int = 0
    whole: bool = True
    held: int = 0


@dataclass
class Shelf:
    """Memory for large bodies, shared by all requests of a process."""

    left: int
    taken: set[int] = field(default_factory=set)

    def take(self, count: int) -> int:
        """Hold `count` bytes; FullError when so many are not left."""
        if count > self.left:
            raise FullError
        self.left -= count
        return count

    def give(self, count: int) -> None:
        """Give them back."""
        self.left += count


async def read(headers: dict[bytes, bytes], receive: Receive, bounds: Bounds, shelf: Shelf) -> Body:
    """The body, whole; or what is known of one that is too large, which is not read.

    Raises GoneError, TooSlowError and FullError.
    """
    chunked = b"transfer-encoding" in headers
    declared = int(headers.get(b"content-length", b"0"))
    if not chunked and not declared:
        return Body()
    if declared > bounds.body_bytes:
        return Body(length=declared, whole=False)
    most = bounds.body_bytes if chunked else declared
    held = shelf.take(most) if declared > SMALL else 0
    found = bytearray()
    try:
        async with asyncio.timeout(bounds.body_seconds):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise GoneError
                found += message["body"]
                if not held and len(found) > SMALL:
                    held = shelf.take(most)
                if len(found) > bounds.body_bytes:
                    return Body(data=bytes(found), length=len(found), whole=False, held=held)
                if not message.get("more_body"):
                    return Body(data=bytes(found), length=len(found), held=held)
    except TimeoutError as error:
        shelf.give(held)
        raise TooSlowError from error
    except BaseException:
        shelf.give(held)
        raise


async def drain(receive: Receive, bounds: Bounds) -> None:
    """Read on, within bounds: a client that still sends would see a broken pipe, not our answer."""
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
