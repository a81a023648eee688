"""What this executor is running now, and how to stop it."""

import threading
import uuid
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Running:
    """One claimed execution. `give_back` is set when it is stopped only because we stop."""

    execution_id: uuid.UUID
    attempt: int
    cancel: threading.Event = field(default_factory=threading.Event)
    give_back: bool = False


class RunningExecutions:
    """Running executions by id; for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[uuid.UUID, Running] = {}

    def __len__(self) -> int:
        with self._lock:
            return len(self._running)

    def add(self, running: Running) -> None:
        """From here on it can be cancelled."""
        with self._lock:
            self._running[running.execution_id] = running

    def remove(self, running: Running) -> None:
        """It has ended."""
        with self._lock:
            self._running.pop(running.execution_id, None)

    def ids(self) -> list[uuid.UUID]:
        """Which executions run now."""
        with self._lock:
            return list(self._running)

    def cancel(self, execution_id: uuid.UUID) -> None:
        """Stop one; nothing when it is not running here."""
        with self._lock:
            running = self._running.get(execution_id)
        if running is not None:
            running.cancel.set()

    def give_back_all(self) -> None:
        """Stop all of them, to be run by whoever comes after us."""
        with self._lock:
            everything = list(self._running.values())
        for running in everything:
            running.give_back = True
            running.cancel.set()
