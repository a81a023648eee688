"""Usage in the shape of the HTTP contract."""

from typing import Any

from execapp.api.presenters.fields import rfc3339
from execapp.services.usage_reports import Grouping, Report, Span


def present_usage(report: Report, *, by: Grouping, span: Span) -> dict[str, Any]:
    """Return a page of sums with the days that it covers. Only the key of the grouping is set."""
    items = []
    for row in report.page.items:
        item: dict[str, Any] = {"token": None, "client": None, "template": None, "day": None}
        item[by.value] = str(row.key)
        if by is Grouping.TOKEN:
            item["client"] = report.names.get(row.key)
        items.append({**item, "executions": row.executions, "cpu_ms": row.cpu_ms})
    return {
        "by": by.value,
        "since": rfc3339(span.since),
        "until": rfc3339(span.until),
        "items": items,
        "next": report.page.next,
    }
