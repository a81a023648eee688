"""An engine within one process, for tests: it records messages and delivers them at once."""

import threading
import time
import uuid
from collections.abc import Callable
from typing import ClassVar

from django.core import checks

from core.database import connections
from core.engine.base import LOOK_SECONDS, BaseEngine, Receiver, WakeKind


class MemoryEngine(BaseEngine):
    """Delivers to the receivers of this process; `woken` and `cancelled` hold every message."""

    reports_ends: ClassVar[bool] = True

    def __init__(self) -> None:
        self.woken: list[WakeKind] = []
        self.cancelled: list[uuid.UUID] = []
        self._receivers: list[MemoryReceiver] = []
        self._changed = threading.Condition()

    def wake(self, kind: WakeKind) -> None:
        """Record a wake-up and deliver it."""
        self.woken.append(kind)
        for receiver in list(self._receivers):
            receiver.on_wake(kind)

    def cancel(self, execution_id: uuid.UUID) -> None:
        """Record a cancellation and deliver it."""
        self.cancelled.append(execution_id)
        for receiver in list(self._receivers):
            receiver.on_cancel(execution_id)
        self.notify()

    def wait_for(
        self,
        execution_id: uuid.UUID,
        seconds: float,
        *,
        ended: Callable[[], bool],
        fresh: bool = False,
    ) -> bool:
        """Block as the base says; every end of this process is a reason to read the row."""
        if fresh:
            self.wake(WakeKind.EXECUTION)
        deadline = time.monotonic() + seconds
        with self._changed:
            while not ended():
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                connections.release_between_waits()
                self._changed.wait(min(left, LOOK_SECONDS))
        return True

    def receiver(
        self,
        *,
        on_wake: Callable[[WakeKind], None],
        on_cancel: Callable[[uuid.UUID], None],
    ) -> "MemoryReceiver":
        """Return a receiver that gets messages between its `start` and its `close`."""
        return MemoryReceiver(self, on_wake=on_wake, on_cancel=on_cancel)

    def check(self) -> list[checks.CheckMessage]:
        """Return a warning: an executor in another process hears nothing."""
        return [
            checks.Warning(
                "STENCIL_ENGINE is `memory`, which reaches no other process.",
                hint="Use `local`; `memory` is for tests.",
                id="core.W001",
            )
        ]

    def notify(self) -> None:
        """Let every waiter read its row."""
        with self._changed:
            self._changed.notify_all()

    def attach(self, receiver: "MemoryReceiver", *, attached: bool) -> None:
        """Begin or stop delivering to a receiver."""
        if attached:
            self._receivers.append(receiver)
        elif receiver in self._receivers:
            self._receivers.remove(receiver)


class MemoryReceiver(Receiver):
    """The executor's end within this process."""

    def __init__(
        self,
        engine: MemoryEngine,
        *,
        on_wake: Callable[[WakeKind], None],
        on_cancel: Callable[[uuid.UUID], None],
    ) -> None:
        self._engine, self.on_wake, self.on_cancel = engine, on_wake, on_cancel

    def start(self) -> None:
        """Begin to receive."""
        self._engine.attach(self, attached=True)

    def finished(self, execution_id: uuid.UUID) -> None:
        """Let every waiter read its row."""
        self._engine.notify()

    def close(self) -> None:
        """Stop receiving."""
        self._engine.attach(self, attached=False)
        self._engine.notify()
