"""One connection: uvicorn's protocol, which keeps no clock while a request arrives, with deadlines.

Every deadline counts for the whole of what it bounds. uvicorn itself bounds the pause between two
requests, unless a byte comes; a request of which one byte comes each second would last for ever.
"""

import asyncio
import sys
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from webui.server.bounds import Bounds
from webui.server.crowd import Crowd

KEY = "stencil.connection"  # where a request's scope has it
TOO_SLOW = b"The request did not arrive in time."
TOO_LARGE = b"The head of the request is too large."


class Connection(HttpToolsProtocol):
    """What uvicorn does, within bounds. See `crowd.State` for what a connection can be."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        crowd: Crowd,
        bounds: Bounds,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.address = ""
        self.parked: asyncio.Future[Any] | None = None  # cancelled when the client goes away
        self._crowd, self._bounds = crowd, bounds
        self._deadline: asyncio.TimerHandle | None = None
        self._slow_reader: asyncio.TimerHandle | None = None
        self._silent_bytes = 0  # of a head, of trailers: whatever the parser keeps to itself
        self._in_head = False  # a request has begun, and its head is not complete
        self._deaf = False  # nothing more is read: what comes is no request

    # --- what asyncio calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Nothing has come yet: the first request has until the deadline."""
        super().connection_made(transport)
        self.address = self.client[0] if self.client else ""
        if self._crowd.admit(self):
            self._expect_head()
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits for this client need not wait any longer."""
        self._crowd.leave(self)
        self._stop_clock()
        self.resume_writing()
        self._unset_keepalive_if_required()
        if self.parked is not None:
            self.parked.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Any byte between two requests begins the next one, also an empty line."""
        if self._deaf:
            return
        if not self._answering() and self._deadline is None:
            self._crowd.enter(self, "half")
            self._expect_head()
        self._silent_bytes += len(data)
        super().data_received(data)
        if self._silent_bytes > self._bounds.header_bytes and not self.transport.is_closing():
            self._refuse(431, TOO_LARGE)

    def pause_writing(self) -> None:
        """The client does not read: it has until the deadline to take what is buffered."""
        super().pause_writing()
        if self._slow_reader is None:
            seconds = self._bounds.write_seconds
            self._slow_reader = self.loop.call_later(seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """It reads again."""
        if self._slow_reader is not None:
            self._slow_reader.cancel()
            self._slow_reader = None
        super().resume_writing()

    # --- what the parser calls

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        """The head is whole. The body's clock is the application's, which can answer."""
        self.scope["state"][KEY] = self
        self._in_head, self._silent_bytes = False, 0
        self._stop_clock()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Part of a body."""
        self._silent_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        super().on_message_complete()
        if self._answering():
            self._crowd.enter(self, "busy")

    def on_response_complete(self) -> None:
        """Either the next request has begun, or the connection is idle, or it closes."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._linger()
        elif self._answering():
            self._crowd.enter(self, "busy")
        elif self._in_head:
            self._unset_keepalive_if_required()
            self._crowd.enter(self, "half")
            self._expect_head()
        else:
            self._crowd.enter(self, "idle")

    # --- what the application calls

    def end_by_closing(self) -> None:
        """The answer has no length and its client knows no chunks: the connection's end is its end.

        To be called before the answer begins, and `ended_by_closing` before its last part.
        """
        self.cycle.chunked_encoding = False
        self.cycle.expected_content_length = sys.maxsize
        self.cycle.keep_alive = False

    def ended_by_closing(self) -> None:
        """All is sent."""
        self.cycle.expected_content_length = 0

    # --- endings

    def evict(self) -> None:
        """Make room for others."""
        self.transport.abort()

    def timeout_keep_alive_handler(self) -> None:
        """Idle for too long."""
        super().timeout_keep_alive_handler()
        self._linger()

    def send_400_response(self, msg: str) -> None:
        """What came is no request. What was asked before it is answered first."""
        self._deaf = True
        in_body = self._answering() and self.cycle.more_body and not self._in_head
        alone = not self.pipeline and not (in_body and self.cycle.response_started)
        if alone and (in_body or not self._answering()):
            super().send_400_response(msg)
            self._linger()
        elif in_body:
            self.transport.abort()
        else:
            self.cycle.keep_alive = False

    def _unsupported_upgrade_warning(self) -> None:
        """Answered as the request that it is; what follows it is not read as a request."""
        self._deaf = True
        if self.cycle is not None:
            self.cycle.keep_alive = False

    def _too_late(self) -> None:
        self._deadline = None
        if self._silent_bytes:
            self._refuse(408, TOO_SLOW)
        else:
            self.transport.close()
            self._linger()

    def _refuse(self, status: int, text: bytes) -> None:
        """Answer before there is a request, if nothing else is being answered; and close."""
        self._deaf = True
        if not self._answering():
            reason = {408: b"Request Timeout", 431: b"Request Header Fields Too Large"}[status]
            head = b"HTTP/1.1 %d %b\r\ncontent-type: text/plain\r\n" % (status, reason)
            rest = b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(text), text)
            self.transport.write(head + rest)
        self.transport.close()
        self._linger()

    def _linger(self) -> None:
        """A closed transport sends what it has buffered, however long that takes: not here."""
        if self.transport.get_write_buffer_size():
            self.loop.call_later(self._bounds.linger_seconds, self.transport.abort)

    # --- clocks

    def _expect_head(self) -> None:
        self._stop_clock()
        self._silent_bytes = 0
        self._deadline = self.loop.call_later(self._bounds.header_seconds, self._too_late)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _answering(self) -> bool:
        """Whether a request is being answered, or waits for its turn."""
        return self.cycle is not None and not self.cycle.response_complete
