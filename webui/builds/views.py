"""A build: asked for, watched while it runs, read afterwards."""

import math
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone

from core import parsing
from execapp.api.http import errors, parked, sse
from execapp.errors import ExecutionError
from execapp.services import building
from templatemgr.build import builds, following
from templatemgr.models import ACTIVE_STATES, Build, BuildKind, BuildLogLine, BuildState, Template
from webui.catalog.version_table import build_word
from webui.http import HtmxHttpRequest
from webui.shell import decorators
from webui.templatetags.stencil import seconds

LINES_SHOWN = 1000
BEFORE = 50  # lines above the one that was asked for
# How npm and pip begin what they complain of.
ERRORS = ("npm error", "ERROR:")
WARNINGS = ("npm warn", "WARNING:", "DEPRECATION:")
BUILDS_PAGE = 25
STATES: dict[str, tuple[str, tuple[str, ...]]] = {
    "open": ("Open", (BuildState.QUEUED, *ACTIVE_STATES)),
    "through": ("Went through", (BuildState.READY, BuildState.REPRODUCED)),
    "failed": ("Failed", (BuildState.FAILED,)),
    "stopped": ("Cancelled or interrupted", (BuildState.CANCELLED, BuildState.INTERRUPTED)),
}
STEPS = (
    (BuildState.FETCHING, "Fetch"),
    (BuildState.INSTALLING, "Install"),
    (BuildState.SEALING, "Seal"),
    (BuildState.SMOKE, "Smoke"),
)


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step as the page shows it: done, now, next, or how it ended."""

    title: str
    state: str
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of the log with what colours it."""

    row: BuildLogLine
    tone: str
    level: str


@dataclass(frozen=True, kw_only=True)
class Group:
    """The lines of one step, which fold together."""

    step: str
    title: str
    lines: tuple[Line, ...]
    open: bool
    failed: bool


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How long it has run, and what is left by the last five builds that went through."""

    elapsed: float
    estimate: float | None

    @property
    def left(self) -> str:
        """The time left, in whole seconds; empty when it takes longer than it used to."""
        left = math.ceil((self.estimate or 0.0) - self.elapsed)
        return "" if left <= 0 else f"{left} s" if left < 60 else seconds(left)

    @property
    def value(self) -> int:
        """Out of 100; it waits near the end for a build that takes longer."""
        return min(97, round(100 * self.elapsed / self.estimate)) if self.estimate else 0


@decorators.page
def index(request: HtmxHttpRequest) -> HttpResponse:
    """Every build, newest first, by pages: also those that made no version."""
    wanted = {name: request.GET.get(name, "").strip() for name in ("template", "state", "kind")}
    rows = Build.objects.select_related("template", "version", "reproduces", "from_version")
    if wanted["template"]:
        rows = rows.filter(template__name=wanted["template"])
    if wanted["state"] in STATES:
        rows = rows.filter(state__in=STATES[wanted["state"]][1])
    if wanted["kind"] in BuildKind.values:
        rows = rows.filter(kind=wanted["kind"])
    cursor = parsing.identifier_or_none(request.GET.get("before", ""))
    if cursor is not None:
        rows = rows.filter(pk__lt=cursor)  # ids sort by time
    found = list(rows.order_by("-pk")[: BUILDS_PAGE + 1])
    given = {name: value for name, value in wanted.items() if value}
    older = {**given, "before": found[BUILDS_PAGE - 1].pk} if len(found) > BUILDS_PAGE else None
    context = {
        "builds": [(build, build_word(build)) for build in found[:BUILDS_PAGE]],
        "building": any(not build.finished for build in found[:BUILDS_PAGE]),
        "older": f"?{urlencode(older)}" if older else "",
        "newest": f"?{urlencode(given)}" if cursor else "",
        "here": f"?{urlencode({**given, **({'before': cursor} if cursor else {})})}",
        "given": wanted,
        "filtered": bool(given),
    }
    if request.htmx:
        return render(request, "builds/_table.html", context)
    context |= {
        "templates": Template.objects.values_list("name", flat=True),
        "states": [(key, title) for key, (title, _) in STATES.items()],
        "kinds": BuildKind.choices,
    }
    return render(request, "builds/index.html", context)


@decorators.page
def detail(request: HttpRequest, build_id: uuid.UUID) -> HttpResponse:
    """Steps, log and outcome; `?line=` begins the log there. Without JavaScript: load again."""
    build = builds.get(build_id=build_id)
    count = build.lines.count()
    wanted = parsing.whole_or_none(request.GET.get("line", ""))
    first = max(0, count - LINES_SHOWN) if wanted is None else max(0, min(wanted, count) - BEFORE)
    lines = builds.log_lines(build=build, after=first, limit=LINES_SHOWN)
    last = lines[-1].sequence if lines else 0
    context = _context(build) | {
        "groups": groups(build, lines),
        "line_count": count,
        "left_out": first,
        "earlier": max(1, first - LINES_SHOWN + BEFORE),
        "later": count - last if lines else 0,
        "after": last,
        "titles": STEPS,
    }
    return render(request, "builds/detail.html", context)


@decorators.page
def steps(request: HttpRequest, build_id: uuid.UUID) -> HttpResponse:
    """The parts of the page that change while it runs, for htmx."""
    build = builds.get(build_id=build_id)
    return render(request, "builds/_live.html", _context(build) | {"oob": True})


@decorators.page
def events(request: HttpRequest, build_id: uuid.UUID) -> HttpResponseBase:
    """The log as server-sent events, after the line that the client has seen last."""
    build = builds.get(build_id=build_id)
    seen = request.headers.get("Last-Event-ID") or request.GET.get("after", "")
    after = parsing.whole_or_none(seen) or 0
    try:
        place = parked.take_stream(f"user {request.user.pk}")
    except ExecutionError as refused:
        return errors.handle(refused)
    return sse.reply(stream(build.pk, after), place)


@decorators.page
def log(_request: HttpRequest, build_id: uuid.UUID) -> StreamingHttpResponse:
    """The whole log as a text file."""
    build = builds.get(build_id=build_id)
    response = StreamingHttpResponse(_text(build), content_type="text/plain; charset=utf-8")
    name = f"{build.template.name}-{build.pk}.log"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@decorators.change("templatemgr.build_version")
def cancel(request: HttpRequest, build_id: uuid.UUID) -> HttpResponseRedirect:
    """Ask a build to stop."""
    build = building.cancel_build(build_id=build_id, actor=decorators.actor(request))
    if build.state == BuildState.CANCELLED:
        decorators.done(request, "Cancelled. Nothing is left of this build but its log.")
    elif build.finished:
        decorators.done(request, f"It had ended before: {build.state}.")
    return redirect("build", build_id)


def stream(build_id: uuid.UUID, after: int) -> parked.Frames:
    """Lines as they come, `event: end` when the build has ended; nothing more after a minute."""
    yield sse.HELLO
    for event in following.follow(build_id=build_id, after=after):
        if event.line is not None:
            yield sse.event("line", _line(event.line), event.sequence)
        elif event.kind == "end":
            yield sse.event("end", {"state": event.build.state}, event.sequence)
        elif event.kind == "keepalive":
            yield sse.KEEPALIVE
            yield parked.Pause(seconds=following.POLL_SECONDS)


def step_list(build: Build) -> list[Step]:
    """Every step in order, also those that are still to come."""
    known: dict[str, dict[str, Any]] = {entry["name"]: entry for entry in build.steps}
    return [_step(title, known.get(state), build) for state, title in STEPS]


def _step(title: str, entry: dict[str, Any] | None, build: Build) -> Step:
    if entry is None:
        return Step(title=title, state="not run" if build.finished else "next", seconds=None)
    state = "now" if entry["state"] == "active" else str(entry["state"])
    ended = entry["finished_at"]
    end = datetime.fromisoformat(ended) if ended else build.finished_at or timezone.now()
    started = datetime.fromisoformat(entry["started_at"])
    return Step(title=title, state=state, seconds=max(0.0, (end - started).total_seconds()))


def _context(build: Build) -> dict[str, Any]:
    estimate = None if build.finished else builds.estimate_seconds(build.template.name)
    made = build.version or build.reproduces
    current = build.template.current if made else None
    return {
        "build": build,
        "steps": step_list(build),
        "progress": Progress(elapsed=build.duration_seconds or 0.0, estimate=estimate),
        "current": current,
        "version": build.version,
    }


def groups(build: Build, lines: Iterable[BuildLogLine]) -> list[Group]:
    """Lines by step, in order; of a failed build only the step that failed is open."""
    last_words = set(build.message.splitlines()) if build.state == BuildState.FAILED else set()
    titles = dict(STEPS)
    found = []
    for step, part in groupby(lines, key=lambda line: line.step):
        rows = tuple(
            Line(row=line, tone=tone(line), level=level(line, last_words)) for line in part
        )
        failed = build.state == BuildState.FAILED and step == build.step
        found.append(
            Group(
                step=step,
                title=str(titles.get(BuildState(step), step)) if step in titles else step,
                lines=rows,
                open=build.state != BuildState.FAILED or failed,
                failed=failed,
            )
        )
    return found


def _line(line: BuildLogLine) -> dict[str, Any]:
    return {
        "time": clock(line.time),
        "step": line.step,
        "tone": tone(line),
        "level": level(line, set()),
        "text": line.text,
    }


def tone(line: BuildLogLine) -> str:
    """The class that colours a line: npm reports its requests on stderr, which is no warning."""
    return "stderr" if line.stream == "stderr" and not line.text.startswith("npm http") else ""


def level(line: BuildLogLine, last_words: set[str]) -> str:
    """ "error" for what the jump leads to, "warning" for what deserves a look, else ""."""
    if line.text.startswith(ERRORS) or (line.stream == "build" and line.text in last_words):
        return "error"
    return "warning" if line.text.startswith(WARNINGS) else ""


def clock(moment: datetime) -> str:
    """The time of day to the millisecond, in UTC."""
    return f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}"


def _text(build: Build) -> Iterator[str]:
    for lines in following.all_lines(build=build):
        yield "".join(f"{line.time.isoformat()} {line.step} {line.text}\n" for line in lines)
