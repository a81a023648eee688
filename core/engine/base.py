"""The interface of an engine: how web processes and executors tell each other of work.

An engine carries messages and stores nothing. Database rows are authoritative: an executor looks
for work at intervals, and a waiter reads its row at intervals. An engine therefore may lose
messages; each loss costs at most an interval. Its methods never raise for an executor or a broker
that is away, and never block for longer than a short connect time-out. Decision 0032.
"""

import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from concurrent.futures import Executor
from typing import ClassVar

from django.core.checks import CheckMessage

from core.database import connections
from core.engine.hub import LOOK_SECONDS, Hub, Link, LinkEvents
from core.engine.live import LivePart, LiveSource, Offsets
from core.engine.protocol import WakeKind


class Receiver:
    """The executor's end of an engine. This base receives nothing: the executor polls."""

    def start(self) -> None:
        """Begin to receive. Raises OSError."""

    def ensure(self) -> None:
        """Repair what an operator or a fault has removed; called every second. Raises OSError."""

    def finished(self, execution_id: uuid.UUID) -> None:
        """Tell those who wait for this execution that its row says so. Any thread."""

    def serve_live(self, source: LiveSource) -> None:
        """Serve the live data of this source to web processes. This base serves none."""

    def changed(self, execution_id: uuid.UUID) -> None:
        """Tell those who follow this execution that it has new live data. Any thread; quick."""

    def close(self) -> None:
        """Stop receiving. Waiters then read their rows."""


class BaseEngine(ABC):
    """One way to carry wake-ups, cancellations and ends.

    Subclasses must define `wake` and `cancel`. Every other method has a default that reads rows.
    """

    # Capabilities, which callers ask for instead of the engine's class.
    crosses_machines: ClassVar[bool] = False  # messages reach executors of other machines
    reports_ends: ClassVar[bool] = False  # a waiter learns of an end without reading its row

    @abstractmethod
    def wake(self, kind: WakeKind) -> None:
        """Tell executors that there is work of this kind. Call it when the row is committed."""

    @abstractmethod
    def cancel(self, execution_id: uuid.UUID) -> None:
        """Tell the executor of a running execution that its row requests its end."""

    def wait_for(
        self,
        execution_id: uuid.UUID,
        seconds: float,
        *,
        ended: Callable[[], bool],
        fresh: bool = False,
    ) -> bool:
        """Block until an execution has ended or the time is over; return whether it has ended.

        `ended` reads the row. `fresh` is for an execution that was committed just now without a
        wake-up: the wait wakes the executor. A wait that lasts closes the database connection.
        """
        if fresh:
            self.wake(WakeKind.EXECUTION)
        deadline = time.monotonic() + seconds
        while not ended():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            connections.release_between_waits()
            time.sleep(min(left, LOOK_SECONDS))
        return True

    def hub(
        self, *, pool: Executor, ended: Callable[[Collection[uuid.UUID]], set[uuid.UUID]]
    ) -> Hub:
        """Return the hub, which holds every wait of this process on the running event loop.

        `ended` returns which of some executions have ended, by one query in a thread of `pool`.
        """
        return Hub(pool=pool, ended=ended, connect=self.link)

    def link(self, events: LinkEvents) -> Link:
        """Return the connection of a hub. This default wakes and reports no end."""
        return _WakingLink(self)

    def read_live(
        self, execution_id: uuid.UUID, offsets: Offsets, *, run: int = 0
    ) -> LivePart | None:
        """Return the live data of an execution after `offsets`, as `LiveSource.read` does.

        None if it does not run, or if this engine carries no live data: read the row then.
        """
        return None

    def receiver(
        self,
        *,
        on_wake: Callable[[WakeKind], None],
        on_cancel: Callable[[uuid.UUID], None],
    ) -> Receiver:
        """Return the executor's end. The callbacks are quick; any thread may call them.

        An engine that acknowledges messages does so when the callback has returned.
        """
        return Receiver()

    def connection_error(self) -> str | None:
        """Return why the executor or the broker cannot be reached, as a sentence, or None."""
        return None

    def check(self) -> list[CheckMessage]:
        """Return the errors in this engine's settings, as messages of Django's system checks."""
        return []


class _WakingLink:
    """The link of an engine that has no connection for waiters."""

    def __init__(self, engine: BaseEngine) -> None:
        self._engine = engine

    def begin(self, execution_id: uuid.UUID) -> None:
        """Wake an executor."""
        self._engine.wake(WakeKind.EXECUTION)

    def watch(self, execution_id: uuid.UUID) -> None:
        """Do nothing: the hub reads the row."""

    def follow(self, execution_id: uuid.UUID, version: int) -> None:
        """Do nothing: the hub reads the row."""

    def number(self) -> int:
        """Return 0: there is no connection."""
        return 0

    def close(self) -> None:
        """Do nothing."""


__all__ = ["LOOK_SECONDS", "BaseEngine", "Hub", "Link", "LinkEvents", "Receiver", "WakeKind"]
