"""The audit trail: each event carries the hash of the one before it.

The hash covers sequence, time, actor, action, object, details and the previous hash as canonical
JSON, so a changed, removed or inserted row breaks the chain at its place.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from django.db import transaction
from django.utils import timezone

from templatemgr.models import AuditEvent

GENESIS = "0" * 64


@dataclass(frozen=True, kw_only=True)
class ChainResult:
    """The result of a walk: `count` events are valid; `first_broken` is a sequence number."""

    ok: bool
    count: int
    first_broken: int | None
    reason: str = ""
    hash: str = ""  # of the last valid event


def append(*, actor: str, action: str, object: str, details: Mapping[str, Any]) -> AuditEvent:  # noqa: A002 - the field's name
    """Append one event in the caller's transaction; it commits or rolls back with the act itself.

    `details` must be JSON. Raises RuntimeError if no transaction is open.
    """
    if not transaction.get_connection().in_atomic_block:
        message = "audit.append needs the transaction of the act it records."
        raise RuntimeError(message)
    # One writer at a time: SQLite's transactions are IMMEDIATE, elsewhere the last row is locked.
    last = AuditEvent.objects.select_for_update().order_by("-sequence").first()
    event = AuditEvent(
        sequence=last.sequence + 1 if last else 1,
        time=timezone.now(),
        actor=actor,
        action=action,
        object=object,
        details=json.loads(canonical(dict(details))),
        previous_hash=last.hash if last else GENESIS,
    )
    event.hash = event_hash(event)
    event.save()
    return event


def event_hash(event: AuditEvent) -> str:
    """Return the hex SHA-256 of the event's values."""
    return hashlib.sha256(canonical(values(event)).encode("ascii")).hexdigest()


def values(event: AuditEvent) -> dict[str, Any]:
    """Return the values that the hash covers, as JSON values."""
    return {
        "sequence": event.sequence,
        "time": event.time.astimezone(UTC).isoformat(timespec="microseconds"),
        "actor": event.actor,
        "action": event.action,
        "object": event.object,
        "details": event.details,
        "previous_hash": event.previous_hash,
    }


def verify_chain(
    *, after: int = 0, previous: str = GENESIS, limit: int | None = None
) -> ChainResult:
    """Walk the events and return the first one whose link to the previous event is broken.

    By default all events are walked. For a walk in parts, give `limit`, `after` (a sequence number)
    and `previous` (its hash): `count` and `hash` of one part are the start of the next part.
    """
    events = AuditEvent.objects.filter(sequence__gt=after).order_by("sequence")
    count = after
    for event in events[:limit].iterator(chunk_size=1000):
        expected = count + 1
        reason = ""
        if event.sequence != expected:
            reason = f"event {expected} is missing"
        elif event.previous_hash != previous:
            reason = "it does not follow the event before it"
        elif event.hash != event_hash(event):
            reason = "its contents do not match its hash"
        if reason:
            return ChainResult(ok=False, count=count, first_broken=expected, reason=reason)
        previous, count = event.hash, expected
    return ChainResult(ok=True, count=count, first_broken=None, hash=previous)


def canonical(value: object) -> str:
    """Return a value as canonical JSON: sorted keys, no blanks, ASCII."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )
