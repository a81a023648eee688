"""The overview: what needs a decision, how it goes, what happened lately."""

from dataclasses import dataclass
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from execapp.services import health
from templatemgr.models import (
    AuditEvent,
    Build,
    BuildState,
    HealthState,
    Promotion,
    Template,
    Version,
)
from webui import figures
from webui.comparison import compare
from webui.context import shell_health
from webui.happenings import describe
from webui.views import guards

LATELY = 6
DECISIONS_SHOWN = 4
# What only says that something else will happen, or that nothing is wrong.
QUIET = ("build.request", "version.verify", "token.create")


@dataclass(frozen=True, kw_only=True)
class Act:
    """A button of a decision."""

    label: str
    url: str


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Something that waits for a person: what is, and what can be done."""

    tone: str
    word: str
    subject: str
    text: str
    acts: tuple[Act, ...]


@dataclass(frozen=True, kw_only=True)
class TemplateRow:
    """A template with its current version and what it did today."""

    template: Any  # a Template with `promoted_at` and `promoted_by`
    usage: figures.Usage


@guards.page
def overview(request: HttpRequest) -> HttpResponse:
    """The whole page; to htmx the parts that change by themselves."""
    templates = list(_templates())
    used = figures.usage()
    snapshot = health.snapshot()
    context = {
        "figures": figures.figures(),
        "health": snapshot,
        "rows": [
            TemplateRow(template=row, usage=used.get(row.name, figures.Usage()))
            for row in templates
        ],
        "lately": lately(),
        "decisions": decisions(snapshot, templates),
        "may_change": guards.may_change(request.user),
    }
    part = request.headers.get("HX-Request")
    name = "webui/overview/_live.html" if part else "webui/overview/page.html"
    return render(request, name, context)


@guards.page
def rail_health(request: HttpRequest) -> HttpResponse:
    """The rail's foot, for htmx."""
    return render(request, "webui/partials/health.html", {"health": shell_health()})


def lately() -> list[Any]:
    """The last acts that changed something."""
    events = AuditEvent.objects.exclude(action__in=QUIET).order_by("-sequence")[:LATELY]
    return [describe(event) for event in events]


def decisions(snapshot: health.HealthSnapshot, templates: list[Any]) -> list[Decision]:
    """What waits for a person, the worst first. Two queries."""
    found = [] if snapshot.executor_alive else [_no_executor()]
    newest = {row.newest_id for row in templates} - {None}
    versions = Version.objects.select_related("health").in_bulk(newest)
    last = {row.last_build_id for row in templates} - {None}
    builds = Build.objects.select_related("template").in_bulk(last)
    found += [_damaged(row) for row in templates if _is_damaged(row)]
    for row in templates:
        candidate = versions.get(row.newest_id)
        build = builds.get(row.last_build_id)
        one = _of_build(row, build) or _of_version(row, candidate)
        if one is not None:
            found.append(one)
    return found[:DECISIONS_SHOWN]


def _templates() -> QuerySet[Any]:
    last = Promotion.objects.filter(template=OuterRef("pk"), to_version=OuterRef("current"))
    last = last.order_by("-id")
    versions = Version.objects.filter(template=OuterRef("pk")).order_by("-number")
    builds = Build.objects.filter(template=OuterRef("pk")).order_by("-created_at")
    return Template.objects.select_related("current__health").annotate(
        promoted_at=Subquery(last.values("created_at")[:1]),
        promoted_by=Subquery(last.values("actor")[:1]),
        newest_id=Subquery(versions.values("pk")[:1]),
        last_build_id=Subquery(builds.values("pk")[:1]),
    )


def _no_executor() -> Decision:
    text = "is running: submissions are refused, builds wait. Start manage.py executor."
    acts = (Act(label="Look at the system", url=reverse("system")),)
    return Decision(tone="bad", word="Stopped", subject="No executor", text=text, acts=acts)


def _is_damaged(row: Template) -> bool:
    return row.current is not None and row.current.health.state != HealthState.VERIFIED


def _damaged(row: Template) -> Decision:
    assert row.current is not None
    text = f"is {row.current.health.state} and not served: executions on it are refused."
    return Decision(
        tone="bad",
        word="Alarm",
        subject=f"{row.name} {row.current.number}",
        text=text,
        acts=(Act(label="Roll back or promote", url=reverse("template", args=[row.name])),),
    )


def _of_build(row: Template, build: Build | None) -> Decision | None:
    """A build that runs, or that ended without what was asked for."""
    if build is None or build.state in {
        BuildState.READY,
        BuildState.REPRODUCED,
        BuildState.CANCELLED,
    }:
        return None
    page = reverse("build", args=[build.pk])
    if not build.finished:
        text = f"is being built: {build.state}, asked for by {build.requested_by}."
        acts = (Act(label="Follow", url=page),)
        return Decision(tone="accent", word="Building", subject=row.name, text=text, acts=acts)
    where = f"failed at {build.step}" if build.state == BuildState.FAILED else "was interrupted"
    text = f"The last build {where}. What is current stays current."
    acts = (Act(label="Read the log", url=page),)
    return Decision(tone="warn", word="Build", subject=f"{row.name}:", text=text, acts=acts)


def _of_version(row: Template, newest: Version | None) -> Decision | None:
    """A version that waits for its promotion, or a template without any."""
    page = reverse("template", args=[row.name])
    if newest is None:
        text = "has no version yet: executions on it are refused until one is built and promoted."
        acts = (Act(label="Build a version", url=page),)
        return Decision(tone="warn", word="Empty", subject=row.name, text=text, acts=acts)
    current = row.current
    waits = current is None or newest.number > current.number
    if not waits or row.pinned or newest.health.state != HealthState.VERIFIED:
        return None
    against = reverse("compare", args=[row.name, current.number if current else 0, newest.number])
    return Decision(
        tone="accent",
        word="Decision",
        subject=f"{row.name} {newest.number}",
        text=_waiting_words(current, newest),
        acts=(Act(label="Template", url=page), Act(label="Review and promote", url=against)),
    )


def _waiting_words(current: Version | None, newest: Version) -> str:
    passed = sum(bool(case["ok"]) for case in newest.smoke)
    smoke = f"Smoke {passed} of {len(newest.smoke)}."
    if current is None:
        return f"is ready and nothing is current. {smoke}"
    moved = compare(current.packages, newest.packages)
    count = len(moved.changes)
    packages = f"{count} {'package' if count == 1 else 'packages'} moved"
    return f"is ready: {packages}, {moved.major} major. {smoke}"
