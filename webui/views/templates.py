"""The templates: what is current in each, its versions, and the way back."""

from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from typing import Any

from django.db.models import Count, F, OuterRef, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render

from execapp.engine import local
from templatemgr.errors import CurrentChangedError, TemplateError
from templatemgr.models import (
    Build,
    BuildState,
    HealthState,
    Promotion,
    Template,
    Version,
)
from templatemgr.services import builds, catalog, promotions
from webui.comparison import Comparison, compare
from webui.views import guards
from webui.views.versions import render_comparison

VERSIONS_SHOWN = 50
BUILDS_SHOWN = 20
PROMOTIONS_SHOWN = 4


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the versions' table: a version, or a build that made none (yet)."""

    at: datetime
    state: str  # what colours the pill; empty for a neutral one
    word: str  # what stands in it
    build: Build
    version: Version | None = None
    moved: Comparison | None = None
    said: str = ""  # the first line of why a build ended
    promotable: bool = False
    primary: bool = False


@guards.page
def index(request: HttpRequest) -> HttpResponse:
    """Every template with its current version."""
    last = Promotion.objects.filter(template=OuterRef("pk"), to_version=OuterRef("current"))
    rows = (
        Template.objects.select_related("current__health")
        .annotate(
            version_count=Count("versions"),
            promoted_at=Subquery(last.order_by("-id").values("created_at")[:1]),
            promoted_by=Subquery(last.order_by("-id").values("actor")[:1]),
        )
        .order_by("name")
    )
    return render(request, "webui/templates/index.html", {"templates": rows})


@guards.page
def detail(request: HttpRequest, name: str) -> HttpResponse:
    """One template. To htmx it gives only the versions' table, while a build runs."""
    template = catalog.get(name=name)
    previous = promotions.rollback_target(name)
    show_all = "all" in request.GET
    rows = version_rows(template, previous, limit=None if show_all else VERSIONS_SHOWN)
    context: dict[str, Any] = {
        "template": template,
        "rows": rows,
        "version_count": template.versions.count(),
        "show_all": show_all,
        "building": any(not row.build.finished for row in rows),
    }
    if request.headers.get("HX-Request"):
        return render(request, "webui/templates/_versions.html", context)
    context |= {
        "current": current_version(template),
        "previous": previous,
        "log": promotion_log(template),
        "estimate": builds.estimate_seconds(name),
        "promotion_waits": any(row.primary for row in rows),
    }
    context["promotion"] = next(
        (entry for entry in context["log"] if entry.to_version_id == template.current_id), None
    ) or last_promotion(template)
    return render(request, "webui/templates/detail.html", context)


@guards.change("templatemgr.promote_version", fresh=True)
def promote(request: HttpRequest, name: str) -> HttpResponse:
    """Make a version current; what is refused comes back on the same page with its reason."""
    number = _number(request, "version") or 0
    expected = _number(request, "expected_current")
    reason = request.POST.get("reason", "")
    try:
        promotion = promotions.promote(
            template=name,
            version=number,
            actor=guards.actor(request),
            reason=reason,
            expected_current=expected,
        )
    except TemplateError as error:
        # What would move now, which is not what was asked for when somebody else was faster.
        now = catalog.get(name=name).current
        return render_comparison(
            request,
            name=name,
            old=now.number if now else 0,
            new=number,
            reason=reason,
            problem=error.message,
        )
    local.wake("promotion")
    back = promotion.from_version
    way_back = f" It was {back.number} before: roll back is the way back." if back else ""
    guards.done(request, f"Version {number} is current.{way_back}")
    return redirect("template", name)


@guards.change("templatemgr.promote_version", fresh=True)
def roll_back(request: HttpRequest, name: str) -> HttpResponseRedirect:
    """Make the version before this one current again."""
    template = catalog.get(name=name)
    try:
        _expect(template, _number(request, "expected_current"))
        promotion = promotions.roll_back(
            template=name, actor=guards.actor(request), reason=request.POST.get("reason", "")
        )
    except TemplateError as error:
        return guards.refuse(request, error, "template", name)
    local.wake("promotion")
    left = promotion.from_version.number if promotion.from_version else "–"
    guards.done(
        request,
        f"Version {promotion.to_version.number} is current again. "
        f"Version {left} stays and can be promoted again.",
    )
    return redirect("template", name)


@guards.change("templatemgr.pin_template")
def pin(request: HttpRequest, name: str) -> HttpResponseRedirect:
    """Refuse promotions until it is unpinned."""
    reason = request.POST.get("reason", "")
    try:
        promotions.pin(template=name, actor=guards.actor(request), reason=reason)
    except TemplateError as error:
        return guards.refuse(request, error, "template", name)
    guards.done(request, "Pinned: what is current stays current until it is unpinned.")
    return redirect("template", name)


@guards.change("templatemgr.pin_template")
def unpin(request: HttpRequest, name: str) -> HttpResponseRedirect:
    """Allow promotions again."""
    reason = request.POST.get("reason", "")
    try:
        promotions.unpin(template=name, actor=guards.actor(request), reason=reason)
    except TemplateError as error:
        return guards.refuse(request, error, "template", name)
    guards.done(request, "Unpinned: versions can be promoted.")
    return redirect("template", name)


def version_rows(template: Template, previous: Version | None, *, limit: int | None) -> list[Row]:
    """The newest versions, and among them by time the builds that made none."""
    found = template.versions.select_related("health", "build").order_by("-number")
    # One more than is shown: the last one needs its predecessor to be compared with.
    versions = list(found if limit is None else found[: limit + 1])
    pairs = list(zip_longest(versions, versions[1:]))[:limit]
    rows = [
        _version_row(template, version, before, previous, newest=version is versions[0])
        for version, before in pairs
    ]
    others = template.builds.exclude(state=BuildState.READY).select_related("reproduces")
    rows += [_build_row(build) for build in others.order_by("-created_at")[:BUILDS_SHOWN]]
    return sorted(rows, key=lambda row: row.at, reverse=True)


def current_version(template: Template) -> Version | None:
    """The current version with what its card shows."""
    rows = Version.objects.select_related("health", "build__from_version")
    return rows.filter(pk=template.current_id).first() if template.current_id else None


def promotion_log(template: Template) -> list[Promotion]:
    """The last promotions and roll backs, newest first."""
    rows = template.promotions.select_related("from_version", "to_version")
    return list(rows.order_by("-id")[:PROMOTIONS_SHOWN])


def last_promotion(template: Template) -> Promotion | None:
    """How the current version became so; None for one that never did."""
    return template.promotions.filter(to_version=F("template__current")).order_by("-id").first()


def _version_row(
    template: Template,
    version: Version,
    before: Version | None,
    previous: Version | None,
    *,
    newest: bool,
) -> Row:
    current = template.current
    newer = current is None or version.number > current.number
    state, word = "ready" if newer else "", "ready"
    if version.health.state != HealthState.VERIFIED:
        state = word = version.health.state
    elif version.pk == template.current_id:
        state = word = "current"
    elif previous is not None and version.pk == previous.pk:
        state, word = "", "previous"
    promotable = word in {"ready", "previous"}
    return Row(
        at=version.created_at,
        state=state,
        word=word,
        build=version.build,
        version=version,
        moved=compare(before.packages, version.packages) if before else None,
        promotable=promotable,
        primary=promotable and newer and newest and not template.pinned,
    )


def _build_row(build: Build) -> Row:
    word = str(build.state)
    if build.state == BuildState.FAILED and build.step:
        word = f"failed at {build.step}"
    elif build.reproduces is not None:
        word = f"reproduces {build.reproduces.number}"
    said = build.message.partition("\n")[0]
    return Row(at=build.created_at, state=str(build.state), word=word, build=build, said=said)


def _expect(template: Template, expected: int | None) -> None:
    """Refuse a form that was opened before somebody else moved `current`, or sent twice."""
    actual = template.current.number if template.current else None
    if expected is not None and actual != expected:
        message = f"{template.name} is on version {actual}, not {expected}: look again first."
        raise CurrentChangedError(message, expected=expected, current=actual)


def _number(request: HttpRequest, field: str) -> int | None:
    """A whole number from the form; None when it is empty or none."""
    text = request.POST.get(field, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None
