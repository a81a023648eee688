"""Pages of templates: the list, one template with its versions, and its promotions."""

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from templatemgr import catalog
from templatemgr.build import builds
from templatemgr.models import Template, Version
from templatemgr.promotion import promotions
from webui.activity.card import chart_context
from webui.catalog import promotion_history, queries, version_table
from webui.catalog.forms import VersionFilters
from webui.catalog.usage_stats import usage_stats
from webui.http import HtmxHttpRequest
from webui.promotions.queries import roll_back_confirmations
from webui.shell import confirmations, decorators, fields
from webui.shell.confirmations import Confirmation

PERIODS_SHOWN = 4


@decorators.page
def index(request: HttpRequest) -> HttpResponse:
    """List every template with its current version."""
    templates = queries.templates()
    previous = promotions.previous_of(templates)
    context = {
        "rows": [(template, previous.get(template.pk)) for template in templates],
        "confirmations": roll_back_confirmations(request, templates, previous),
    }
    return render(request, "catalog/index.html", context)


@decorators.page
def detail(request: HtmxHttpRequest, name: str) -> HttpResponse:
    """Show one template. During a build htmx gets the table of versions alone."""
    template = catalog.get(name=name)
    previous = promotions.previous(template)
    filters = VersionFilters(request.GET, auto_id="by-%s")
    submitted_filters = fields.submitted(filters)
    before = queries.NEWEST_VERSIONS.cursor_or_none(request.GET.get("before", ""))
    page = queries.version_page(template, submitted_filters, before=before)
    table = version_table.table(
        template, previous, page, newest_first=before is None and not submitted_filters
    )
    context: dict[str, Any] = {
        "template": template,
        "table": table,
        "filters": filters,
        "filtered": bool(submitted_filters),
        "before": before,
        "here": f"?{urlencode({**submitted_filters, **({'before': before} if before else {})})}",
        "older": f"?{urlencode({**submitted_filters, 'before': table.next})}" if table.next else "",
        "newest": f"?{urlencode(submitted_filters)}",
        "version_count": template.versions.count(),
    }
    if request.htmx:
        return render(request, "catalog/_versions.html", context)
    context |= _head(request, template, previous)
    context |= chart_context(request, template=template.name)
    return render(request, "catalog/detail.html", context)


@decorators.page
def promotion_log(request: HttpRequest, name: str) -> HttpResponse:
    """List every promotion and roll back of a template, newest first, page by page."""
    template = catalog.get(name=name)
    before = queries.NEWEST_PROMOTIONS.cursor_or_none(request.GET.get("before", ""))
    page = queries.promotion_page(template, before=before)
    context = {"template": template, "log": page.items, "older": page.next, "before": before}
    return render(request, "catalog/promotion_log.html", context)


def _head(request: HttpRequest, template: Template, previous: Version | None) -> dict[str, Any]:
    """Return the context above the table: the current version, its pin, and its history."""
    current = queries.current_version(template)
    periods = promotion_history.current_periods(queries.latest_promotions(template))
    latest = periods[0].promotion if periods else None
    return {
        "current": current,
        "usage": usage_stats(current) if current else None,
        "previous": previous,
        "promotion": latest if latest and latest.to_version_id == template.current_id else None,
        "periods": periods[:PERIODS_SHOWN],
        "band": promotion_history.band(periods, timezone.now()),
        "estimate": None if current else builds.estimate_seconds(template.name),
        "confirmations": [
            confirmation
            for confirmation in _confirmations(template, previous)
            if decorators.may(request, confirmation.permission)
        ],
    }


def _confirmations(template: Template, previous: Version | None) -> list[Confirmation]:
    if template.pinned:
        return [confirmations.unpin(template)]
    found = [confirmations.pin(template)]
    return [*found, confirmations.roll_back(template, previous)] if previous else found
