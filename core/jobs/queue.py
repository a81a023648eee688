"""One queue of leased jobs: claim, renew, end, give back, reopen, reap, take over, cancel.

The table is the queue (decision 0031). Every step is one conditional UPDATE, and its row count says
whether the step happened. A claim counts `attempt` up, and every later write names its attempt: a
worker whose lease was lost writes nothing any more, however late it returns.

Leases are compared with this machine's clock. For workers on several machines, `_now` is the place
to ask the database for the time instead.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from django.db.models import Expression, F, Q, QuerySet
from django.db.models.expressions import Combinable
from django.utils import timezone

from core.database.prepared import Param, PreparedUpdate
from core.jobs.models import CancellableJob, LeasedJob


@dataclass(frozen=True, kw_only=True, eq=False)
class Queue[Job: LeasedJob]:
    """The jobs of one model.

    `running`: the states under a lease; a claim sets the first. `lease`: how long a claim holds
    without a renewal. `max_attempts`: how often a job is claimed before it is given up.
    """

    model: type[Job]
    queued: str
    running: tuple[str, ...]
    lease: timedelta
    max_attempts: int = 1

    def rows(self) -> QuerySet[Job]:
        """Return every job."""
        return self.model._default_manager.all()

    def oldest(self, rows: QuerySet[Job], *order: Any) -> Job | None:
        """Return the first queued job of `rows`, by `order` and then by age."""
        return rows.filter(state=self.queued).order_by(*order, "created_at", "pk").first()

    def claim(self, *, worker: str, choose: Callable[[], Job | None], **values: Any) -> Job | None:
        """Claim the job that `choose` returns, also in the object; None if it returns None.

        If another worker was faster, `choose` is asked again. `values` are set with the claim.
        """
        while (job := choose()) is not None:
            if self.take(job, worker=worker, **values):
                return job
        return None

    def take(self, job: Job, *, worker: str, **values: Any) -> bool:
        """Claim one queued job, also in the object; False if it is not queued any more."""
        now = _now()
        changes = {
            "state": self.running[0],
            "attempt": job.attempt + 1,
            "worker": worker,
            "started_at": now,
            "lease_until": now + self.lease,
            **values,
        }
        update = _taking(self, frozenset(changes))
        if update.run(job_id=job.pk, before=job.attempt, **changes) != 1:
            return False
        for name, value in changes.items():
            setattr(job, name, value)
        return True

    def held(self, job: Job) -> QuerySet[Job]:
        """Return the row of `job` for as long as its attempt is the current one and runs."""
        return self.held_attempt(job.pk, job.attempt)

    def held_attempt(self, job_id: Any, attempt: int) -> QuerySet[Job]:
        """Return the row of a job for as long as this attempt is the current one and runs."""
        return self.rows().filter(pk=job_id, attempt=attempt, state__in=self.running)

    def update(self, job: Job, **values: Any) -> bool:
        """Set `values` without a renewal; False if the job is not this attempt's any more.

        `values` may move `state` to another running state. Use `end` for a final state.
        """
        return self.held(job).update(**values) == 1

    def renew(self, job: Job, *, lease: timedelta | None = None, **values: Any) -> bool:
        """Prolong the lease and set `values`; False if the job is not this attempt's any more."""
        until = _now() + (self.lease if lease is None else lease)
        return self.held(job).update(lease_until=until, **values) == 1

    def renew_all(self, *, worker: str, ids: list[Any]) -> int:
        """Prolong the leases of these jobs of one worker; return how many it still holds."""
        rows = self.rows().filter(pk__in=ids, worker=worker, state__in=self.running)
        return rows.update(lease_until=_now() + self.lease)

    def end(self, job: Job, *, state: str, unrenewed: bool = False, **values: Any) -> bool:
        """Record the one end of this attempt; False if the attempt is not the current one.

        `unrenewed`: only while the row still has the state and the lease of the object. A reaper
        thereby leaves alone a job whose worker renewed the lease meanwhile. `values` name a related
        row by its id (`version_id`).
        """
        changes = {"state": state, "finished_at": _now(), "lease_until": None, **values}
        if unrenewed or any(isinstance(value, Combinable) for value in changes.values()):
            return self._held(job, unrenewed).update(**changes) == 1
        update = _prepared_end(self, frozenset(changes))
        return update.run(job_id=job.pk, current=job.attempt, **changes) == 1

    def give_back(
        self, job: Job, *, counted: bool = True, unrenewed: bool = False, **values: Any
    ) -> bool:
        """Return this attempt's job to the queue; False if it is not ours, or was cancelled.

        `values` are set with it.

        Not `counted`: the attempt does not count. Only for the worker of the attempt itself, and
        only if it writes nothing more, because the next attempt has the same number.
        """
        rows = self._held(job, unrenewed)
        if issubclass(self.model, CancellableJob):
            rows = rows.filter(cancel_requested=False)
        changed = rows.update(
            state=self.queued,
            worker="",
            lease_until=None,
            started_at=None,
            attempt=F("attempt") if counted else F("attempt") - 1,
            **values,
        )
        return changed == 1

    def reopen(self, job_id: Any, *, ended: Collection[str], **values: Any) -> bool:
        """Return a job to the queue that has one of the `ended` states; False if it has not."""
        rows = self.rows().filter(pk=job_id, state__in=ended)
        return rows.update(state=self.queued, worker="", finished_at=None, **values) == 1

    def expired(self) -> Q:
        """Return the condition for running jobs whose lease ran out, or that have none."""
        return Q(lease_until__lt=_now()) | Q(lease_until__isnull=True)

    def recover(
        self,
        condition: Q,
        *,
        give_up: Callable[[Job], object],
        retry: Callable[[Job], object] | None = None,
        rows: QuerySet[Job] | None = None,
    ) -> int:
        """Give back, or after the last attempt give up, the running jobs that match `condition`.

        For `expired()`, and for `Q(worker=…)` when that worker is known to be dead. Both callbacks
        return whether they changed the row. Returns how many rows changed.
        """
        again = retry or (lambda job: self.give_back(job, unrenewed=True))
        found = (self.rows() if rows is None else rows).filter(condition, state__in=self.running)
        return sum(
            # A running job has had an attempt, even if an older release did not count it.
            bool(again(job) if max(1, job.attempt) < self.max_attempts else give_up(job))
            for job in list(found)
        )

    def cancel_queued(self, job_id: Any, *, state: str, **values: Any) -> bool:
        """End a job that still waits; False if it does not."""
        rows = self.rows().filter(pk=job_id, state=self.queued)
        ended = {"state": state, "cancel_requested": True, "finished_at": _now()}
        return rows.update(**{**ended, **values}) == 1

    def request_cancel(self, job_id: Any, *, again: bool = False, **values: Any) -> bool:
        """Ask the worker of a running job to end it; False if the job does not run.

        The worker sees `cancel_requested` when it next looks. A second request changes nothing and
        returns False, unless `again`.
        """
        rows = self.rows().filter(pk=job_id, state__in=self.running)
        if not again:
            rows = rows.filter(cancel_requested=False)
        return rows.update(cancel_requested=True, **values) == 1

    def _held(self, job: Job, unrenewed: bool) -> QuerySet[Job]:
        rows = self.held(job)
        return rows.filter(state=job.state, lease_until=job.lease_until) if unrenewed else rows


def _now() -> datetime:
    return timezone.now()


def _params(model: type[LeasedJob], names: frozenset[str]) -> dict[str, Expression]:
    return {name: Param(model, name) for name in sorted(names)}


@lru_cache
def _taking(queue: Queue[Any], names: frozenset[str]) -> PreparedUpdate[Any]:
    model = queue.model
    return PreparedUpdate(
        # Only a cancellation changes other columns of a queued row, and it ends the row.
        lambda: (
            queue.rows().filter(
                id=Param(model, "id", "job_id"),
                attempt=Param(model, "attempt", "before"),
                state=queue.queued,
            ),
            _params(model, names),
        )
    )


@lru_cache
def _prepared_end(queue: Queue[Any], names: frozenset[str]) -> PreparedUpdate[Any]:
    model = queue.model
    return PreparedUpdate(
        lambda: (
            queue.rows().filter(
                id=Param(model, "id", "job_id"),
                attempt=Param(model, "attempt", "current"),
                state__in=queue.running,
            ),
            _params(model, names),
        )
    )
