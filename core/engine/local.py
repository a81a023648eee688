"""The engine of one machine: wake-ups to the executor, and waiting for an end, over its socket.

Nothing here is needed for correctness. When the socket is gone, a wake-up is dropped (the
executor looks by itself every second) and a wait becomes looking at the row.
"""

import contextlib
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from django.conf import settings
from django.db import connection

from core.engine import protocol

CONNECT_SECONDS = 1.0
LOOK_SECONDS = 1.0  # how often a waiter looks at the row by itself
ADDRESS_BYTES = 100  # the kernel's own limit is 108 with the final NUL


def socket_path() -> Path:
    """Where the executor of this data directory listens."""
    return Path(settings.STENCIL_DATA) / "executor.sock"


@contextlib.contextmanager
def short_address(path: Path) -> Iterator[str]:
    """An address for `path` that fits into a socket address, however deep the directory is."""
    if len(os.fsencode(path)) <= ADDRESS_BYTES:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def reachable() -> str | None:
    """Why the executor's socket does not answer, as a sentence; None when it does."""
    try:
        with _connect():
            return None
    except FileNotFoundError:
        return "its file is gone; the executor makes it again within seconds"
    except ConnectionRefusedError:
        return "nobody listens: the executor is gone"
    except OSError as error:
        return f"it does not answer: {error.strerror or error}"


def wake(kind: Literal["execution", "build", "promotion"]) -> None:
    """Tell the executor that there is something of this kind; never fails."""
    _tell(protocol.Message(type="wake", kind=kind))


def cancel(execution_id: uuid.UUID) -> None:
    """Tell the executor that a running execution is to end; never fails."""
    _tell(protocol.Message(type="cancel", id=str(execution_id)))


def wait_for(
    execution_id: uuid.UUID,
    seconds: float,
    *,
    finished: Callable[[], bool] | None = None,
    fresh: bool = False,
) -> bool:
    """Block until the execution has ended or the time is over; say whether it has ended.

    `finished` looks at the row (default: a query of its own). `fresh` is for one that was
    committed just now: the executor is woken by the same message that begins the wait. The
    database connection is given back when a wait lasts.
    """
    looks = _row_looker(execution_id)
    ended = finished or looks
    deadline = time.monotonic() + seconds
    if fresh:
        _wait_once(execution_id, deadline, looks, kind="execution")
    while not ended():
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        _wait_once(execution_id, deadline, looks)
    return True


def release_connection() -> None:
    """Close this thread's database connection, unless a transaction is open on it."""
    if not connection.in_atomic_block:
        connection.close()


def _wait_once(
    execution_id: uuid.UUID, deadline: float, ended: Callable[[], bool], *, kind: str = ""
) -> None:
    """Wait until a reason to look at the row again: a reply, a lost socket, or a while."""
    try:
        with _connect() as link:
            asked = protocol.Message(type="wait", kind=kind, id=str(execution_id))
            link.sendall(protocol.encode(asked))
            lines = link.makefile("rb")
            # The executor now holds our wait, so an end after this look will be told to us.
            if protocol.decode(lines.readline(protocol.LINE_LIMIT)).type != "waiting" or ended():
                return
            # Most ends come at once; opening the database again would cost more than they take.
            while (left := deadline - time.monotonic()) > 0:
                link.settimeout(min(left, LOOK_SECONDS))
                with contextlib.suppress(TimeoutError):
                    link.recv(protocol.LINE_LIMIT)
                    return
                if ended():
                    return
                release_connection()
    except (OSError, protocol.WireError):
        release_connection()
        time.sleep(min(max(0.0, deadline - time.monotonic()), LOOK_SECONDS / 4))


def _row_looker(execution_id: uuid.UUID) -> Callable[[], bool]:
    from execapp.models import FINAL_STATES, Execution

    return Execution.objects.filter(id=execution_id, state__in=FINAL_STATES).exists


def _tell(message: protocol.Message) -> None:
    with contextlib.suppress(OSError), _connect() as link:
        link.sendall(protocol.encode(message))


@contextlib.contextmanager
def _connect() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(CONNECT_SECONDS)
        with short_address(socket_path()) as address:
            link.connect(address)
        yield link
