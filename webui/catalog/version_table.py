"""The lines of a template's table: versions by number, and among them builds that made none."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery

from templatemgr.models import (
    Build,
    BuildKind,
    BuildState,
    HealthState,
    Promotion,
    Template,
    Version,
)
from webui.builds.state_text import state_text
from webui.promotions.package_changes import Comparison, compare

PAGE = 25
BUILDS_SHOWN = 10
STATES = (
    ("ready", "Ready"),
    ("promoted", "Once current"),
    ("quarantined", "Quarantined"),
    ("retired", "Removed"),
)


@dataclass(frozen=True, kw_only=True)
class Filters:
    """What the table is narrowed to; empty: everything."""

    state: str = ""
    kind: str = ""
    by: str = ""

    @classmethod
    def read(cls, given: Mapping[str, str]) -> "Filters":
        """Take what is known; another value narrows nothing."""
        state, kind = given.get("state", ""), given.get("kind", "")
        return cls(
            state=state if state in dict(STATES) else "",
            kind=kind if kind in BuildKind.values else "",
            by=given.get("by", "").strip()[:150],
        )

    @property
    def given(self) -> dict[str, str]:
        """Those that are set, for an address."""
        return {name: value for name, value in vars(self).items() if value}


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


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some lines, newest first, and the number that the next page comes before."""

    rows: tuple[Row, ...]
    next: int | None

    @property
    def building(self) -> bool:
        """Whether something in it will change by itself."""
        return any(not row.build.finished for row in self.rows)

    @property
    def promotion_waits(self) -> bool:
        """Whether one of them is the thing to promote."""
        return any(row.primary for row in self.rows)


def page(
    template: Template, previous: Version | None, *, before: int | None, filters: Filters
) -> Page:
    """One page: at most three queries, whatever there is."""
    found = list(_versions(template, before, filters)[: PAGE + 1])
    versions, more = found[:PAGE], len(found) > PAGE
    older = {version.number: version.packages for version in found}
    absent = {row.number - 1 for row in versions} - older.keys()
    if absent:  # next to what a filter leaves out
        unread = template.versions.filter(number__in=absent)
        older |= dict(unread.values_list("number", "packages"))
    first = before is None and not filters.given
    rows = [
        _version_row(
            template,
            version,
            older.get(version.number - 1),
            previous,
            newest=first and index == 0,
        )
        for index, version in enumerate(versions)
    ]
    if not filters.given:
        since = versions[-1].created_at if more else None
        until = _made_at(template, before) if before is not None else None
        rows += [_build_row(build) for build in _others(template, since, until)]
    rows.sort(key=lambda row: row.at, reverse=True)
    return Page(rows=tuple(rows), next=versions[-1].number if more else None)


def _versions(template: Template, before: int | None, filters: Filters) -> QuerySet[Version]:
    promoted = Promotion.objects.filter(to_version=OuterRef("pk")).order_by("-id")
    rows = (
        template.versions.select_related("health", "build")
        .defer("smoke", "health__problems", "build__steps", "build__options", "build__message")
        .annotate(promoted_at=Subquery(promoted.values("created_at")[:1]))
        .order_by("-number")
    )
    if before is not None:
        rows = rows.filter(number__lt=before)
    if filters.kind:
        rows = rows.filter(build__kind=filters.kind)
    if filters.by:
        rows = rows.filter(created_by=filters.by)
    if filters.state == "promoted":
        return rows.filter(Exists(promoted))
    if filters.state:
        known = {"ready": HealthState.VERIFIED}
        rows = rows.filter(health__state=known.get(filters.state, filters.state))
    return rows


def _made_at(template: Template, number: int) -> datetime | None:
    rows = template.versions.filter(number=number)
    return rows.values_list("created_at", flat=True).first()


def _others(
    template: Template, since: datetime | None, until: datetime | None
) -> QuerySet[Build, Build]:
    """Builds without a version of their own, made between two versions of the table."""
    within = Q()
    if since is not None:
        within &= Q(created_at__gte=since)
    if until is not None:
        within &= Q(created_at__lt=until)
    rows = template.builds.filter(within).exclude(state=BuildState.READY)
    return rows.select_related("reproduces").order_by("-created_at")[:BUILDS_SHOWN]


def _version_row(
    template: Template,
    version: Version,
    before: list[dict[str, Any]] | None,
    previous: Version | None,
    *,
    newest: bool,
) -> Row:
    current = template.current
    newer = current is None or version.number > current.number
    state, word = "ready" if newer else "", "ready"
    if version.health.state != HealthState.VERIFIED:
        state = version.health.state
        word = "removed" if state == HealthState.RETIRED else str(state)
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
        moved=None if before is None else compare(before, version.packages),
        promotable=promotable,
        primary=promotable and newer and newest and not template.pinned,
    )


def _build_row(build: Build) -> Row:
    said = build.message.partition("\n")[0]
    return Row(
        at=build.created_at, state=str(build.state), word=state_text(build), build=build, said=said
    )
