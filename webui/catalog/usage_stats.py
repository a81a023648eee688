"""The executions that a version served lately: two queries, each served by an index."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from django.utils import timezone

from execapp.models import Execution
from templatemgr.models import Version

SAMPLE = 500
SINCE = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class UsageStats:
    """Executions of the last day, and the median time of the newest of them in milliseconds."""

    executions: int
    median_ms: float | None


def usage_stats(version: Version, now: datetime | None = None) -> UsageStats:
    """Return the executions of a version within a day before `now`."""
    rows = Execution.objects.filter(
        version=version, created_at__gte=(now or timezone.now()) - SINCE
    )
    newest = rows.filter(finished_at__isnull=False).order_by("-created_at", "-id")
    times = [
        float(total)
        for total in newest.values_list("timings__total_ms", flat=True)[:SAMPLE]
        if total is not None
    ]
    return UsageStats(executions=rows.count(), median_ms=median(times) if times else None)
