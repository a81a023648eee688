"""The engine of one machine: messages to the executor over its Unix socket.

When the socket is gone, a wake-up is dropped (the executor looks for work every second) and a wait
reads its row at intervals.
"""

import contextlib
import time
import uuid
from collections.abc import Callable
from typing import ClassVar

from django.core.checks import CheckMessage, Error

from core.database import connections
from core.engine import protocol
from core.engine.base import LOOK_SECONDS, BaseEngine, Link, LinkEvents, Receiver, WakeKind
from core.engine.live import LivePart, Offsets
from core.engine.local.link import SocketLink
from core.engine.local.receiver import SocketReceiver
from core.engine.local.sockets import connect, socket_path


class LocalEngine(BaseEngine):
    """Web processes and one executor on one machine, joined by a socket in STENCIL_DATA."""

    reports_ends: ClassVar[bool] = True

    def wake(self, kind: WakeKind) -> None:
        """Send a wake-up, or drop it when no executor listens."""
        _send(protocol.Message(type="wake", kind=kind))

    def cancel(self, execution_id: uuid.UUID) -> None:
        """Send a cancellation, or drop it when no executor listens."""
        _send(protocol.Message(type="cancel", id=str(execution_id)))

    def wait_for(
        self,
        execution_id: uuid.UUID,
        seconds: float,
        *,
        ended: Callable[[], bool],
        fresh: bool = False,
    ) -> bool:
        """Block as the base says; the message that begins the wait wakes the executor, too."""
        deadline = time.monotonic() + seconds
        if fresh and _wait_once(execution_id, deadline, ended, kind=WakeKind.EXECUTION):
            return True
        while not ended():
            if time.monotonic() >= deadline:
                return False
            if _wait_once(execution_id, deadline, ended):
                return True
        return True

    def read_live(
        self, execution_id: uuid.UUID, offsets: Offsets, *, run: int = 0
    ) -> LivePart | None:
        """Ask the executor by a connection of its own; None if it is away."""
        at = (offsets.stdout, offsets.stderr, offsets.tests, run)
        request = protocol.Message(type="read", id=str(execution_id), at=at)
        try:
            with connect() as link, link.makefile("rb") as lines:
                link.sendall(protocol.encode(request))
                return protocol.read_part(lines)
        except (OSError, protocol.WireError):
            return None

    def link(self, events: LinkEvents) -> Link:
        """Return one connection for all waits of this process."""
        return SocketLink(events)

    def receiver(
        self,
        *,
        on_wake: Callable[[WakeKind], None],
        on_cancel: Callable[[uuid.UUID], None],
    ) -> Receiver:
        """Return the listening end of the socket."""
        return SocketReceiver(socket_path(), on_wake=on_wake, on_cancel=on_cancel)

    def connection_error(self) -> str | None:
        """Return why the executor's socket does not answer, as a sentence, or None."""
        try:
            with connect():
                return None
        except FileNotFoundError:
            return "its file is gone; the executor makes it again within seconds"
        except ConnectionRefusedError:
            return "no process listens: the executor is gone"
        except OSError as error:
            return f"it does not answer: {error.strerror or error}"

    def check(self) -> list[CheckMessage]:
        """Return an error if a folder is in the place of the socket."""
        path = socket_path()
        if not path.is_dir() or path.is_symlink():
            return []
        return [
            Error(
                f"{path} is a folder; the executor's socket belongs there.",
                hint="Remove the folder, then start the executor again.",
                id="core.E002",
            )
        ]


def _send(message: protocol.Message) -> None:
    with contextlib.suppress(OSError), connect() as link:
        link.sendall(protocol.encode(message))


def _wait_once(
    execution_id: uuid.UUID,
    deadline: float,
    ended: Callable[[], bool],
    *,
    kind: WakeKind | None = None,
) -> bool:
    """Wait until there is a reason to read the row: a reply, a lost socket, or an interval.

    Return True when the row was read meanwhile and says that the execution has ended.
    """
    try:
        with connect() as link:
            request = protocol.Message(type="wait", kind=kind, id=str(execution_id))
            link.sendall(protocol.encode(request))
            lines = link.makefile("rb")
            if protocol.decode(lines.readline(protocol.LINE_LIMIT)).type != "waiting":
                return False
            # The executor now holds our wait: it reports an end that comes after this look.
            if ended():
                return True
            # Most ends come at once; opening the database again would cost more than they take.
            while (left := deadline - time.monotonic()) > 0:
                link.settimeout(min(left, LOOK_SECONDS))
                with contextlib.suppress(TimeoutError):
                    link.recv(protocol.LINE_LIMIT)
                    return False
                if ended():
                    return True
                connections.release_between_waits()
    except (OSError, protocol.WireError):
        connections.release_between_waits()
        time.sleep(min(max(0.0, deadline - time.monotonic()), LOOK_SECONDS / 4))
    return False
