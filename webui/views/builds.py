"""A build: asked for, watched while it runs, read afterwards."""

import math
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from execapp.api import sse
from execapp.errors import ExecutionError
from execapp.services import building, following
from templatemgr.errors import TemplateError
from templatemgr.models import Build, BuildLogLine, BuildState
from templatemgr.services import builds
from webui.templatetags.stencil import seconds
from webui.views import guards

LINES_SHOWN = 1000
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


@guards.change("templatemgr.build_version")
def request_build(request: HttpRequest, name: str) -> HttpResponseRedirect:
    """Ask for a rebuild or a refresh, and go where its log is."""
    source = request.POST.get("from_version", "")
    try:
        build = building.request_build(
            template=name,
            kind=request.POST.get("kind", ""),
            actor=guards.actor(request),
            from_version=int(source) if source.isascii() and source.isdecimal() else None,
        )
    except (TemplateError, ExecutionError) as error:
        return guards.refuse(request, error, "template", name)
    return redirect("build", build.pk)


@guards.page
def detail(request: HttpRequest, build_id: uuid.UUID) -> HttpResponse:
    """Steps, log and outcome. Without JavaScript it is a page to load again."""
    build = builds.get(build_id=build_id)
    count = build.lines.count()
    lines = builds.log_lines(build=build, after=max(0, count - LINES_SHOWN), limit=LINES_SHOWN)
    context = _context(build) | {
        "lines": [(line, tone(line)) for line in lines],
        "line_count": count,
        "left_out": count - len(lines),
        "after": lines[-1].sequence if lines else 0,
        "last_words": build.message.splitlines() if build.state == BuildState.FAILED else [],
    }
    return render(request, "webui/builds/detail.html", context)


@guards.page
def steps(request: HttpRequest, build_id: uuid.UUID) -> HttpResponse:
    """The parts of the page that change while it runs, for htmx."""
    build = builds.get(build_id=build_id)
    return render(request, "webui/builds/_live.html", _context(build) | {"oob": True})


@guards.page
def events(request: HttpRequest, build_id: uuid.UUID) -> StreamingHttpResponse:
    """The log as server-sent events, after the line that the client has seen last."""
    build = builds.get(build_id=build_id)
    seen = request.headers.get("Last-Event-ID") or request.GET.get("after", "")
    after = int(seen) if seen.isascii() and seen.isdecimal() else 0
    return sse.reply(stream(build.pk, after))


@guards.page
def log(_request: HttpRequest, build_id: uuid.UUID) -> StreamingHttpResponse:
    """The whole log as a text file."""
    build = builds.get(build_id=build_id)
    response = StreamingHttpResponse(_text(build), content_type="text/plain; charset=utf-8")
    name = f"{build.template.name}-{build.pk}.log"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@guards.change("templatemgr.build_version")
def cancel(request: HttpRequest, build_id: uuid.UUID) -> HttpResponseRedirect:
    """Ask a build to stop."""
    build = building.cancel_build(build_id=build_id, actor=guards.actor(request))
    if build.state == BuildState.CANCELLED:
        guards.done(request, "Cancelled. Nothing is left of this build but its log.")
    elif build.finished:
        guards.done(request, f"It had ended before: {build.state}.")
    else:
        guards.done(request, "Cancelling: it stops within a few seconds.")
    return redirect("build", build_id)


def stream(build_id: uuid.UUID, after: int) -> Iterator[str]:
    """Lines as they come, `event: end` when the build has ended; nothing more after a minute."""
    yield sse.HELLO
    for news in following.follow(build_id=build_id, after=after):
        if news.line is not None:
            yield sse.event("line", _line(news.line), news.sequence)
        elif news.kind == "end":
            yield sse.event("end", {"state": news.build.state}, news.sequence)
        elif news.kind == "quiet":
            yield sse.QUIET


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


def _line(line: BuildLogLine) -> dict[str, Any]:
    return {
        "time": clock(line.time),
        "step": line.step,
        "tone": tone(line),
        "text": line.text,
    }


def tone(line: BuildLogLine) -> str:
    """The class that colours a line: npm reports its requests on stderr, which is no warning."""
    return "stderr" if line.stream == "stderr" and not line.text.startswith("npm http") else ""


def clock(moment: datetime) -> str:
    """The time of day to the millisecond, in UTC."""
    return f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}"


def _text(build: Build) -> Iterator[str]:
    for lines in following.all_lines(build=build):
        yield "".join(f"{line.time.isoformat()} {line.step} {line.text}\n" for line in lines)
