"""Claim executions in turn between clients, and record the end of each execution once.

The queue, with its leases and fences, is `core.jobs.queue`.
"""

import logging
import secrets
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from django.db import transaction
from django.db.models import Count, Min, Q, QuerySet
from django.utils import timezone

from core.database.prepared import Param, Prepared
from execapp import reports
from execapp.cases import results
from execapp.cases.judging import Judged
from execapp.counters import counting
from execapp.models import OPEN_STATES, Execution, ExecutionState, IdempotencyKey
from execapp.queues import EXECUTIONS
from execapp.services import callbacks, collected_files, storage, usage
from execapp.services.idempotency import KEY_LIFETIME
from sandbox.session.collecting import Collected
from sandbox.session.outcome import Outcome, State
from templatemgr.models import Version, VersionHealth

# Decision 0007: the row is the queue; a message is only a wake-up.
COUNTS_KEPT = timedelta(days=31)  # the bytes that clients stored, by day
QUEUED = ExecutionState.QUEUED
logger = logging.getLogger(__name__)
_CANDIDATE = ("id", "client", "template_name", "limits", "token__exclusive")
_OLDEST = Prepared(
    lambda: (
        Execution.objects.filter(state=QUEUED)
        .order_by("created_at", "id")
        .values_list(*_CANDIDATE)[:2]
    )
)
_WHOLE = Prepared(
    lambda: Execution.objects.filter(id=Param(Execution, "id"), state=QUEUED).select_related(
        "version__template", "version__health"
    )[:1]
)
_HEALTH = Prepared(
    lambda: VersionHealth.objects.filter(version_id=Param(VersionHealth, "version_id"))[:1]
)
_OPEN = Prepared(
    lambda: (
        Execution.objects.filter(state__in=OPEN_STATES)
        .order_by()
        .values_list("client", "state")
        .annotate(first=Min("created_at"), n=Count("id"))
    )
)


@cache
def _oldest_of(count: int) -> Prepared[Execution, Any]:
    """Return the query of a client's oldest `count` queued executions."""
    return Prepared(
        lambda: (
            Execution.objects.filter(state=QUEUED, client=Param(Execution, "client"))
            .order_by("created_at", "id")
            .values_list(*_CANDIDATE)[:count]
        )
    )


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A queued execution whose turn it is. `limits` are those recorded at its submission.

    `exclusive`: its token asks for a core of its own.
    """

    id: uuid.UUID
    client: str
    template_name: str
    limits: Mapping[str, int]
    exclusive: bool = False


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """The queued executions of one client: the oldest one's time, and how many may start now."""

    first: datetime
    free: int


@dataclass(kw_only=True)
class Rotation:
    """The turns of clients: the client served longest ago is next.

    One executor holds the turns in memory; after a start all clients are equal.
    """

    turn: int = 0
    served: dict[str, int] = field(default_factory=dict)

    def turns(self, waiting: Mapping[str, Waiting], count: int) -> list[str]:
        """Return the clients of the next `count` turns; a client may have several."""
        served, turn, left = dict(self.served), self.turn, Counter[str]()
        for client, found in waiting.items():
            left[client] = found.free
        order: list[str] = []
        while len(order) < count and (ready := [client for client in left if left[client] > 0]):
            turn += 1
            chosen = min(ready, key=lambda name: (served.get(name, 0), waiting[name].first))
            served[chosen] = turn
            left[chosen] -= 1
            order.append(chosen)
        return order

    def note(self, client: str, waiting: Iterable[str]) -> None:
        """Remember that `client` was served; forget clients without waiting executions."""
        self.turn += 1
        self.served = {name: turn for name, turn in self.served.items() if name in set(waiting)}
        self.served[client] = self.turn


def claim(
    *, worker: str, rotation: Rotation | None = None, limit: int | None = None
) -> Execution | None:
    """Claim the next queued execution, as `claim_some` does; None if none can be claimed."""
    taken = claim_some(worker=worker, rotation=rotation, limit=limit)
    return taken[0] if taken else None


def claim_some(
    *,
    worker: str,
    rotation: Rotation | None = None,
    limit: int | None = None,
    most: int = 1,
    admit: Callable[[Candidate], bool] = lambda _: True,
) -> list[Execution]:
    """Claim up to `most` executions in one transaction: in turn between clients, oldest first.

    A client with `limit` running executions waits until one of them ends. `admit` is asked for each
    execution in order; the first one that it refuses ends the batch, so that smaller ones do not
    overtake it for ever. An admitted execution may be missing in the result: another worker
    claimed it.
    """
    turns = rotation or Rotation()
    with transaction.atomic():
        taken, clients = _take_some(turns, worker, limit, most, admit)
    for execution in taken:
        turns.note(execution.client, clients)
    # Read the health after the claim, to see a quarantine committed since the row was chosen.
    healths: dict[int, VersionHealth | None] = {}
    for execution in taken:
        number = execution.version_id
        if number not in healths:
            healths[number] = _HEALTH.first(version_id=number)
        if (health := healths[number]) is not None:
            execution.version.health = health
    return taken


def _take_some(
    rotation: Rotation,
    worker: str,
    limit: int | None,
    most: int,
    admit: Callable[[Candidate], bool],
) -> tuple[list[Execution], list[str]]:
    """Return the claimed executions, and the clients that waited."""
    while True:
        candidates, clients = _next(rotation, limit, most)
        taken: list[Execution] = []
        for candidate in candidates:
            if not admit(candidate):
                return taken, clients
            found = _WHOLE.first(id=candidate.id)
            if found is not None and EXECUTIONS.take(found, worker=worker):
                taken.append(found)
        if taken or not candidates:  # else another worker was faster each time
            return taken, clients


def _next(rotation: Rotation, limit: int | None, most: int) -> tuple[list[Candidate], list[str]]:
    """Return the next executions to claim, in order, and the clients that wait."""
    if limit is None:
        oldest = [_candidate(row) for row in _OLDEST.all()]
        if len(oldest) < 2:  # a single waiting execution needs no turns
            return oldest, [one.client for one in oldest]
    waiting = _waiting_clients(limit)
    order = rotation.turns(waiting, most)
    found = {
        client: [_candidate(row) for row in _oldest_of(count).all(client=client)]
        for client, count in Counter(order).items()
    }
    return [found[client].pop(0) for client in order if found[client]], list(waiting)


def _candidate(row: tuple[uuid.UUID, str, str, Mapping[str, int], bool | None]) -> Candidate:
    identifier, client, template_name, limits, exclusive = row
    return Candidate(
        id=identifier,
        client=client,
        template_name=template_name,
        limits=limits,
        exclusive=bool(exclusive),
    )


def _waiting_clients(limit: int | None) -> dict[str, Waiting]:
    """Return the clients with queued executions; `limit` bounds how many of each may run."""
    found = _OPEN.all()
    running = {client: n for client, state, _, n in found if state != QUEUED}
    return {
        client: Waiting(
            first=first,
            free=n if limit is None else min(n, max(0, limit - running.get(client, 0))),
        )
        for client, state, first, n in found
        if state == QUEUED
    }


def finish(
    *,
    execution: Execution,
    attempt: int,
    outcome: Outcome,
    host: Mapping[str, Any] | None = None,
    judged: Judged | None = None,
    waited_ms: float = 0.0,
) -> bool:
    """Record the end of an attempt; return False if the attempt is not the current one.

    `judged`: the results of the execution's cases, of which `outcome` is the sum. `waited_ms`: the
    time it waited in its sandbox for a core, which counts as time in the queue.
    """
    report, collected = outcome.report, outcome.collected
    tests = reports.report_to_json(report) if report else None
    now = timezone.now()
    values = {
        "state": ExecutionState(outcome.state.value),
        "exit_code": outcome.exit_code,
        "signal": outcome.signal or "",
        "stdout": outcome.stdout.data,
        "stdout_truncated": outcome.stdout.truncated,
        "stderr": outcome.stderr.data,
        "stderr_truncated": outcome.stderr.truncated,
        "tests": tests,
        "test_counts": reports.counts_of(report) if report else None,
        "timings": _timings(execution, now, outcome, waited_ms),
        "usage": {
            "cpu_ms": outcome.usage.cpu_ms,
            "memory_peak_bytes": outcome.usage.memory_peak_bytes,
        },
        "host": dict(host or {}),
    }
    if judged is not None:
        values["case_results"] = results.to_json(judged)
    if outcome.state is not State.CANCELLED:  # else keep the message that names the actor
        notes = collected_files.message_of(collected)
        values["message"] = " ".join(text for text in (outcome.message, notes) if text)
    return _end(execution, attempt, values, collected=collected)


def fail(*, execution: Execution, attempt: int, error_id: str, message: str) -> bool:
    """Record an internal failure; return False if the attempt is not the current one."""
    return _end(execution, attempt, _failure(execution, error_id, message))


def refuse(*, execution: Execution, attempt: int) -> bool:
    """End an execution whose version was quarantined after admission: it never runs."""
    error_id = secrets.token_hex(6)
    text = (
        f"{execution.version} was found damaged after the submission, so the program did not run. "
        "Submit it again: the version is being healed, or another one is made current."
    )
    logger.error("error %s: execution %s: %s", error_id, execution.id, text)
    return fail(execution=execution, attempt=attempt, error_id=error_id, message=text)


def requeue(*, execution: Execution, attempt: int) -> bool:
    """Return an execution to the queue, or end it if it has been cancelled."""
    found = _light(EXECUTIONS.held_attempt(execution.id, attempt)).first()
    return found is not None and _give_back(found, last=False)


def postpone(*, execution: Execution, attempt: int) -> bool:
    """Requeue an execution that this machine could not start; the attempt does not count.

    Only the worker of the attempt may call this, and must not write to the execution afterwards.
    """
    found = _light(EXECUTIONS.held_attempt(execution.id, attempt)).first()
    return found is not None and _give_back(found, last=False, counted=False)


def heartbeat(*, worker: str, executions: Iterable[uuid.UUID]) -> None:
    """Renew the leases of these executions of this worker."""
    ids = list(executions)
    if ids:
        EXECUTIONS.renew_all(worker=worker, ids=ids)


def cancelled(*, executions: Iterable[uuid.UUID]) -> list[uuid.UUID]:
    """Return the ids of those running executions that were cancelled."""
    rows = Execution.objects.filter(id__in=list(executions), cancel_requested=True)
    return list(rows.values_list("id", flat=True))


def reap() -> int:
    """Requeue executions with an expired lease, or end them after the last attempt; how many."""
    forget_keys()
    return _recover(EXECUTIONS.expired())


def take_over(*, worker: str) -> int:
    """Requeue the executions of a dead worker; return how many."""
    return _recover(Q(worker=worker))


def forget_keys() -> int:
    """Delete expired idempotency keys and old counts; return the number of keys."""
    usage.forget()
    storage.forget(before=timezone.now() - COUNTS_KEPT)
    old = IdempotencyKey.objects.filter(created_at__lte=timezone.now() - KEY_LIFETIME)
    return old.delete()[0] if old.exists() else 0


def _recover(condition: Q) -> int:
    return EXECUTIONS.recover(
        condition,
        retry=lambda found: _give_back(found, last=False, unrenewed=True),
        give_up=lambda found: _give_back(found, last=True, unrenewed=True),
        rows=_light(EXECUTIONS.rows()),
    )


def _light(rows: QuerySet[Execution]) -> QuerySet[Execution]:
    """Return these rows without their large columns."""
    names = ("id", "attempt", "created_at", "started_at", "cancel_requested", "state")
    counted = ("template_name", "mode", "version__number")
    rows = rows.select_related("version")
    charged = ("client", "token_id", "limits", "collect")
    return rows.only(*names, "lease_until", "callback", *charged, *counted)


def _give_back(
    execution: Execution, *, last: bool, counted: bool = True, unrenewed: bool = False
) -> bool:
    attempt, now = execution.attempt, timezone.now()
    if execution.cancel_requested:
        timings = _timings(execution, now, None)
        values = {"state": ExecutionState.CANCELLED, "timings": timings}
        return _end(execution, attempt, values, unrenewed=unrenewed)
    if last:
        text = f"The executor died {attempt} times while running this."
        error_id = secrets.token_hex(6)
        logger.error("error %s: execution %s: %s", error_id, execution.id, text)
        values = _failure(execution, error_id, text)
        return _end(execution, attempt, values, unrenewed=unrenewed)
    return EXECUTIONS.give_back(execution, counted=counted, unrenewed=unrenewed)


def _failure(execution: Execution, error_id: str, message: str) -> dict[str, Any]:
    """Return the columns of an execution that ends with an internal failure."""
    return {
        "state": ExecutionState.ERROR,
        "error_id": error_id,
        "message": message,
        "timings": _timings(execution, timezone.now(), None),
    }


def _end(
    execution: Execution,
    attempt: int,
    values: dict[str, Any],
    *,
    unrenewed: bool = False,
    collected: Collected | None = None,
) -> bool:
    if attempt != execution.attempt:
        return False
    with transaction.atomic():
        ended = EXECUTIONS.end(execution, unrenewed=unrenewed, **values)
        if ended:
            storage.settle(execution, values, files=collected_files.size_of(collected))
            if collected is not None:
                collected_files.record(execution, collected)
            callbacks.announce(execution)
            counting.count_end(execution, values)
            usage.count_end(execution, values)
    return ended


def _timings(
    execution: Execution, now: datetime, outcome: Outcome | None, waited_ms: float = 0.0
) -> dict[str, Any]:
    started = execution.started_at or now
    return {
        "queued_ms": round(milliseconds(execution.created_at, started) + waited_ms, 3),
        "setup_ms": round(outcome.setup_ms, 3) if outcome else None,
        "run_ms": round(outcome.run_ms, 3) if outcome else None,
        "collect_ms": round(outcome.collect_ms, 3) if outcome else None,
        "total_ms": milliseconds(execution.created_at, now),
        "warm": outcome.warm if outcome else False,
        "start": outcome.start if outcome else None,
        "cold_reason": outcome.cold_reason if outcome else None,
    }


def milliseconds(start: datetime, end: datetime) -> float:
    """Return the milliseconds from start to end; 0 if the wall clock stepped back."""
    return max(0.0, round((end - start).total_seconds() * 1000, 3))


def version_in_use(version: Version) -> str | None:
    """Return why a version cannot be removed: it has open executions. Else None."""
    count = Execution.objects.filter(version=version, state__in=OPEN_STATES).count()
    return f"open executions use it: {count}" if count else None
