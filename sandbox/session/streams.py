"""Byte streams between the host and a sandbox, without blocking on either side."""

import os
import selectors
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from sandbox.session.outcome import Stream

_CHUNK = 64 * 1024
_WRITE_CHUNK = 256 * 1024


@dataclass
class Capture:
    """Keep the first `limit` bytes of a stream; `over` says that there were more."""

    limit: int
    on_data: Callable[[bytes], None] | None = None
    data: bytearray = field(default_factory=bytearray)
    over: bool = False

    def feed(self, data: bytes) -> None:
        """Take more bytes of the stream."""
        kept = data[: max(0, self.limit - len(self.data))]
        self.over = self.over or len(kept) < len(data)
        self.data += kept
        if kept and self.on_data is not None:
            self.on_data(kept)

    def stream(self) -> Stream:
        """Return the kept bytes as a result value."""
        return Stream(data=bytes(self.data), truncated=self.over)


@dataclass
class Lines:
    """Cut a stream into lines of text; a line longer than `longest` bytes is split."""

    on_line: Callable[[str], None]
    longest: int = 8192
    _pending: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> None:
        """Take more bytes and emit each complete line."""
        self._pending += data
        *lines, rest = bytes(self._pending).split(b"\n")
        while len(rest) > self.longest:
            lines.append(rest[: self.longest])
            rest = rest[self.longest :]
        self._pending[:] = rest
        for line in lines:
            self._emit(line)

    def end(self) -> None:
        """Emit the last line if it has no newline."""
        if self._pending:
            self._emit(bytes(self._pending))
            self._pending.clear()

    def _emit(self, line: bytes) -> None:
        for start in range(0, max(len(line), 1), self.longest):
            text = line[start : start + self.longest].decode("utf-8", "replace")
            self.on_line(text.rstrip("\r"))


class Pump:
    """Serve readers, writers and the end of one process in one thread.

    The pump does not own the descriptors that it reads. It closes a descriptor after its last byte
    is written or when its reader is gone; `keep` leaves it open, for a socket.
    """

    def __init__(self, pidfd: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._sinks: dict[int, Callable[[bytes], None]] = {}
        self._outgoing: dict[int, memoryview] = {}
        self._kept: set[int] = set()
        self._pidfd = pidfd
        self.exited = False
        self._selector.register(pidfd, selectors.EVENT_READ)

    def read(self, descriptor: int, sink: Callable[[bytes], None]) -> None:
        """Pass all bytes from `descriptor` to `sink` until the end of the stream."""
        os.set_blocking(descriptor, False)
        self._sinks[descriptor] = sink
        self._watch(descriptor)

    def write(self, descriptor: int, data: bytes, *, keep: bool = False) -> None:
        """Write `data` as fast as the other side reads it."""
        os.set_blocking(descriptor, False)
        self._outgoing[descriptor] = memoryview(data)
        if keep:
            self._kept.add(descriptor)
        self._send(descriptor)

    @property
    def reading(self) -> bool:
        """Return whether a stream has not come to its end."""
        return bool(self._sinks)

    def turn(self, timeout: float) -> bool:
        """Serve the ready streams, after at most `timeout` seconds; return whether any was."""
        found = self._selector.select(max(0.0, timeout))
        for key, events in found:
            if key.fd == self._pidfd:
                self.exited = True
                self._selector.unregister(self._pidfd)
                continue
            if events & selectors.EVENT_WRITE and key.fd in self._outgoing:
                self._send(key.fd)
            if events & selectors.EVENT_READ and key.fd in self._sinks:
                self._receive(key.fd)
        return bool(found)

    def close(self) -> None:
        """Forget all streams; close the descriptors that were still written and are not kept."""
        for descriptor in list(self._outgoing):
            self._stop_writing(descriptor)
        self._selector.close()

    def _receive(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return
        except OSError:  # a reset socket: the other side died with bytes unread
            data = b""
        if data:
            self._sinks[descriptor](data)
            return
        del self._sinks[descriptor]
        self._watch(descriptor)

    def _send(self, descriptor: int) -> None:
        rest = self._outgoing[descriptor]
        try:
            while rest:
                rest = rest[os.write(descriptor, rest[:_WRITE_CHUNK]) :]
        except BlockingIOError:
            self._outgoing[descriptor] = rest
            self._watch(descriptor)
            return
        except OSError:  # the program has closed it: not an error of Stencil
            rest = memoryview(b"")
        self._stop_writing(descriptor)

    def _stop_writing(self, descriptor: int) -> None:
        del self._outgoing[descriptor]
        self._watch(descriptor)
        if descriptor not in self._kept:
            os.close(descriptor)

    def _watch(self, descriptor: int) -> None:
        events = selectors.EVENT_READ if descriptor in self._sinks else 0
        events |= selectors.EVENT_WRITE if descriptor in self._outgoing else 0
        with suppress(KeyError):
            self._selector.unregister(descriptor)
        if events:
            self._selector.register(descriptor, events)
