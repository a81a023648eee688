"""Wait in the main thread until the process shall stop."""

import signal
import socket
import threading


class StopSignals:
    """SIGINT and SIGTERM, from now on. Make it in the main thread.

    The kernel may hand a signal to any thread. Python runs the handler in the main thread, but does
    not wake it from a lock that it waits for; a byte on a socket does.
    """

    def __init__(self) -> None:
        """Replace the handlers of both signals."""
        self._asked = threading.Event()
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self._asked.set())

    def wait(self) -> None:
        """Return when one of the signals has come."""
        while not self._asked.is_set():
            self._reader.recv(64)
