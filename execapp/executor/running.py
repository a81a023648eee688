"""The running executions of this executor."""

import threading
import uuid
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Running:
    """One claimed execution. `give_back`: the executor stops, so requeue the execution."""

    execution_id: uuid.UUID
    attempt: int
    cancel: threading.Event = field(default_factory=threading.Event)
    give_back: bool = False


class RunningExecutions:
    """Running executions by id. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[uuid.UUID, Running] = {}

    def __len__(self) -> int:
        with self._lock:
            return len(self._running)

    def add(self, running: Running) -> None:
        """Add an execution, which makes it cancellable."""
        with self._lock:
            self._running[running.execution_id] = running

    def remove(self, running: Running) -> None:
        """Remove an execution that has ended."""
        with self._lock:
            self._running.pop(running.execution_id, None)

    def ids(self) -> list[uuid.UUID]:
        """Return the ids of the running executions."""
        with self._lock:
            return list(self._running)

    def cancel(self, execution_id: uuid.UUID) -> None:
        """Stop an execution. Do nothing if it does not run here."""
        with self._lock:
            running = self._running.get(execution_id)
        if running is not None:
            running.cancel.set()

    def give_back_all(self) -> None:
        """Stop every execution; each returns to the queue for another executor."""
        with self._lock:
            everything = list(self._running.values())
        for running in everything:
            running.give_back = True
            running.cancel.set()
