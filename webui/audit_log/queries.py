"""Audit events as the page reads them: filtered, page by page, checked in parts, exported."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core import signing
from django.db.models import Q, QuerySet

from core.database.connections import release_between_waits
from core.pagination import NUMBER, Order, Page, paginate
from templatemgr import audit
from templatemgr.models import AuditEvent

PAGE = 50
NEWEST = Order(("-sequence",), cursor=NUMBER)
PART = 5_000  # events checked in one request: about a third of a second
BATCH = 1_000
COLUMNS = (
    "sequence", "time", "actor", "action", "object", "details", "previous_hash", "hash",
)  # fmt: skip
FORMATS = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl; charset=utf-8"}
# A spreadsheet reads a cell that begins with one of these as a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
SALT = "webui.audit_log.queries"
STATE_SECONDS = 3600


type Events = QuerySet[AuditEvent, AuditEvent]


class StaleCheckError(Exception):
    """The state of a check is not ours, or older than an hour."""

    message = "This check was interrupted: start it again."


@dataclass(frozen=True, kw_only=True)
class ChainCheck:
    """The progress of a check of the chain. `total` may grow meanwhile."""

    result: audit.ChainResult
    total: int
    done: bool
    state: str  # the start of the next part; signed, so that no request can skip a part

    @property
    def percent(self) -> int:
        """Return the progress in percent."""
        return min(100, 100 * self.result.count // self.total) if self.total else 100


def filtered(filters: Mapping[str, Any]) -> Events:
    """Return the events of the valid values of `AuditFilters`.

    The name of a template stands for its versions, too.
    """
    events: Events = AuditEvent.objects.all()
    if action := filters.get("action"):
        events = events.filter(action=action)
    if actor := filters.get("actor"):
        events = events.filter(actor=actor)
    if name := filters.get("object"):
        # "name@…" as a range, which an index serves: "A" is the character after "@".
        events = events.filter(Q(object=name) | Q(object__gte=f"{name}@", object__lt=f"{name}A"))
    if since := filters.get("since"):
        events = _from(events, since)
    if until := filters.get("until"):
        events = _before(events, until + timedelta(days=1))
    return events


def page(filters: Mapping[str, Any], *, before: str | None) -> Page[AuditEvent]:
    """Return one page of events, newest first. `before` is a valid cursor of `NEWEST`."""
    return paginate(filtered(filters), NEWEST, cursor=before, limit=PAGE)


def check_chain(state: str = "") -> ChainCheck:
    """Check one part of the chain, from its beginning or from where `state` left off.

    Raises StaleCheckError.
    """
    after, previous = 0, audit.GENESIS
    if state:
        try:
            after, previous = signing.loads(state, salt=SALT, max_age=STATE_SECONDS)
        except signing.BadSignature as error:
            raise StaleCheckError from error
    result = audit.verify_chain(after=after, previous=previous, limit=PART)
    newest = AuditEvent.objects.order_by("-sequence").values_list("sequence", flat=True).first()
    return ChainCheck(
        result=result,
        total=newest or 0,
        done=not result.ok or result.count < after + PART,
        state=signing.dumps([result.count, result.hash], salt=SALT),
    )


def export(events: Events, form: str) -> Iterator[str]:
    """Yield the events, oldest first, as "csv" or "jsonl" with hashes, a batch at a time."""
    writes = _csv if form == "csv" else _jsonl
    if form == "csv":
        yield _line(COLUMNS)
    after = 0
    try:
        while batch := list(events.filter(sequence__gt=after).order_by("sequence")[:BATCH]):
            after = batch[-1].sequence
            yield "".join(writes(event) for event in batch)
    finally:
        release_between_waits()


def cell(text: str) -> str:
    """Return a cell that no spreadsheet runs. To undo, remove one apostrophe at its start."""
    return f"'{text}" if text.startswith((*FORMULA, "'")) else text


def _jsonl(event: AuditEvent) -> str:
    return f"{audit.canonical(audit.values(event) | {'hash': event.hash})}\n"


def _csv(event: AuditEvent) -> str:
    values = audit.values(event) | {"hash": event.hash}
    values["details"] = audit.canonical(values["details"])
    return _line([cell(str(values[name])) for name in COLUMNS])


def _line(cells: Sequence[str]) -> str:
    target = io.StringIO()
    csv.writer(target, quoting=csv.QUOTE_ALL).writerow(cells)
    return target.getvalue()


# Events are in the order of time, except where a clock was set back. The index on time turns a
# moment into a sequence number first; otherwise the log is read from its newest event down to the
# requested day.
def _from(events: Events, moment: datetime) -> Events:
    first = _first(moment)
    return events.none() if first is None else events.filter(sequence__gte=first)


def _before(events: Events, moment: datetime) -> Events:
    first = _first(moment)
    return events if first is None else events.filter(sequence__lt=first)


def _first(moment: datetime) -> int | None:
    rows = AuditEvent.objects.filter(time__gte=moment).order_by("time", "sequence")
    return rows.values_list("sequence", flat=True).first()
