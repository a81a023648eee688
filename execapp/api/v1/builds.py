"""`/builds` and `/templates/{name}/builds`: request a build, follow it, cancel it."""

import json
from collections.abc import Iterator

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from ninja import Query, Router

from execapp.api.http import auth, deferred, sse
from execapp.api.http.openapi import ERRORS, resumed, streamed
from execapp.api.http.responses import (
    MEDIA_TYPES,
    actor_of,
    check_query,
    reply,
    text_reply,
    token_of,
    wanted_form,
)
from execapp.api.presenters.builds import present_build, present_log_line, present_step
from execapp.api.v1.schemas.builds import BuildIn, BuildOut, BuildsOut, BuildsQuery, LogOut
from execapp.api.v1.schemas.common import PageQuery
from execapp.services import storage
from templatemgr import lists
from templatemgr.build import builds, following
from templatemgr.models import Build

router = Router(tags=["Builds"], by_alias=True)
of_template = Router(tags=["Builds"], by_alias=True)


@of_template.post(
    "/{name}/builds",
    auth=auth.change_templates,
    response={202: BuildOut, **ERRORS},
    summary="Request a build",
)
def request_build(request: HttpRequest, name: str, body: BuildIn) -> HttpResponse:
    """Request a build: from the definition folder, or with `from` from a version's inputs.

    `rebuild` uses the same lock, `refresh` creates a new lock, `update` updates the `packages`,
    `edit` replaces the `files`. A build never promotes its version.
    """
    check_query(request, ())
    token = token_of(request)
    build = builds.request(
        template=name,
        kind=body.kind,
        actor=actor_of(request),
        from_version=body.from_,
        packages=body.packages,
        files=body.files,
        admit=storage.edit_admission(token=token, client=token.name),
    )
    return _reply(build, status=202)


@of_template.get(
    "/{name}/builds",
    auth=auth.read,
    response={200: BuildsOut, **ERRORS},
    summary="List a template's builds",
)
def listing(request: HttpRequest, name: str, query: Query[BuildsQuery]) -> HttpResponse:
    """List the builds of a template, newest first."""
    check_query(request, BuildsQuery.model_fields)
    page = lists.list_builds(
        template=name, state=query.state, cursor=query.cursor, limit=query.limit
    )
    items = [present_build(build) for build in page.items]
    return reply({"items": items, "next": page.next})


@router.get(
    "/{build_id}", auth=auth.read, response={200: BuildOut, **ERRORS}, summary="Read a build"
)
def one(request: HttpRequest, build_id: str) -> HttpResponse:
    """Return one build with its current step, its state and its result."""
    check_query(request, ())
    return reply(present_build(builds.get(build_id=build_id)))


@router.get(
    "/{build_id}/log",
    auth=auth.read,
    response={200: LogOut, **ERRORS},
    openapi_extra=streamed("text/plain", "application/jsonl", form=("json", "text", "jsonl")),
    summary="Read the log of a build",
)
def log(request: HttpRequest, build_id: str, query: Query[PageQuery]) -> HttpResponseBase:
    """Return the log by page, or the whole log as text or JSON lines, by Accept or `format`.

    The cursor is a line's `sequence`: to poll a running build, send the last `sequence` received.
    """
    check_query(request, ("format", *PageQuery.model_fields))
    form = wanted_form(request, "text", "jsonl")
    build = builds.get(build_id=build_id)
    if form != "json":
        response = text_reply(_lines(build, form))
        response["Content-Type"] = f"{MEDIA_TYPES[form]}; charset=utf-8"
        return response
    page = lists.list_log_lines(build=build, cursor=query.cursor, limit=query.limit)
    items = [present_log_line(line) for line in page.items]
    return reply({"items": items, "next": page.next})


@router.get(
    "/{build_id}/events",
    auth=auth.read,
    response={200: None, **ERRORS},
    openapi_extra=resumed(),
    summary="Follow a build",
)
def events(request: HttpRequest, build_id: str) -> HttpResponseBase:
    """Send Server-Sent Events: `step`, `line`, then `end` with the build.

    A request lasts at most one minute: connect again with the last `Last-Event-ID` received, as
    EventSource does automatically. Each connection starts with all steps.
    """
    check_query(request, ())
    build = builds.get(build_id=build_id)
    after = sse.last_seen(request)
    permit = deferred.acquire_stream(str(token_of(request).id))
    return sse.reply(_frames(build, after), permit)


@router.post(
    "/{build_id}/cancel",
    auth=auth.change_templates,
    response={202: BuildOut, 200: BuildOut, **ERRORS},
    summary="Cancel a build",
)
def cancel(request: HttpRequest, build_id: str) -> HttpResponse:
    """Request the cancellation: 202, or 200 without a change if the build has already ended."""
    check_query(request, ())
    build = builds.get(build_id=build_id)
    ended = build.finished
    build = builds.cancel(build_id=build.pk, actor=actor_of(request))
    return _reply(build, status=200 if ended else 202)


def _reply(build: Build, *, status: int) -> HttpResponse:
    response = reply(present_build(build), status=status)
    response["Location"] = f"/api/v1/builds/{build.pk}"
    return response


def _lines(build: Build, form: str) -> Iterator[str]:
    for lines in following.all_lines(build=build):
        items = [present_log_line(line) for line in lines]
        if form == "jsonl":
            yield "".join(f"{json.dumps(item)}\n" for item in items)
        else:
            yield "".join(f"{item['time']} {item['step']} {item['text']}\n" for item in items)


def _frames(build: Build, after: int) -> deferred.Frames:
    yield sse.HELLO
    for event in following.follow(build_id=build.pk, after=after):
        if event.step is not None:
            yield sse.event("step", present_step(event.step), event.sequence)
        elif event.line is not None:
            yield sse.event("line", present_log_line(event.line), event.sequence)
        elif event.kind == "end":
            yield sse.event("end", present_build(event.build), event.sequence)
        else:
            yield sse.KEEPALIVE
            yield deferred.Pause(seconds=following.POLL_SECONDS)
