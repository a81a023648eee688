"""Claim executions in turn between clients, and record the end of each execution once.

The queue, with its leases and fences, is `core.jobs.queue`.
"""

import logging
import secrets
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count, Min, Q, QuerySet
from django.utils import timezone

from core.database.prepared import Param, Prepared
from execapp import reports
from execapp.models import OPEN_STATES, Execution, ExecutionState, IdempotencyKey
from execapp.queues import EXECUTIONS
from execapp.services import storage
from execapp.services.idempotency import KEY_LIFETIME
from sandbox.session.outcome import Outcome, State
from templatemgr.models import Version, VersionHealth

# Decision 0007: the row is the queue; a message is only a wake-up.
COUNTS_KEPT = timedelta(days=31)  # the bytes that clients stored, by day
QUEUED = ExecutionState.QUEUED
logger = logging.getLogger(__name__)
_OLDEST = Prepared(
    lambda: (
        Execution.objects.filter(state=QUEUED)
        .order_by("created_at", "id")
        .values_list("id", "client")[:2]
    )
)
_OLDEST_OF = Prepared(
    lambda: (
        Execution.objects.filter(state=QUEUED, client=Param(Execution, "client"))
        .order_by("created_at", "id")
        .values_list("id", flat=True)[:1]
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


@dataclass(kw_only=True)
class Rotation:
    """The turns of clients: the client served longest ago is next.

    One executor holds the turns in memory; after a start all clients are equal.
    """

    turn: int = 0
    served: dict[str, int] = field(default_factory=dict)

    def order(self, waiting: Iterable[tuple[str, datetime]]) -> list[str]:
        """Return the clients in the order of their turns."""
        ranked = sorted(waiting, key=lambda item: (self.served.get(item[0], 0), item[1]))
        return [client for client, _ in ranked]

    def note(self, client: str, waiting: Iterable[str]) -> None:
        """Remember that `client` was served; forget clients without waiting executions."""
        self.turn += 1
        self.served = {name: turn for name, turn in self.served.items() if name in set(waiting)}
        self.served[client] = self.turn


def claim(
    *, worker: str, rotation: Rotation | None = None, limit: int | None = None
) -> Execution | None:
    """Claim the next queued execution: first in, first out for a client, in turn between clients.

    A client with `limit` running executions waits until one of them ends. Return None if no
    execution can be claimed.
    """
    turns = rotation or Rotation()
    clients: list[str] = []

    def choose() -> Execution | None:
        while True:
            candidate, clients[:] = _next(turns, limit)
            if candidate is not None or not clients:
                return candidate

    taken = EXECUTIONS.claim(worker=worker, choose=choose)
    if taken is None:
        return None
    turns.note(taken.client, clients)
    # Read the health after the claim, to see a quarantine committed since the row was chosen.
    health = _HEALTH.first(version_id=taken.version_id)
    if health is not None:
        taken.version.health = health
    return taken


def _next(rotation: Rotation, limit: int | None) -> tuple[Execution | None, list[str]]:
    """Return the execution to claim, or None if it vanished, and the clients that wait."""
    if limit is None:
        oldest = _OLDEST.all()
        if len(oldest) < 2:  # a single waiting client needs no turns
            clients = [client for _, client in oldest]
            return (_WHOLE.first(id=oldest[0][0]) if oldest else None), clients
    waiting, running = _open_by_client()
    free = [item for item in waiting if limit is None or running.get(item[0], 0) < limit]
    if not free:
        return None, []
    first = _OLDEST_OF.first(client=rotation.order(free)[0])
    found = None if first is None else _WHOLE.first(id=first)
    return found, [client for client, _ in waiting]


def _open_by_client() -> tuple[list[tuple[str, datetime]], dict[str, int]]:
    """Return the oldest queued time of each client, and its number of running executions."""
    found = _OPEN.all()
    waiting = [(client, first) for client, state, first, _ in found if state == QUEUED]
    running = {client: n for client, state, _, n in found if state != QUEUED}
    return waiting, running


def finish(
    *, execution: Execution, attempt: int, outcome: Outcome, host: Mapping[str, Any] | None = None
) -> bool:
    """Record the end of an attempt; return False if the attempt is not the current one."""
    report = outcome.report
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
        "timings": _timings(execution, now, outcome),
        "usage": {
            "cpu_ms": outcome.usage.cpu_ms,
            "memory_peak_bytes": outcome.usage.memory_peak_bytes,
        },
        "host": dict(host or {}),
    }
    if outcome.state is not State.CANCELLED:  # else keep the message that names the actor
        values["message"] = outcome.message or ""
    return _end(execution, attempt, values)


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
    """Delete expired idempotency keys and old counts of bytes; return the number of keys."""
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
    return rows.only(*names, "lease_until", "client", "token_id", "limits")


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
    execution: Execution, attempt: int, values: dict[str, Any], *, unrenewed: bool = False
) -> bool:
    if attempt != execution.attempt:
        return False
    with transaction.atomic():
        ended = EXECUTIONS.end(execution, unrenewed=unrenewed, **values)
        if ended:
            storage.settle(execution, values)
    return ended


def _timings(execution: Execution, now: datetime, outcome: Outcome | None) -> dict[str, Any]:
    started = execution.started_at or now
    return {
        "queued_ms": milliseconds(execution.created_at, started),
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
