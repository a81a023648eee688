"""How many executions ended how and how long they took, drawn: of everything, or of a template."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from templatemgr import catalog
from webui.overview import activity as buckets
from webui.shell import charts, decorators


@decorators.page
def activity(request: HttpRequest) -> HttpResponse:
    """The charts of an hour or a day, for htmx."""
    return render(request, "overview/_activity.html", drawn(request))


@decorators.page
def template_activity(request: HttpRequest, name: str) -> HttpResponse:
    """The same of one template."""
    template = catalog.get(name=name)
    return render(request, "overview/_activity.html", drawn(request, template=template.name))


def drawn(request: HttpRequest, *, template: str = "") -> dict[str, Any]:
    """What the card of charts shows: by default the last hour, of one template the last day."""
    usual = buckets.DAY if template else buckets.HOUR
    span = buckets.RANGES.get(request.GET.get("range", ""), usual)
    found = buckets.activity(span, template=template)
    times = [f"{bucket.start:%H:%M}" for bucket in found]
    page, part = (
        ("template", "template_activity") if template else ("overview", "overview_activity")
    )
    names = [template] if template else []
    return {
        "span": span,
        "ranges": buckets.RANGES.values(),
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
