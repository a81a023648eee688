"""The templates: what is current in each, its versions, what was current when, the way back."""

from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from core import parsing
from templatemgr import catalog
from templatemgr.build import builds
from templatemgr.models import BuildKind, Promotion, Template, Version
from templatemgr.promotion import promotions
from webui.activity.views import chart_context
from webui.catalog import promotion_history, version_table
from webui.catalog.usage_stats import usage_stats
from webui.http import HtmxHttpRequest
from webui.promotions.queries import roll_back_confirmations
from webui.shell import confirmations, decorators

PERIODS_SHOWN = 4
LOG_READ = 200  # promotions that the band of thirty days is drawn from
LOG_PAGE = 50


@decorators.page
def index(request: HttpRequest) -> HttpResponse:
    """Every template with its current version."""
    last = Promotion.objects.filter(template=OuterRef("pk"), to_version=OuterRef("current"))
    found = list(
        Template.objects.select_related("current__health")
        .annotate(
            version_count=Count("versions"),
            promoted_at=Subquery(last.order_by("-id").values("created_at")[:1]),
            promoted_by=Subquery(last.order_by("-id").values("actor")[:1]),
        )
        .order_by("name")
    )
    previous = promotions.previous_of(found)
    context = {
        "rows": [(template, previous.get(template.pk)) for template in found],
        "confirmations": roll_back_confirmations(request, found, previous),
    }
    return render(request, "catalog/index.html", context)


@decorators.page
def detail(request: HtmxHttpRequest, name: str) -> HttpResponse:
    """One template. To htmx it gives only the versions' table, while a build runs."""
    template = catalog.get(name=name)
    previous = promotions.previous(template)
    filters = version_table.Filters.read(request.GET.dict())
    before = parsing.whole_or_none(request.GET.get("before", ""))
    page = version_table.page(template, previous, before=before, filters=filters)
    given = urlencode(filters.given)
    context: dict[str, Any] = {
        "template": template,
        "page": page,
        "filters": filters,
        "before": before,
        "here": f"?{urlencode({**filters.given, **({'before': before} if before else {})})}",
        "older": f"?{urlencode({**filters.given, 'before': page.next})}" if page.next else "",
        "newest": f"?{given}" if given else "?",
        "version_count": template.versions.count(),
    }
    if request.htmx:
        return render(request, "catalog/_versions.html", context)
    context |= _head(request, template, previous)
    context |= {"states": version_table.STATES, "kinds": BuildKind.choices}
    context |= chart_context(request, template=template.name)
    return render(request, "catalog/detail.html", context)


@decorators.page
def promotion_log(request: HttpRequest, name: str) -> HttpResponse:
    """Every promotion and roll back, newest first, by pages."""
    template = catalog.get(name=name)
    entries = _log(template).order_by("-id")
    before = parsing.whole_or_none(request.GET.get("before", ""))
    if before is not None:
        entries = entries.filter(pk__lt=before)
    found = list(entries[: LOG_PAGE + 1])
    context = {
        "template": template,
        "log": found[:LOG_PAGE],
        "older": found[LOG_PAGE - 1].pk if len(found) > LOG_PAGE else None,
        "before": before,
    }
    return render(request, "catalog/promotion_log.html", context)


def _head(request: HttpRequest, template: Template, previous: Version | None) -> dict[str, Any]:
    """What stands above the table: the current version, its pin, and what was current when."""
    current = _current(template)
    found = promotion_history.current_periods(_log(template).order_by("-id")[:LOG_READ])
    period = found[0] if found and found[0].promotion.to_version_id == template.current_id else None
    return {
        "current": current,
        "usage": usage_stats(current) if current else None,
        "previous": previous,
        "promotion": period.promotion if period else None,
        "periods": found[:PERIODS_SHOWN],
        "band": promotion_history.band(found, timezone.now()),
        "estimate": None if current else builds.estimate_seconds(template.name),
        "confirmations": [
            each
            for each in _confirmations(template, previous)
            if decorators.may(request, each.permission)
        ],
    }


def _log(template: Template) -> QuerySet[Promotion]:
    """The promotions with the numbers of their versions, without all else that versions weigh."""
    rows = template.promotions.select_related("from_version", "to_version")
    return rows.only(
        *(field.name for field in Promotion._meta.concrete_fields),
        "from_version__number",
        "to_version__number",
        "to_version__identity",
    )


def _confirmations(
    template: Template, previous: Version | None
) -> list[confirmations.Confirmation]:
    if template.pinned:
        return [confirmations.unpin(template)]
    found = [confirmations.pin(template)]
    return [*found, confirmations.roll_back(template, previous)] if previous else found


def _current(template: Template) -> Version | None:
    """The current version with what its card shows."""
    found = Version.objects.select_related("health", "build__from_version")
    return found.filter(pk=template.current_id).first() if template.current_id else None
