"""A web process's connection to the executor, shared by all requests that wait."""

import contextlib
import logging
import socket
import threading
import time
import uuid

from core.engine import protocol
from core.engine.hub import LinkEvents
from core.engine.local.sockets import short_address, socket_path

MOST_UNSENT = 4 * 1024 * 1024  # bytes that wait for the socket
CONNECT_PAUSE_SECONDS = 0.2  # between attempts to connect, however many requests come meanwhile

logger = logging.getLogger(__name__)


class SocketLink:
    """One connection to the executor: any thread sends, the event loop reads."""

    def __init__(self, events: LinkEvents) -> None:
        self._events, self._loop = events, events.loop
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._tried = -CONNECT_PAUSE_SECONDS
        self._rest = b""
        self._unsent = bytearray()  # bytes that the socket has not taken yet
        self._made = 0

    def begin(self, execution_id: uuid.UUID) -> None:
        """Wake the executor and ask for the end of an execution, in one message."""
        self._send(protocol.Message(type="begin", id=str(execution_id)))

    def watch(self, execution_id: uuid.UUID) -> None:
        """Request a report of the end of an execution."""
        self._send(protocol.Message(type="wait", id=str(execution_id)))

    def follow(self, execution_id: uuid.UUID, version: int) -> None:
        """Request a report of the end, and of live data of another version."""
        self._send(protocol.Message(type="follow", id=str(execution_id), at=(version,)))

    def number(self) -> int:
        """Return the number of connections made so far; connect if there is none."""
        with self._lock:
            if self._socket is None:
                self._connect()
            return self._made

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._socket is not None:
                self._loop.remove_reader(self._socket.fileno())
                self._loop.remove_writer(self._socket.fileno())
                self._socket.close()
                self._socket = None

    def _send(self, message: protocol.Message) -> None:
        """Send at once, or when the socket takes more; drop it if no executor reads."""
        line = protocol.encode(message)
        with self._lock:
            link = self._socket or self._connect()
            if link is None:
                return
            if self._unsent:
                self._unsent += line
                if len(self._unsent) > MOST_UNSENT:
                    self._drop(link)
                return
            try:
                sent = link.send(line)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._drop(link)
                return
            if sent < len(line):
                self._unsent += line[sent:]
                self._loop.call_soon_threadsafe(self._write_on, link)

    def _write_on(self, link: socket.socket) -> None:
        if link.fileno() >= 0:
            self._loop.add_writer(link.fileno(), self._flush, link)

    def _flush(self, link: socket.socket) -> None:
        with self._lock:
            if self._socket is link:
                try:
                    del self._unsent[: link.send(self._unsent)]
                except BlockingIOError:
                    return
                except OSError:
                    self._drop(link)
            if self._socket is not link or not self._unsent:
                self._loop.remove_writer(link.fileno())

    def _connect(self) -> socket.socket | None:
        now = time.monotonic()
        if now - self._tried < CONNECT_PAUSE_SECONDS:
            return None
        self._tried = now
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        link.setblocking(False)
        try:
            with short_address(socket_path()) as address:
                link.connect(address)
        except OSError:
            link.close()
            return None
        self._socket = link
        self._made += 1
        self._loop.call_soon_threadsafe(self._listen, link)
        return link

    def _listen(self, link: socket.socket) -> None:
        if link.fileno() >= 0:
            self._rest = b""
            self._loop.add_reader(link.fileno(), self._read, link)

    def _drop(self, link: socket.socket) -> None:
        """Shut the socket down; the lock is held. The reader then reports that the link is lost."""
        with contextlib.suppress(OSError):
            link.shutdown(socket.SHUT_RDWR)
        if self._socket is link:
            self._socket = None
            self._unsent.clear()

    def _read(self, link: socket.socket) -> None:
        try:
            data = link.recv(64 * 1024)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        *lines, self._rest = (self._rest + data).split(b"\n")
        try:
            for line in lines:
                self._report(protocol.decode(line))
        except protocol.WireError as error:
            logger.warning("socket: %s", error)
            data = b""
        if not data:
            self._loop.remove_reader(link.fileno())
            self._loop.remove_writer(link.fileno())
            with self._lock:
                self._drop(link)
            link.close()
            self._events.lost()

    def _report(self, message: protocol.Message) -> None:
        try:
            execution_id = uuid.UUID(message.id)
        except ValueError:
            return
        if message.type == "finished":
            self._events.finished(execution_id)
        elif message.type == "changed":
            self._events.changed(execution_id)
        elif message.type == "waiting":
            self._events.registered(execution_id)
