"""One connection: uvicorn's protocol with deadlines for a request that arrives.

A deadline counts from the first byte to the last. uvicorn bounds only the pause between two
requests, so a client that sends one byte each second would hold a connection for ever.
"""

import asyncio
import sys
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from webui.server.bounds import Bounds
from webui.server.connection_table import ConnectionTable

KEY = "stencil.connection"  # the key in a request's scope
TOO_SLOW = b"The request did not arrive in time."
TOO_LARGE = b"The head of the request is too large."


class Connection(HttpToolsProtocol):
    """uvicorn's protocol, within bounds. `connection_table.State` has the states."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        connections: ConnectionTable,
        bounds: Bounds,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.address = ""
        self.parked: asyncio.Future[Any] | None = None  # cancelled when the client disconnects
        self._connections, self._bounds = connections, bounds
        self._deadline: asyncio.TimerHandle | None = None
        self._slow_reader: asyncio.TimerHandle | None = None
        self._silent_bytes = 0  # of a head or of trailers, which the parser does not report
        self._in_head = False  # a request has begun and its head is incomplete
        self._deaf = False  # ignore further bytes: they are no request

    # --- called by asyncio

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the deadline of the first request."""
        super().connection_made(transport)
        self.address = self.client[0] if self.client else ""
        if self._connections.admit(self):
            self._expect_head()
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection, and cancel a parked wait."""
        self._connections.leave(self)
        self._stop_clock()
        self.resume_writing()
        self._unset_keepalive_if_required()
        if self.parked is not None:
            self.parked.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Handle bytes. Any byte between two requests, even an empty line, begins a request."""
        if self._deaf:
            return
        if not self._answering() and self._deadline is None:
            self._connections.enter(self, "half")
            self._expect_head()
        self._silent_bytes += len(data)
        super().data_received(data)
        if self._silent_bytes > self._bounds.header_bytes and not self.transport.is_closing():
            self._refuse(431, TOO_LARGE)

    def pause_writing(self) -> None:
        """Start the client's deadline to read the buffered bytes."""
        super().pause_writing()
        if self._slow_reader is None:
            seconds = self._bounds.write_seconds
            self._slow_reader = self.loop.call_later(seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop the deadline of `pause_writing`: the client reads again."""
        if self._slow_reader is not None:
            self._slow_reader.cancel()
            self._slow_reader = None
        super().resume_writing()

    # --- called by the parser

    def on_message_begin(self) -> None:
        """Handle the start of a request."""
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        """Handle a complete head. The application replies within the deadline of the body."""
        self.scope["state"][KEY] = self
        self._in_head, self._silent_bytes = False, 0
        self._stop_clock()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Handle a part of a body."""
        self._silent_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Handle a complete request."""
        super().on_message_complete()
        if self._answering():
            self._connections.enter(self, "busy")

    def on_response_complete(self) -> None:
        """Handle the end of a reply: a request follows, or the connection is idle or closes."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._linger()
        elif self._answering():
            self._connections.enter(self, "busy")
        elif self._in_head:
            self._unset_keepalive_if_required()
            self._connections.enter(self, "half")
            self._expect_head()
        else:
            self._connections.enter(self, "idle")

    # --- called by the application

    def end_by_closing(self) -> None:
        """Let the end of the connection end the reply: it has no length, and HTTP/1.0 no chunks.

        Call this before the reply begins, and `ended_by_closing` before its last part.
        """
        self.cycle.chunked_encoding = False
        self.cycle.expected_content_length = sys.maxsize
        self.cycle.keep_alive = False

    def ended_by_closing(self) -> None:
        """Note that the whole reply is sent."""
        self.cycle.expected_content_length = 0

    # --- how a connection ends

    def evict(self) -> None:
        """Close at once, to make room for another connection."""
        self.transport.abort()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that was idle for too long."""
        super().timeout_keep_alive_handler()
        self._linger()

    def send_400_response(self, msg: str) -> None:
        """Refuse bytes that are no request, after the replies to earlier requests."""
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
        """Answer the request without an upgrade, and ignore all later bytes."""
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
        """Reply before the request is complete, unless another reply is under way; then close."""
        self._deaf = True
        if not self._answering():
            reason = {408: b"Request Timeout", 431: b"Request Header Fields Too Large"}[status]
            head = b"HTTP/1.1 %d %b\r\ncontent-type: text/plain\r\n" % (status, reason)
            rest = b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(text), text)
            self.transport.write(head + rest)
        self.transport.close()
        self._linger()

    def _linger(self) -> None:
        """Bound the time in which a closed transport sends its buffer."""
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
        """Return whether a request is being answered or is queued."""
        return self.cycle is not None and not self.cycle.response_complete
