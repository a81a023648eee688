"""Charts of executions: outcomes and times, of all templates or of one."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from templatemgr import catalog
from webui.activity import queries
from webui.shell import charts, decorators


@decorators.page
def overview_activity(request: HttpRequest) -> HttpResponse:
    """Render the charts of all templates for one range of time, for htmx."""
    return render(request, "activity/_charts.html", chart_context(request))


@decorators.page
def template_activity(request: HttpRequest, name: str) -> HttpResponse:
    """Render the charts of one template, for htmx."""
    template = catalog.get(name=name)
    return render(request, "activity/_charts.html", chart_context(request, template=template.name))


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
