"""The metrics of the overview.

Each query reads a range of an index: of an hour, of today, or of the newest thousand rows.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from core.database.minutes import count_by_minute
from execapp.models import Execution, ExecutionState
from execapp.services import health
from templatemgr.models import Promotion, Template
from webui.activity.queries import percentile
from webui.shell import charts

MINUTES = 60
SAMPLE = 1000


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A finished execution of the last hour."""

    at: datetime
    template: str
    total_ms: float


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """The four metrics at the top of the overview."""

    last_hour: int
    per_minute: charts.Sparkline
    median_ms: float | None
    p95_ms: float | None
    median_line: charts.Sparkline
    failed_by_us: int
    today: int
    health: health.HealthSnapshot


def measure(now: datetime, samples: list[Sample]) -> Metrics:
    """Return the metrics at `now`, with the sample of the last hour, in five queries."""
    counts = by_minute(now)
    times = [each.total_ms for each in samples]
    since = midnight(now)
    today = Execution.objects.filter(created_at__gte=since)
    return Metrics(
        last_hour=sum(counts),
        per_minute=charts.sparkline(counts),
        median_ms=median(times) if times else None,
        p95_ms=percentile(times, 0.95),
        median_line=charts.sparkline(medians_by_minute(samples, now)),
        failed_by_us=today.filter(state=ExecutionState.ERROR).count(),
        today=today.count(),
        health=health.snapshot(),
    )


def by_minute(now: datetime) -> list[int]:
    """Count executions of the last sixty minutes, oldest minute first, from an index alone."""
    first = _minute(now) - timedelta(minutes=MINUTES - 1)
    counts = count_by_minute(Execution.objects.filter(created_at__gte=first), "created_at")
    found = counts.get((), {})
    return [found.get(first + timedelta(minutes=index), 0) for index in range(MINUTES)]


def sample(now: datetime) -> list[Sample]:
    """Return the newest finished executions of the last hour, at most SAMPLE, newest first."""
    rows = (
        Execution.objects.filter(
            created_at__gte=now - timedelta(minutes=MINUTES), finished_at__isnull=False
        )
        .order_by("-created_at", "-id")
        .values_list("created_at", "template_name", "timings__total_ms")[:SAMPLE]
    )
    return [
        Sample(at=at, template=template, total_ms=float(total))
        for at, template, total in rows
        if total is not None
    ]


def medians(samples: list[Sample]) -> dict[str, float]:
    """Return the median time of each template in the sample."""
    groups: dict[str, list[float]] = {}
    for each in samples:
        groups.setdefault(each.template, []).append(each.total_ms)
    return {name: median(times) for name, times in groups.items()}


def medians_by_minute(samples: list[Sample], now: datetime) -> list[float]:
    """Return the median of each minute; a minute without executions repeats the one before."""
    first = _minute(now) - timedelta(minutes=MINUTES - 1)
    groups: dict[int, list[float]] = {}
    for each in samples:
        index = int((each.at - first).total_seconds() // 60)
        if 0 <= index < MINUTES:
            groups.setdefault(index, []).append(each.total_ms)
    if not groups:
        return [0.0] * MINUTES
    value = median(groups[min(groups)])
    drawn = []
    for index in range(MINUTES):
        value = median(groups[index]) if index in groups else value
        drawn.append(value)
    return drawn


def templates(now: datetime | None = None) -> QuerySet[Template]:
    """Return templates with current version, its promotion, and the count of today."""
    since = midnight(now or timezone.now())
    last = Promotion.objects.filter(
        template=OuterRef("pk"), to_version=OuterRef("current")
    ).order_by("-id")
    today = (
        Execution.objects.filter(template_name=OuterRef("name"), created_at__gte=since)
        .order_by()
        .values("template_name")
        .annotate(count=Count("id"))
        .values("count")
    )
    return (
        Template.objects.select_related("current__health")
        .annotate(
            promoted_at=Subquery(last.values("created_at")[:1]),
            promoted_by=Subquery(last.values("actor")[:1]),
            today=Coalesce(Subquery(today, output_field=IntegerField()), 0),
        )
        .order_by("name")
    )


def midnight(now: datetime) -> datetime:
    """Return the beginning of the day in UTC."""
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def _minute(now: datetime) -> datetime:
    return now.replace(second=0, microsecond=0)
