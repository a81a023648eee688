"""Pages of builds: the list, and one build with its steps, its log and its outcome."""

import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render

from core import parsing
from execapp.api.http import deferred, error_replies, sse
from execapp.errors import ExecutionError
from templatemgr.build import builds, following
from templatemgr.models import Build, BuildState
from webui.builds import log_lines, queries
from webui.builds.forms import BuildFilters
from webui.builds.progress import STEPS, Progress, step_list
from webui.builds.state_text import state_text
from webui.http import HtmxHttpRequest
from webui.shell import decorators, fields

LINES_SHOWN = 1000
LINES_ABOVE = 50  # shown above the line that `?line=` names


@decorators.page
def index(request: HtmxHttpRequest) -> HttpResponse:
    """List every build, newest first, page by page. htmx gets the table alone."""
    filters = BuildFilters(request.GET, auto_id="by-%s")
    submitted_filters = fields.submitted(filters)
    before = queries.NEWEST.cursor_or_none(request.GET.get("before", ""))
    page = queries.page(fields.values(filters), before=before)
    context = {
        "builds": [(build, state_text(build)) for build in page.items],
        "building": any(not build.finished for build in page.items),
        "older": f"?{urlencode({**submitted_filters, 'before': page.next})}" if page.next else "",
        "newest": f"?{urlencode(submitted_filters)}" if before else "",
        "here": f"?{urlencode({**submitted_filters, **({'before': before} if before else {})})}",
        "filters": filters,
        "filtered": bool(submitted_filters),
    }
    if request.htmx:
        return render(request, "builds/_table.html", context)
    filters.list_templates()
    return render(request, "builds/index.html", context)


@decorators.page
def detail(request: HttpRequest, build_id: uuid.UUID) -> HttpResponse:
    """Show steps, log and outcome; the log begins near `?line=`. Without JavaScript: reload."""
    build = builds.get(build_id=build_id)
    count = build.lines.count()
    wanted = parsing.whole_or_none(request.GET.get("line", ""))
    first = (
        max(0, count - LINES_SHOWN) if wanted is None else max(0, min(wanted, count) - LINES_ABOVE)
    )
    lines = builds.log_lines(build=build, after=first, limit=LINES_SHOWN)
    last = lines[-1].sequence if lines else 0
    context = _context(build) | {
        "groups": log_lines.groups(build, lines),
        "line_count": count,
        "left_out": first,
        "earlier": max(1, first - LINES_SHOWN + LINES_ABOVE),
        "later": count - last if lines else 0,
        "after": last,
        "titles": STEPS,
    }
    return render(request, "builds/detail.html", context)


@decorators.page
def steps(request: HttpRequest, build_id: uuid.UUID) -> HttpResponse:
    """Show the parts of the page that change during a build, for htmx."""
    build = builds.get(build_id=build_id)
    return render(request, "builds/_live.html", _context(build) | {"oob": True})


@decorators.page
def events(request: HttpRequest, build_id: uuid.UUID) -> HttpResponseBase:
    """Stream the log as server-sent events, after the last line that the client has."""
    build = builds.get(build_id=build_id)
    seen = request.headers.get("Last-Event-ID") or request.GET.get("after", "")
    after = parsing.whole_or_none(seen) or 0
    try:
        place = deferred.acquire_stream(f"user {request.user.pk}")
    except ExecutionError as refused:
        return error_replies.handle(refused)
    return sse.reply(stream(build.pk, after), place)


@decorators.page
def log(_request: HttpRequest, build_id: uuid.UUID) -> StreamingHttpResponse:
    """Send the whole log as a text file."""
    build = builds.get(build_id=build_id)
    response = StreamingHttpResponse(_text(build), content_type="text/plain; charset=utf-8")
    name = f"{build.template.name}-{build.pk}.log"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@decorators.change("templatemgr.build_version")
def cancel(request: HttpRequest, build_id: uuid.UUID) -> HttpResponseRedirect:
    """Cancel a build."""
    build = builds.cancel(build_id=build_id, actor=decorators.actor(request))
    if build.state == BuildState.CANCELLED:
        decorators.done(request, "Cancelled. Only the log of this build is kept.")
    elif build.finished:
        decorators.done(request, f"The build had already ended: {build.state}.")
    return redirect("build", build_id)


def stream(build_id: uuid.UUID, after: int) -> deferred.Frames:
    """Yield lines as they come, and `event: end` after the build; give up after a minute."""
    yield sse.HELLO
    for event in following.follow(build_id=build_id, after=after):
        if event.line is not None:
            yield sse.event("line", log_lines.as_event(event.line), event.sequence)
        elif event.kind == "end":
            yield sse.event("end", {"state": event.build.state}, event.sequence)
        elif event.kind == "keepalive":
            yield sse.KEEPALIVE
            yield deferred.Pause(seconds=following.POLL_SECONDS)


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


def _text(build: Build) -> Iterator[str]:
    for lines in following.all_lines(build=build):
        yield "".join(f"{line.time.isoformat()} {line.step} {line.text}\n" for line in lines)
