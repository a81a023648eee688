"""Builds and their logs as the API shows them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db.models import Q

from core import pagination
from execapp.serialization import moment
from templatemgr import catalog
from templatemgr.build import builds
from templatemgr.models import Build, BuildLogLine, Version

MAX_SEQUENCE = 2**31 - 1
RELATED = ("template", "version", "reproduces", "from_version")


def show(build: Build) -> dict[str, Any]:
    """A build in the shape of the HTTP contract; of edited files their names."""
    options = build.options
    seconds = build.duration_seconds
    return {
        "id": str(build.pk),
        "template": build.template.name,
        "kind": build.kind,
        "state": build.state,
        "step": build.step or None,
        "from": _number(build.from_version),
        "packages": options.get("packages", []),
        "files": sorted(options.get("files", {})),
        "heals": options.get("heal"),
        "version": _number(build.version),
        "reproduces": _number(build.reproduces),
        "message": build.message or None,
        "steps": [show_step(step) for step in build.steps],
        "cancel_requested": build.cancel_requested,
        "requested_by": build.requested_by,
        "created_at": moment(build.created_at),
        "started_at": moment(build.started_at),
        "finished_at": moment(build.finished_at),
        "duration_ms": None if seconds is None else round(seconds * 1000, 1),
    }


def listed(
    *, template: str, state: str | None, cursor: str | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """A page of a template's builds, newest first. Raises UnknownTemplateError."""
    rows = Build.objects.filter(template=catalog.get(name=template)).select_related(*RELATED)
    if state is not None:
        rows = rows.filter(state=state)
    if cursor:
        at, identifier = pagination.read(cursor)
        earlier = Q(created_at__lt=at) | Q(created_at=at, pk__lt=identifier)
        rows = rows.filter(earlier, created_at__lte=at)  # again, for the index
    found = list(rows.order_by("-created_at", "-pk")[: limit + 1])
    page = found[:limit]
    more = len(found) > limit
    following = pagination.write(page[-1].created_at, page[-1].pk) if more else None
    return [show(build) for build in page], following


def log(
    *, build_id: str, cursor: str | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """A page of a build's log, in order; the cursor is the last line's `sequence`.

    While the build runs, more may come after the last page: from its last `sequence` on.
    """
    build = builds.get(build_id=build_id)
    after = min(pagination.number(cursor), MAX_SEQUENCE) if cursor else 0
    found = builds.log_lines(build=build, after=after, limit=limit + 1)
    page = found[:limit]
    following = str(page[-1].sequence) if len(found) > limit else None
    return [show_line(line) for line in page], following


def show_step(step: Mapping[str, Any]) -> dict[str, Any]:
    """A step that has begun; `state` is active, done, or how the build ended in it."""
    times = {key: _moment(step[key]) for key in ("started_at", "finished_at")}
    return {"name": step["name"], "state": step["state"], **times}


def show_line(line: BuildLogLine) -> dict[str, Any]:
    """One line of a log."""
    return {
        "sequence": line.sequence,
        "time": moment(line.time),
        "step": line.step,
        "stream": line.stream,
        "text": line.text,
    }


def _moment(text: str | None) -> str | None:
    return moment(datetime.fromisoformat(text)) if text else None


def _number(version: Version | None) -> int | None:
    return version.number if version else None
