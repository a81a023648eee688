"""The executor's end of the socket: receives wake-ups, reports ends of executions."""

import contextlib
import logging
import os
import selectors
import socket
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

from core.engine import protocol
from core.engine.base import Receiver
from core.engine.live import LiveSource, Offsets
from core.engine.local.sockets import short_address

logger = logging.getLogger(__name__)
BACKLOG = 256
MOST_UNSENT = 4 * 1024 * 1024  # bytes that wait for one connection
# Ends that are remembered for a "begin" that arrives later. An execution may end first, because a
# slot that is awake claims its row as soon as it is committed.
MOST_ENDED = 4096
_SERVER = "server"  # marks the listening socket in the selector, even after it was replaced


class SocketReceiver(Receiver):
    """One thread that reads every connection. Replies may be sent from any thread."""

    def __init__(
        self,
        path: Path,
        *,
        on_wake: Callable[[protocol.WakeKind], None],
        on_cancel: Callable[[uuid.UUID], None],
    ) -> None:
        self._path = path
        self._on_wake = on_wake
        self._on_cancel = on_cancel
        self._lock = threading.Lock()
        self._waiting: dict[str, set[socket.socket]] = {}
        self._following: dict[uuid.UUID, set[socket.socket]] = {}  # each is told once
        self._live: LiveSource | None = None
        self._ended: dict[str, None] = {}  # reported to nobody, in the order of their ends
        self._pending: dict[socket.socket, bytes] = {}
        self._unsent: dict[socket.socket, bytearray] = {}
        self._selector = selectors.DefaultSelector()
        self._stop_read, self._stop_write = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="listener", daemon=True)

    def start(self) -> None:
        """Listen, in place of a socket that a killed executor left: the caller holds the lock."""
        self._open()
        self._selector.register(self._stop_read, selectors.EVENT_READ)
        self._thread.start()

    def ensure(self) -> None:
        """Make the socket again when its file was deleted or replaced. Raises OSError.

        Connections that exist are kept.
        """
        try:
            there = os.lstat(self._path)
        except FileNotFoundError:
            there = None
        if there is not None and (there.st_dev, there.st_ino) == self._file:
            return
        logger.warning("socket: %s is gone; it is made again", self._path.name)
        before = self._server
        self._open()
        with contextlib.suppress(KeyError):
            self._selector.unregister(before)
        before.close()

    def _open(self) -> None:
        if self._path.is_dir() and not self._path.is_symlink():
            message = f"{self._path} is a folder: remove it, the executor's socket belongs there."
            raise IsADirectoryError(message)
        self._path.unlink(missing_ok=True)
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with short_address(self._path) as address:
                server.bind(address)
            self._path.chmod(0o600)
            made = os.lstat(self._path)
            server.listen(BACKLOG)
            server.setblocking(False)
        except BaseException:
            server.close()
            raise
        self._server, self._file = server, (made.st_dev, made.st_ino)
        self._selector.register(server, selectors.EVENT_READ, _SERVER)

    def finished(self, execution_id: uuid.UUID) -> None:
        """Report the end to every connection that waits for this execution."""
        line = protocol.encode(protocol.Message(type="finished", id=str(execution_id)))
        with self._lock:
            waiters = self._waiting.pop(str(execution_id), set())
            self._following.pop(execution_id, None)
            for waiter in waiters:
                self._send(waiter, line)
            if not waiters:
                self._remember(str(execution_id))

    def serve_live(self, source: LiveSource) -> None:
        """Serve the live data of this source."""
        self._live = source

    def changed(self, execution_id: uuid.UUID) -> None:
        """Report new live data once to every connection that follows; they ask again."""
        if execution_id not in self._following:  # nobody does: the usual case
            return
        line = protocol.encode(protocol.Message(type="changed", id=str(execution_id)))
        with self._lock:
            for link in self._following.pop(execution_id, ()):
                self._send(link, line)

    def _follow(self, link: socket.socket, execution_id: uuid.UUID, version: int) -> None:
        with self._lock:
            self._waiting.setdefault(str(execution_id), set()).add(link)
            self._following.setdefault(execution_id, set()).add(link)
        found = None if self._live is None else self._live.version(execution_id)
        if found is None:  # queued, or ended meanwhile: its row tells
            line = protocol.encode(protocol.Message(type="waiting", id=str(execution_id)))
            with self._lock:
                self._send(link, line)
        elif found != version:
            self.changed(execution_id)

    def _read_live(self, link: socket.socket, message: protocol.Message) -> None:
        stdout, stderr, tests, run = message.at
        offsets = Offsets(stdout=stdout, stderr=stderr, tests=tests)
        part = None if self._live is None else self._live.read(uuid.UUID(message.id), offsets, run)
        with self._lock:
            self._send(link, protocol.write_part(part))

    def _remember(self, execution_id: str) -> None:
        self._ended[execution_id] = None
        if len(self._ended) > MOST_ENDED:
            del self._ended[next(iter(self._ended))]

    def close(self) -> None:
        """Stop listening. Waiters see the end of the stream and read their rows."""
        self._stop_write.send(b".")
        self._thread.join()
        self._path.unlink(missing_ok=True)

    def _serve(self) -> None:
        stopping = False
        while not stopping:
            for key, events in self._selector.select():
                assert isinstance(key.fileobj, socket.socket)  # noqa: S101 - nothing else is
                if key.data is _SERVER:
                    self._accept(key.fileobj)
                elif key.fileobj is self._stop_read:
                    stopping = True
                else:
                    if events & selectors.EVENT_WRITE:
                        self._flush(key.fileobj)
                    if events & selectors.EVENT_READ:
                        self._read(key.fileobj)
        for link in list(self._pending):
            self._forget(link)
        for link in (self._server, self._stop_read, self._stop_write):
            link.close()
        self._selector.close()

    def _accept(self, server: socket.socket) -> None:
        try:
            link, _ = server.accept()
        except OSError as error:  # no descriptor is free, or the client has closed already
            logger.warning("socket: %s", error)
            return
        link.setblocking(False)
        self._pending[link] = b""
        self._selector.register(link, selectors.EVENT_READ)

    def _read(self, link: socket.socket) -> None:
        try:
            data = link.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        *lines, rest = (self._pending[link] + data).split(b"\n")
        try:
            for line in lines:
                self._take(link, protocol.decode(line))
        except (protocol.WireError, ValueError, TypeError) as error:
            logger.warning("socket: %s", error)
            data = b""
        self._pending[link] = rest
        if not data or len(rest) > protocol.LINE_LIMIT:
            self._forget(link)

    def _take(self, link: socket.socket, message: protocol.Message) -> None:
        if message.type == "wake" and message.kind:
            self._on_wake(message.kind)
        elif message.type == "cancel":
            self._on_cancel(uuid.UUID(message.id))
            # A queued execution has ended already: let its waiters read the row.
            self.finished(uuid.UUID(message.id))
        elif message.type == "wait":
            execution_id = str(uuid.UUID(message.id))
            with self._lock:
                self._waiting.setdefault(execution_id, set()).add(link)
                self._send(link, protocol.encode(protocol.Message(type="waiting", id=execution_id)))
            if message.kind:  # after the wait is registered, so that no end is missed
                self._on_wake(message.kind)
        elif message.type == "begin":
            self._begin(link, str(uuid.UUID(message.id)))
        elif message.type == "follow":
            self._follow(link, uuid.UUID(message.id), *message.at)
        elif message.type == "read":
            self._read_live(link, message)

    def _begin(self, link: socket.socket, execution_id: str) -> None:
        """Register the wait for an execution that was committed just now, and wake a slot."""
        with self._lock:
            # Reported once: a requeued execution then ends again, and its waiter is registered.
            if execution_id in self._ended:
                del self._ended[execution_id]
                line = protocol.encode(protocol.Message(type="finished", id=execution_id))
                self._send(link, line)
            else:
                self._waiting.setdefault(execution_id, set()).add(link)
        self._on_wake(protocol.WakeKind.EXECUTION)

    def _send(self, link: socket.socket, data: bytes) -> None:
        """Send, or keep the bytes that the socket does not take now. The lock is held.

        One connection carries thousands of waits; the kernel buffers some hundred messages.
        """
        kept = self._unsent.get(link)
        if kept is not None:
            kept += data
            if (
                len(kept) > MOST_UNSENT
            ):  # the other side reads nothing: closing makes it read its rows
                with contextlib.suppress(OSError):
                    link.shutdown(socket.SHUT_RDWR)
            return
        try:
            sent = link.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:  # the connection is closed
            return
        if sent < len(data):
            self._unsent[link] = bytearray(data[sent:])
            with contextlib.suppress(KeyError, ValueError):
                self._selector.modify(link, selectors.EVENT_READ | selectors.EVENT_WRITE)

    def _flush(self, link: socket.socket) -> None:
        with self._lock:
            kept = self._unsent.get(link)
            if kept is None:
                return
            try:
                del kept[: link.send(kept)]
            except BlockingIOError:
                return
            except OSError:  # the connection is closed; its end is read next
                kept.clear()
            if not kept:
                del self._unsent[link]
                self._selector.modify(link, selectors.EVENT_READ)

    def _forget(self, link: socket.socket) -> None:
        with self._lock:
            self._unsent.pop(link, None)
            for identifier in [key for key, links in self._following.items() if link in links]:
                self._following[identifier].discard(link)
                if not self._following[identifier]:
                    del self._following[identifier]
            for execution_id in [key for key, links in self._waiting.items() if link in links]:
                self._waiting[execution_id].discard(link)
                if not self._waiting[execution_id]:
                    del self._waiting[execution_id]
        self._pending.pop(link, None)
        with contextlib.suppress(KeyError):
            self._selector.unregister(link)
        link.close()
