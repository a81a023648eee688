"""What the overview counts: executions and their times, read in a handful of queries."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count
from django.db.models.functions import TruncMinute
from django.utils import timezone

from execapp.models import Execution, ExecutionState
from webui.charts import Line, line, quantile

BUCKETS = 30  # of two minutes each
MINUTES = 2
SAMPLE = 5000  # the newest ones say what is typical; all of a busy day would cost seconds


@dataclass(frozen=True, kw_only=True)
class Hour:
    """One hour of the day so far, and how often we failed in it."""

    x: int
    errors: int
    label: str


@dataclass(frozen=True, kw_only=True)
class Figures:
    """The overview's numbers. Times are milliseconds from submission to result."""

    last_hour: int
    rate: Line
    median: float | None
    p95: float | None
    times: Line
    today: int
    errors: int
    hours: tuple[Hour, ...]


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What one template did today."""

    today: int = 0
    median: float | None = None


def figures() -> Figures:
    """Five queries."""
    now = timezone.now()
    start = now - timedelta(minutes=BUCKETS * MINUTES)
    recent = Execution.objects.filter(created_at__gte=start).order_by()
    per_minute = dict(
        recent.annotate(minute=TruncMinute("created_at"))
        .values_list("minute")
        .annotate(n=Count("id"))
    )
    timed = _sample(start)
    ordered = sorted(value for _, value in timed)
    day = midnight(now)
    failures = list(
        Execution.objects.filter(state=ExecutionState.ERROR, created_at__gte=day)
        .order_by()
        .values_list("created_at", flat=True)
    )
    return Figures(
        last_hour=sum(per_minute.values()),
        rate=line(_counted(per_minute, start)),
        median=quantile(ordered, 0.5),
        p95=quantile(ordered, 0.95),
        times=line(_medians(timed, start)),
        today=Execution.objects.filter(created_at__gte=day).count(),
        errors=len(failures),
        hours=_hours(failures, day),
    )


def usage() -> dict[str, Usage]:
    """By template: how many executions today, and the median of the newest ones."""
    day = midnight(timezone.now())
    rows = Execution.objects.filter(created_at__gte=day).order_by()
    counted = dict(rows.values_list("template_name").annotate(n=Count("id")))
    newest = rows.order_by("-created_at").values_list("template_name", "timings__total_ms")
    times: defaultdict[str, list[float]] = defaultdict(list)
    for name, value in newest[:SAMPLE]:
        if value is not None:
            times[name].append(float(value))
    return {
        name: Usage(today=count, median=quantile(sorted(times[name]), 0.5))
        for name, count in counted.items()
    }


def midnight(now: datetime) -> datetime:
    """When today began, in UTC as every time here."""
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def _sample(start: datetime) -> list[tuple[datetime, float]]:
    rows = (
        Execution.objects.filter(created_at__gte=start)
        .order_by("-created_at")
        .values_list("created_at", "timings__total_ms")
    )
    return [(moment, float(value)) for moment, value in rows[:SAMPLE] if value is not None]


def _bucket(moment: datetime, start: datetime) -> int:
    return min(BUCKETS - 1, max(0, int((moment - start).total_seconds() // (60 * MINUTES))))


def _counted(per_minute: dict[datetime, int], start: datetime) -> list[float]:
    buckets = [0.0] * BUCKETS
    for minute, count in per_minute.items():
        buckets[_bucket(minute, start)] += count
    return buckets if per_minute else []


def _medians(timed: Iterable[tuple[datetime, float]], start: datetime) -> list[float | None]:
    buckets: list[list[float]] = [[] for _ in range(BUCKETS)]
    for moment, value in timed:
        buckets[_bucket(moment, start)].append(value)
    return [quantile(sorted(values), 0.5) for values in buckets]


def _hours(failures: Iterable[datetime], day: datetime) -> tuple[Hour, ...]:
    counts = [0] * 24
    for moment in failures:
        counts[min(23, int((moment - day).total_seconds() // 3600))] += 1
    return tuple(
        Hour(x=index * 10, errors=errors, label=f"{index:02d}:00") for index, errors in enumerate(counts)
    )
