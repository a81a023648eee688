"""Executions of the last hour and the last day in buckets of time, of all templates or of one.

A bucket of the past does not change any more, so it is read once and kept. Each query reads a range
of an index: the database counts states and minutes; times are read only of the newest executions.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import ClassVar

from django.db.models import QuerySet
from django.utils import timezone

from core.database.minutes import count_by_minute
from execapp.models import FINAL_STATES, Execution, ExecutionState

SETTLED = timedelta(minutes=3)  # longer than an execution may take, and wait
TIMES_READ = 20_000
KEPT = 8_192  # both spans of seventy templates


@dataclass(frozen=True, kw_only=True)
class Range:
    """A span of time on a page, and how finely it is drawn."""

    name: str
    title: str
    seconds: int  # of a bucket: 60 and up, divides a day
    count: int


HOUR = Range(name="hour", title="Last hour", seconds=60, count=60)
DAY = Range(name="day", title="Last day", seconds=1800, count=48)
RANGES = {each.name: each for each in (HOUR, DAY)}


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """The executions submitted in one bucket, which begins at `start`. Times in milliseconds."""

    start: datetime
    succeeded: int = 0
    failed: int = 0  # of the program: failing tests, limits, crashes, cancelled
    errors: int = 0  # of Stencil
    median_ms: float | None = None
    p95_ms: float | None = None

    @property
    def total(self) -> int:
        """Return the number of executions that have ended."""
        return self.succeeded + self.failed + self.errors


class _Kept:
    """Buckets of the past; the least recently used one is dropped first."""

    buckets: ClassVar[OrderedDict[tuple[str, str, datetime], Bucket]] = OrderedDict()
    lock: ClassVar[threading.Lock] = threading.Lock()


def buckets(span: Range, now: datetime | None = None, *, template: str = "") -> list[Bucket]:
    """Return the buckets of a range, oldest first, in two queries; the last one still fills.

    `template` is a template's name; empty for all of them.
    """
    now = now or timezone.now()
    last = _floor(now, span.seconds)
    starts = [last - timedelta(seconds=span.seconds * n) for n in reversed(range(span.count))]
    with _Kept.lock:
        kept = {start: _Kept.buckets.get((span.name, template, start)) for start in starts}
    first = next(start for start in starts if kept[start] is None or start == last)
    fresh = _read(first, span, template)
    found = [fresh.get(start) or kept[start] or Bucket(start=start) for start in starts]
    _keep(span, template, [bucket for bucket in found if _behind(bucket, span, now)])
    return found


def forget() -> None:
    """Drop the buckets that are kept. For tests, which begin with an empty database."""
    with _Kept.lock:
        _Kept.buckets.clear()


def percentile(values: list[float], share: float) -> float | None:
    """Return the nearest-rank percentile; None without values."""
    if not values:
        return None
    ordered = sorted(values)
    rank = -(-len(ordered) * share // 1)  # rounded up
    return ordered[max(0, min(len(ordered), int(rank)) - 1)]


def _behind(bucket: Bucket, span: Range, now: datetime) -> bool:
    return bucket.start + timedelta(seconds=span.seconds) + SETTLED < now


def _keep(span: Range, template: str, buckets: Sequence[Bucket]) -> None:
    with _Kept.lock:
        for bucket in buckets:
            _Kept.buckets[(span.name, template, bucket.start)] = bucket
            _Kept.buckets.move_to_end((span.name, template, bucket.start))
        while len(_Kept.buckets) > KEPT:
            _Kept.buckets.popitem(last=False)


def _read(first: datetime, span: Range, template: str) -> dict[datetime, Bucket]:
    rows = Execution.objects.filter(created_at__gte=first)
    if template:
        rows = rows.filter(template_name=template)
    counts = _counts(rows, span)
    times = _times(rows, span)
    return {
        start: Bucket(
            start=start,
            succeeded=states.get(ExecutionState.SUCCEEDED, 0),
            errors=states.get(ExecutionState.ERROR, 0),
            failed=sum(
                count
                for state, count in states.items()
                if state not in (ExecutionState.SUCCEEDED, ExecutionState.ERROR)
            ),
            median_ms=median(times[start]) if times.get(start) else None,
            p95_ms=percentile(times.get(start, []), 0.95),
        )
        for start, states in counts.items()
    }


def _counts(since: QuerySet[Execution], span: Range) -> dict[datetime, dict[str, int]]:
    """Count by bucket and state. Without a template, an index on both answers the query."""
    ended = since.filter(state__in=FINAL_STATES)
    found: dict[datetime, dict[str, int]] = {}
    for (state,), minutes in count_by_minute(ended, "created_at", "state").items():
        for minute, count in minutes.items():
            states = found.setdefault(_floor(minute, span.seconds), {})
            states[state] = states.get(state, 0) + count
    return found


def _times(since: QuerySet[Execution], span: Range) -> dict[datetime, list[float]]:
    rows = (
        since.filter(finished_at__isnull=False)
        .order_by("-created_at", "-id")
        .values_list("created_at", "timings__total_ms")[:TIMES_READ]
    )
    found: dict[datetime, list[float]] = {}
    for moment, total in rows:
        if total is not None:
            found.setdefault(_floor(moment, span.seconds), []).append(float(total))
    return found


def _floor(moment: datetime, seconds: int) -> datetime:
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    whole = int((moment - midnight).total_seconds()) // seconds * seconds
    return midnight + timedelta(seconds=whole)
