"""Connect uvicorn's event loop to Django: threads handle whole requests, the loop holds waits.

The threads are long-lived, because each has its own database connection and compiled queries.
"""

import asyncio
import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from core.engine import get_engine, hub
from execapp.api.http.deferred import DeferredResponse, PacedStream, Pause
from execapp.api.http.error_replies import error_reply
from execapp.api.http.shapes import reshape
from execapp.counters import counting
from execapp.services import submissions
from webui.server import connection, request_body
from webui.server.bounds import Bounds
from webui.server.environment import PATH_BYTES, environment, joined
from webui.server.threads import Threads
from webui.server.wsgi_handler import ROUTE

HEALTH = frozenset({"/healthz", "/readyz"})
PIECE = 64 * 1024  # bytes of a reply; the next piece waits until this one is sent
BUSY_SECONDS = 2

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Any]
Send = Callable[[Any], Any]


@dataclass(kw_only=True)
class Answer:
    """A reply: `content` is the whole body, or `stream` yields the rest."""

    status: int
    headers: list[tuple[bytes, bytes]]
    content: bytes = b""
    stream: HttpResponseBase | None = None
    frames: Iterator[Any] | None = None
    deferred: DeferredResponse | None = None


@dataclass(kw_only=True)
class Piece:
    """Bytes that a stream yields at once, and the pause after them."""

    content: bytes
    pause: Pause | None = None
    last: bool = False


# Decision 0022: the event loop reads requests and holds waits; threads run the views.
@dataclass
class Bridge:
    """An ASGI application that answers with a WSGI application."""

    wsgi: Wsgi
    bounds: Bounds
    queued: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.body_memory = request_body.BodyMemory(self.bounds)
        bounds = self.bounds
        self.threads = Threads(most=bounds.threads, usual=bounds.busy_threads, name="web")
        # Health checks must be answered while every other thread is busy.
        self.health = ThreadPoolExecutor(2, thread_name_prefix="health")
        self.hub: hub.Hub | None = None

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            return
        if self.hub is None:
            self.hub = get_engine().hub(pool=self.health, ended=submissions.ended_among)
        exchange = Exchange(self, scope, receive, send)
        try:
            await exchange.run()
        except request_body.GoneError:
            return
        finally:
            exchange.release()
            exchange.count()

    async def call[T](self, scope: Any, work: Callable[[], T]) -> T:
        """Run `work` in a long-lived thread."""
        self.queued += 1
        try:
            if scope["path"] in HEALTH:
                return await asyncio.get_running_loop().run_in_executor(self.health, work)
            return await self.threads.run(work)
        finally:
            self.queued -= 1

    def stop(self) -> None:
        """End all waits with the rows as they are, and end all streams; their clients reconnect."""
        if self.hub is not None:
            self.hub.end_waits()

    async def close(self) -> None:
        """Close the hub and the threads."""
        if self.hub is not None:
            await self.hub.close()
        self.threads.close()
        self.health.shutdown(wait=False, cancel_futures=True)


class Exchange:
    """One request and its reply."""

    def __init__(self, bridge: Bridge, scope: Any, receive: Any, send: Send) -> None:
        self._bridge, self._scope, self._receive, self._send = bridge, scope, receive, send
        self._connection: connection.Connection = scope["state"][connection.KEY]
        self._body = request_body.Body()
        self._began = time.monotonic()
        self._status = 0  # until the reply begins
        self._route: str | None = None

    async def run(self) -> None:
        """Read the request and reply; of a refused request, read the rest."""
        bounds = self._bridge.bounds
        if len(self._scope["raw_path"]) > PATH_BYTES:
            message = f"A path has at most {PATH_BYTES} bytes."
            await self._refuse(error_reply("too_large", message))
            return
        try:
            headers = joined(self._scope["headers"])
            self._body = await request_body.read(
                headers,
                self._receive,
                bounds,
                self._bridge.body_memory,
                self._connection.address,
            )
        except ValueError as error:
            await self._refuse(error_reply("malformed", f"The header {error} is given twice."))
            return
        except request_body.TooSlowError:
            slow = error_reply("timeout", "The body did not arrive in time.", status=408)
            await self._refuse(slow, drained=True)
            return
        except request_body.FullError:
            await self._refuse(_busy("Too many large requests arrive at once; try again."))
            return
        if self._bridge.queued >= bounds.queue:
            await self._refuse(_busy("Too many requests wait for their turn; try again."))
            return
        answer = await self._call(functools.partial(self._answer, headers))
        if answer.deferred is not None:
            answer = await self._wait(answer.deferred)
        if answer.stream is not None:
            await self._stream(answer)
        else:
            await self._whole(answer)

    def release(self) -> None:
        """Release the memory of the body."""
        if self._body.share is not None:
            self._bridge.body_memory.release(self._body.share)

    def count(self) -> None:
        """Count the request for `/metrics`, unless its client disconnected before the reply."""
        if self._status:
            counting.count_request(
                method=self._scope["method"],
                route=self._route,
                status=self._status,
                seconds=time.monotonic() - self._began,
            )

    async def _call[T](self, work: Callable[[], T]) -> T:
        return await self._bridge.call(self._scope, work)

    # --- in a thread

    def _answer(self, headers: dict[bytes, bytes]) -> Answer:
        environ = environment(self._scope, headers, self._body)
        environ[hub.KEY] = self._bridge.hub
        response = self._bridge.wsgi(environ, _ignore)
        self._route = environ.get(ROUTE)
        if isinstance(response, DeferredResponse):
            response.close()  # the request is not kept until its reply
            return Answer(status=0, headers=[], deferred=response)
        return _answer_of(response)

    def _look(self, deferred: DeferredResponse, last: bool) -> Answer | None:
        stopping = self._bridge.hub is not None and self._bridge.hub.stopping.is_set()
        reply = deferred.look(last=last, stopping=stopping)
        return None if reply is None else _answer_of(reply)

    # --- on the event loop

    async def _wait(self, deferred: DeferredResponse) -> Answer:
        """Wait for the reply. Meanwhile only this coroutine exists."""
        assert self._bridge.hub is not None  # noqa: S101 - made before the first request
        waits, until = self._bridge.hub, time.monotonic() + deferred.seconds
        begun = deferred.begun
        self.release()
        # Drop the content: a wait does not hold ten megabytes.
        self._body = request_body.Body(whole=self._body.whole)
        try:
            while not self._connection.transport.is_closing():
                left = max(0.0, until - time.monotonic())
                wait = asyncio.ensure_future(waits.wait(deferred.execution_id, left, begun=begun))
                self._connection.parked = wait
                ended = await wait
                self._connection.parked = None
                begun = False
                answer = await self._call(functools.partial(self._look, deferred, not ended))
                if answer is not None:
                    return answer
            raise request_body.GoneError
        except asyncio.CancelledError as error:
            raise request_body.GoneError from error
        finally:
            deferred.leave()

    async def _whole(self, answer: Answer) -> None:
        rest = not self._body.whole
        await self._start(answer, close=rest)
        content = answer.content
        for start in range(0, max(1, len(content)), PIECE):
            last = start + PIECE >= len(content)
            piece = content[start : start + PIECE]
            await self._part(piece, more=rest or not last)
        if rest:
            if not self._expects():
                await request_body.drain(self._receive, self._bridge.bounds)
            await self._part(b"", more=False)

    def _expects(self) -> bool:
        """Return whether the client waits for "100 Continue" before it sends its body."""
        return any(name == b"expect" for name, _ in self._scope["headers"])

    async def _stream(self, answer: Answer) -> None:
        stream = answer.stream
        assert stream is not None  # noqa: S101 - the caller has checked it
        try:
            known = any(name.lower() == b"content-length" for name, _ in answer.headers)
            by_closing = self._scope["http_version"] == "1.0" and not known
            if by_closing:
                self._connection.end_by_closing()
            await self._start(answer, close=not self._body.whole)
            if self._scope["method"] != "HEAD":
                await self._pieces(answer)
            if by_closing:
                self._connection.ended_by_closing()
            await self._part(b"", more=False)
        finally:
            await self._call(stream.close)

    async def _pieces(self, answer: Answer) -> None:
        """Send each piece until the stream ends, the client disconnects or the server stops."""
        frames, stopping = answer.frames, self._stopping()
        assert frames is not None  # noqa: S101 - every stream has them
        while True:
            piece = await self._call(functools.partial(_more, frames))
            if piece.content:
                await self._part(piece.content, more=True)
            gone = self._connection.transport.is_closing()
            if piece.last or gone or (piece.pause and stopping.is_set()):
                return
            if piece.pause and not await self._paused(piece.pause, stopping):
                return

    async def _paused(self, pause: Pause, stopping: asyncio.Event) -> bool:
        """Wait as a stream demands; return False if its client has disconnected."""
        if pause.execution_id is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause.seconds):
                    await stopping.wait()
            return True
        assert self._bridge.hub is not None  # noqa: S101 - made before the first request
        news = self._bridge.hub.follow(pause.execution_id, pause.seconds, version=pause.version)
        self._connection.parked = asyncio.ensure_future(news)
        try:
            await self._connection.parked
        except asyncio.CancelledError:
            return False
        finally:
            self._connection.parked = None
        return True

    def _stopping(self) -> asyncio.Event:
        assert self._bridge.hub is not None  # noqa: S101 - made before the first request
        return self._bridge.hub.stopping

    async def _refuse(self, reply: HttpResponse, *, drained: bool = False) -> None:
        """Reply without Django; read the rest only if the client needs that to see the reply."""
        self.release()
        reply = reshape(self._scope["path"], reply)
        whole = drained or bool(self._body.length) or not _has_body(self._scope["headers"])
        self._body = request_body.Body(whole=whole)
        reply["Connection"] = "close"
        await self._whole(_answer_of(reply))

    async def _start(self, answer: Answer, *, close: bool) -> None:
        self._status = answer.status
        headers = [*answer.headers, (b"connection", b"close")] if close else answer.headers
        message = {"type": "http.response.start", "status": answer.status, "headers": headers}
        await self._send(message)

    async def _part(self, content: bytes, *, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": content, "more_body": more})


def _answer_of(response: HttpResponseBase) -> Answer:
    """Return the reply of a Django response. A whole response is read and closed."""
    headers = [
        (name.encode("latin-1"), value.encode("latin-1")) for name, value in response.items()
    ]
    headers += [
        (b"set-cookie", morsel.OutputString().encode("latin-1"))
        for morsel in response.cookies.values()
    ]
    if isinstance(response, PacedStream):
        stream, frames = response, response.frames
        return Answer(status=response.status_code, headers=headers, stream=stream, frames=frames)
    if isinstance(response, StreamingHttpResponse):
        return Answer(
            status=response.status_code, headers=headers, stream=response, frames=iter(response)
        )
    content = b"".join(response)
    response.close()
    bare = response.status_code in {204, 304}
    if not bare and not any(name.lower() == b"content-length" for name, _ in headers):
        headers.append((b"content-length", str(len(content)).encode()))
    return Answer(status=response.status_code, headers=headers, content=content)


def _more(frames: Iterator[Any]) -> Piece:
    """Return the immediately available frames, up to one piece."""
    found = bytearray()
    while len(found) < PIECE:
        frame = next(frames, None)
        if frame is None:
            return Piece(content=bytes(found), last=True)
        if isinstance(frame, Pause):
            return Piece(content=bytes(found), pause=frame)
        found += frame.encode() if isinstance(frame, str) else frame
    return Piece(content=bytes(found))


def _has_body(headers: list[tuple[bytes, bytes]]) -> bool:
    return any(name in {b"content-length", b"transfer-encoding"} for name, _ in headers)


def _busy(message: str) -> HttpResponse:
    return error_reply("busy", message, status=503, retry_after=BUSY_SECONDS)


def _ignore(*_arguments: object) -> None:
    """Ignore WSGI's `start_response`; Django's response has the same values."""
