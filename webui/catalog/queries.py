"""The rows that the pages of templates and versions read."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery

from core.pagination import NUMBER, Order, Page, paginate
from templatemgr.models import Build, BuildState, HealthState, Promotion, Template, Version

VERSIONS_PAGE = 25
BUILDS_SHOWN = 10
LOG_PAGE = 50
LOG_READ = 200  # promotions that the band of thirty days is drawn from
NEWEST_VERSIONS = Order(("-number",), cursor=NUMBER)
NEWEST_PROMOTIONS = Order(("-id",), cursor=NUMBER)


def templates() -> list[Template]:
    """Return every template by name, with its current version and who promoted it when."""
    last = Promotion.objects.filter(template=OuterRef("pk"), to_version=OuterRef("current"))
    return list(
        Template.objects.select_related("current__health")
        .annotate(
            version_count=Count("versions"),
            promoted_at=Subquery(last.order_by("-id").values("created_at")[:1]),
            promoted_by=Subquery(last.order_by("-id").values("actor")[:1]),
        )
        .order_by("name")
    )


def current_version(template: Template) -> Version | None:
    """Return the current version with its health and its build."""
    rows = Version.objects.select_related("health", "build__from_version")
    return rows.filter(pk=template.current_id).first() if template.current_id else None


def latest_promotions(template: Template) -> QuerySet[Promotion, Promotion]:
    """Return the latest promotions, newest first."""
    return _promotions(template).order_by("-id")[:LOG_READ]


def promotion_page(template: Template, *, before: str | None) -> Page[Promotion]:
    """Return one page of promotions, newest first. `before`: a valid cursor."""
    return paginate(_promotions(template), NEWEST_PROMOTIONS, cursor=before, limit=LOG_PAGE)


@dataclass(frozen=True, kw_only=True)
class VersionPage:
    """One page of versions, the packages by number to compare with, builds without a version."""

    versions: Page[Version]
    packages: Mapping[int, list[dict[str, Any]]]
    builds: tuple[Build, ...]


def version_page(
    template: Template, filters: Mapping[str, Any], *, before: str | None
) -> VersionPage:
    """Return one page of the table of versions, in at most four queries.

    `filters`: the filled values of `VersionFilters`. `before`: a valid cursor. Builds without a
    version stand in a table without filters only.
    """
    rows = _filtered(template, filters)
    page = paginate(rows, NEWEST_VERSIONS, cursor=before, limit=VERSIONS_PAGE)
    packages = {version.number: version.packages for version in page.items}
    absent = {version.number - 1 for version in page.items} - packages.keys()
    if absent:  # on the next page, or left out by a filter
        unread = template.versions.filter(number__in=absent)
        packages |= dict(unread.values_list("number", "packages"))
    builds: tuple[Build, ...] = ()
    if not filters:
        since = page.items[-1].created_at if page.more else None
        until = _created_at(template, int(before)) if before is not None else None
        builds = tuple(_builds_between(template, since, until))
    return VersionPage(versions=page, packages=packages, builds=builds)


def _filtered(template: Template, filters: Mapping[str, Any]) -> QuerySet[Version, Version]:
    promoted = Promotion.objects.filter(to_version=OuterRef("pk")).order_by("-id")
    rows = (
        template.versions.select_related("health", "build")
        .defer("smoke", "health__problems", "build__steps", "build__options", "build__message")
        .annotate(promoted_at=Subquery(promoted.values("created_at")[:1]))
    )
    if kind := filters.get("kind"):
        rows = rows.filter(build__kind=kind)
    if by := filters.get("by"):
        rows = rows.filter(created_by=by)
    state = filters.get("state")
    if state == "promoted":
        return rows.filter(Exists(promoted))
    if state:
        rows = rows.filter(health__state=HealthState.VERIFIED if state == "ready" else state)
    return rows


def _created_at(template: Template, number: int) -> datetime | None:
    rows = template.versions.filter(number=number)
    return rows.values_list("created_at", flat=True).first()


def _builds_between(
    template: Template, since: datetime | None, until: datetime | None
) -> QuerySet[Build, Build]:
    """Return the builds without a version of their own between two versions of the table."""
    within = Q()
    if since is not None:
        within &= Q(created_at__gte=since)
    if until is not None:
        within &= Q(created_at__lt=until)
    rows = template.builds.filter(within).exclude(state=BuildState.READY)
    return rows.select_related("reproduces").order_by("-created_at")[:BUILDS_SHOWN]


def _promotions(template: Template) -> QuerySet[Promotion, Promotion]:
    """Return promotions with the numbers of their versions, without their large columns."""
    rows = template.promotions.select_related("from_version", "to_version")
    return rows.only(
        *(field.name for field in Promotion._meta.concrete_fields),
        "from_version__number",
        "to_version__number",
        "to_version__identity",
    )
