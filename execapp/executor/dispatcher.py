"""The dispatcher: one thread claims the executions that may start now, and hands each to a runner.

Decision 0037: admission says how many may start. If one is queued and may not start, the dispatcher
looks again soon, because a running program may begin to wait at any moment.
"""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings

from core.database.retry import retry_on_lock
from core.jobs.worker import POLL_SECONDS, Worker
from execapp.executor.admission import Entry, Need
from execapp.executor.context import ExecutorContext
from execapp.executor.running import Running
from execapp.models import Execution
from execapp.services import claims
from execapp.services.claims import Candidate

LOOK_SECONDS = 0.01  # between looks at the load while an execution waits for it
_READ_SECONDS = 0.5  # after which the queue is read again, though its next one does not fit


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """One execution that belongs to this executor, and its place in the load."""

    execution: Execution
    running: Running
    entry: Entry

    @property
    def id(self) -> uuid.UUID:
        """Return the id of the execution."""
        return self.execution.id


class Dispatcher:
    """Claims executions for one executor; `serve` is the loop of its thread."""

    def __init__(self, context: ExecutorContext, *, start: Callable[[Claimed], object]) -> None:
        """Store the parts. `start` hands an execution to a thread and returns at once."""
        self._context = context
        self._start = start
        self._refused: Need | None = None  # of the execution whose turn it is
        self._read_at = 0.0
        self._seen = -1  # the wake-ups before the queue was last read to its end
        self._worker = Worker[list[Claimed]](
            name="the execution worker",
            claim=self._claim,
            run=self._hand_over,
            wakeup=context.execution_wakeup,
            stopping=context.draining,
            failures=context.failures,
        )

    def serve(self) -> None:
        """Claim until the executor drains."""
        self._worker.serve()

    def _claim(self) -> list[Claimed] | None:
        context = self._context
        self._worker.poll_seconds = POLL_SECONDS
        if context.breaker.trouble is not None:
            return None  # no sandbox can start: executions stay in the queue
        openings = context.admission.openings()
        if openings == 0 or not self._due():
            if self._refused is not None or context.execution_wakeup.count != self._seen:
                self._worker.poll_seconds = LOOK_SECONDS
            return None
        seen = context.execution_wakeup.count
        self._refused = None
        claimed = retry_on_lock(lambda: self._claim_once(openings))
        self._read_at = time.monotonic()
        if self._refused is None and len(claimed) < openings:
            self._seen = seen
        elif not claimed:
            self._worker.poll_seconds = LOOK_SECONDS
        return claimed or None

    def _due(self) -> bool:
        """Return whether to read the queue: not while its next execution surely does not fit."""
        if self._refused is None or time.monotonic() - self._read_at >= _READ_SECONDS:
            return True
        return self._context.admission.fits(self._refused)

    def _claim_once(self, openings: int) -> list[Claimed]:
        context, entries = self._context, dict[uuid.UUID, Entry]()

        def admit(candidate: Candidate) -> bool:
            need = need_of(candidate)
            entry = context.admission.admit(need)
            if entry is None:
                self._refused = need
                return False
            entries[candidate.id] = entry
            return True

        taken: list[Claimed] = []
        try:
            found = claims.claim_some(
                worker=context.worker,
                rotation=context.rotation,
                limit=context.client_limit,
                most=openings,
                admit=admit,
            )
            taken = [self._note(execution, entries.pop(execution.id)) for execution in found]
        finally:
            for entry in entries.values():  # not claimed after all
                context.admission.leave(entry)
        return taken

    def _note(self, execution: Execution, entry: Entry) -> Claimed:
        """Make an execution known before a thread runs it: its lease is renewed from now on."""
        running = Running(execution_id=execution.id, attempt=execution.attempt)
        self._context.running_executions.add(running)
        return Claimed(execution=execution, running=running, entry=entry)

    def _hand_over(self, batch: list[Claimed]) -> None:
        for number, claimed in enumerate(batch):
            try:
                self._start(claimed)
            except BaseException:
                for left in batch[number:]:
                    self._give_back(left)
                raise

    def _give_back(self, claimed: Claimed) -> None:
        """Return an execution for which no thread could be started to the queue."""
        context, execution = self._context, claimed.execution
        context.running_executions.remove(claimed.running)
        context.admission.leave(claimed.entry)
        retry_on_lock(lambda: claims.postpone(execution=execution, attempt=execution.attempt))


def need_of(candidate: Candidate) -> Need:
    """Return the resources that an execution may take."""
    return Need(
        memory_bytes=candidate.limits.get("memory_bytes", 0),
        processes=candidate.limits.get("processes", 0),
        exclusive=candidate.exclusive or candidate.template_name in settings.STENCIL_EXCLUSIVE,
    )
