"""The card of charts, which the pages of other families show, too."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from webui.activity import queries
from webui.shell import charts


def chart_context(request: HttpRequest, *, template: str = "") -> dict[str, Any]:
    """Return the context of the card of charts.

    The default range is the last hour, and the last day for one template.
    """
    usual = queries.DAY if template else queries.HOUR
    span = queries.RANGES.get(request.GET.get("range", ""), usual)
    found = queries.buckets(span, template=template)
    times = [f"{bucket.start:%H:%M}" for bucket in found]
    page, part = (
        ("template", "template_activity") if template else ("overview", "overview_activity")
    )
    names = [template] if template else []
    return {
        "span": span,
        "ranges": queries.RANGES.values(),
        "charts_page": reverse(page, args=names),
        "charts_part": reverse(part, args=names),
        "buckets": [bucket for bucket in reversed(found) if bucket.total],
        "throughput": charts.columns(
            [
                ("bad", [float(bucket.errors) for bucket in found]),
                ("warn", [float(bucket.failed) for bucket in found]),
                ("ok", [float(bucket.succeeded) for bucket in found]),
            ],
            times,
        ),
        "latency": charts.curves(
            [
                ("p95", [bucket.p95_ms for bucket in found]),
                ("median", [bucket.median_ms for bucket in found]),
            ],
            times,
            unit=" ms",
        ),
    }
