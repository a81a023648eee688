"""Threads that run executions: made when they are needed, ended when they have been idle."""

import logging
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

from core.database import connections

logger = logging.getLogger(__name__)
IDLE_SECONDS = 10.0


class _Runner[Job]:
    """One thread; `number` is its own while it lives."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.jobs: SimpleQueue[Job | None] = SimpleQueue()  # None: end
        self.thread: threading.Thread


class Runners[Job]:
    """Calls `run(slot, job)` in a thread for each job. `slot` is `prefix` and the thread's number.

    No two jobs have the same slot at a time. `run` must not raise. The caller bounds the number of
    jobs. `kept` threads are made by `open` and live until `close`, each with its connection to the
    database: when descriptors are short, they still can record the end of a job.
    """

    def __init__(
        self,
        run: Callable[[str, Job], object],
        *,
        prefix: str,
        kept: int = 0,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._run = run
        self._prefix = prefix
        self._kept = kept
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._living: dict[int, _Runner[Job]] = {}
        self._idle: list[_Runner[Job]] = []

    def __len__(self) -> int:
        with self._lock:
            return len(self._living)

    def open(self) -> None:
        """Make the threads that are kept."""
        with self._lock:
            for _ in range(self._kept):
                self._idle.append(self._make())

    def start(self, job: Job) -> None:
        """Run a job in an idle thread or in a new one. RuntimeError if no thread can be started."""
        with self._lock:
            # The one that was busy last: the others can end.
            runner = self._idle.pop() if self._idle else self._make()
            runner.jobs.put(job)

    def _make(self) -> _Runner[Job]:
        """Start a thread with the lowest free number. Call it with the lock held."""
        number = next(n for n in range(len(self._living) + 1) if n not in self._living)
        runner = _Runner[Job](number)
        runner.thread = threading.Thread(target=self._serve, args=(runner,), name=f"slot-{number}")
        runner.thread.start()
        self._living[number] = runner
        return runner

    def close(self) -> None:
        """Wait for the running jobs, and end every thread. Start no job afterwards."""
        with self._lock:
            runners = list(self._living.values())
            for runner in runners:
                runner.jobs.put(None)
        for runner in runners:
            runner.thread.join()

    def _serve(self, runner: _Runner[Job]) -> None:
        try:
            if runner.number < self._kept:
                connections.hold()
            while (job := self._next(runner)) is not None:
                try:
                    self._run(f"{self._prefix}{runner.number}", job)
                except Exception:
                    logger.exception("a job in %s: unhandled error", runner.thread.name)
                with self._lock:
                    self._idle.append(runner)
        finally:
            connections.release()

    def _next(self, runner: _Runner[Job]) -> Job | None:
        """Return the next job; None if the thread ends."""
        idle_seconds = None if runner.number < self._kept else self._idle_seconds
        while True:
            try:
                job = runner.jobs.get(timeout=idle_seconds)
            except Empty:
                with self._lock:
                    if runner not in self._idle:  # a job is on its way
                        continue
                    self._forget(runner)
                    return None
            if job is None:
                with self._lock:
                    self._forget(runner)
            return job

    def _forget(self, runner: _Runner[Job]) -> None:
        if runner in self._idle:
            self._idle.remove(runner)
        del self._living[runner.number]
