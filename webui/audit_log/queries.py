"""The audit trail as its page reads it: filtered, by page, in parts, and written out whole."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core import signing
from django.db.models import Q, QuerySet

from core import parsing
from core.engine.local import release_connection
from templatemgr import audit
from templatemgr.models import AuditEvent

PAGE = 50
PART = 5_000  # events checked in one request: about a third of a second
BATCH = 1_000
FIELDS = ("action", "object", "actor", "since", "until")
COLUMNS = (
    "sequence", "time", "actor", "action", "object", "details", "previous_hash", "hash",
)  # fmt: skip
FORMATS = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl; charset=utf-8"}
# A spreadsheet takes a cell that begins so for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
SALT = "webui.audit_log.queries"
STATE_SECONDS = 3600


class FilterError(Exception):
    """A filter that cannot be; `message` says what to give."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, kw_only=True)
class ChainCheck:
    """How far a check of the chain is. `total` may grow meanwhile."""

    result: audit.ChainResult
    total: int
    done: bool
    state: str  # what the next part begins with; signed, so that nobody skips a part

    @property
    def percent(self) -> int:
        """Out of 100."""
        return min(100, 100 * self.result.count // self.total) if self.total else 100


def chosen(given: Mapping[str, str]) -> QuerySet[AuditEvent]:
    """The events of these filters; a template's name stands for its versions too.

    Days are UTC; `until` is included. Raises FilterError.
    """
    events: QuerySet[AuditEvent] = AuditEvent.objects.all()
    if action := given.get("action"):
        events = events.filter(action=action)
    if actor := given.get("actor"):
        events = events.filter(actor=actor)
    if name := given.get("object"):
        # "name@…" as a range, which an index serves: "A" is the character after "@".
        events = events.filter(Q(object=name) | Q(object__gte=f"{name}@", object__lt=f"{name}A"))
    if since := given.get("since"):
        events = _from(events, _day("since", since))
    if until := given.get("until"):
        events = _before(events, _day("until", until) + timedelta(days=1))
    return events


def check_chain(state: str = "") -> ChainCheck:
    """Check one part of the chain, from its beginning or from where `state` left off.

    Raises FilterError for a state that is not ours, or older than an hour.
    """
    after, previous = 0, audit.GENESIS
    if state:
        try:
            after, previous = signing.loads(state, salt=SALT, max_age=STATE_SECONDS)
        except signing.BadSignature as error:
            message = "This check was interrupted: begin again."
            raise FilterError(message) from error
    result = audit.verify_chain(after=after, previous=previous, limit=PART)
    newest = AuditEvent.objects.order_by("-sequence").values_list("sequence", flat=True).first()
    return ChainCheck(
        result=result,
        total=newest or 0,
        done=not result.ok or result.count < after + PART,
        state=signing.dumps([result.count, result.hash], salt=SALT),
    )


def export(events: QuerySet[AuditEvent], form: str) -> Iterator[str]:
    """The events, oldest first, as "csv" or "jsonl", with their hashes; some at a time."""
    writes = _csv if form == "csv" else _jsonl
    if form == "csv":
        yield _line(COLUMNS)
    after = 0
    try:
        while batch := list(events.filter(sequence__gt=after).order_by("sequence")[:BATCH]):
            after = batch[-1].sequence
            yield "".join(writes(event) for event in batch)
    finally:
        release_connection()


def cell(text: str) -> str:
    """A cell that no spreadsheet runs. Undone by taking away one apostrophe at its start."""
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


def _day(name: str, text: str) -> datetime:
    try:
        return parsing.day(text)
    except parsing.ParseError as error:
        message = f"{name.capitalize()} is {text[:40]!r}: give a day such as 2026-11-23."
        raise FilterError(message) from error


# Events come in the order of time, but for a clock that was set back. So a moment is first turned
# into a sequence number by the index on time; else the trail would be read from its newest event
# down to the day asked for.
def _from(events: QuerySet[AuditEvent], moment: datetime) -> QuerySet[AuditEvent]:
    first = _first(moment)
    return events.none() if first is None else events.filter(sequence__gte=first)


def _before(events: QuerySet[AuditEvent], moment: datetime) -> QuerySet[AuditEvent]:
    first = _first(moment)
    return events if first is None else events.filter(sequence__lt=first)


def _first(moment: datetime) -> int | None:
    rows = AuditEvent.objects.filter(time__gte=moment).order_by("time", "sequence")
    return rows.values_list("sequence", flat=True).first()
