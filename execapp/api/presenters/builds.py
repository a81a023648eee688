"""Builds and their logs as the API shows them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from core.pagination import NUMBER, TIME_AND_ID, Order, paginate
from execapp.api.presenters.fields import rfc3339
from templatemgr import catalog
from templatemgr.build import builds
from templatemgr.models import Build, BuildLogLine, Version

NEWEST = Order(("-created_at", "-pk"), cursor=TIME_AND_ID)
LINES = Order(("sequence",), cursor=NUMBER)
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
        "created_at": rfc3339(build.created_at),
        "started_at": rfc3339(build.started_at),
        "finished_at": rfc3339(build.finished_at),
        "duration_ms": None if seconds is None else round(seconds * 1000, 1),
    }


def listed(
    *, template: str, state: str | None, cursor: str | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """A page of a template's builds, newest first. Raises UnknownTemplateError, CursorError."""
    rows = Build.objects.filter(template=catalog.get(name=template)).select_related(*RELATED)
    if state is not None:
        rows = rows.filter(state=state)
    page = paginate(rows, NEWEST, cursor=cursor, limit=limit)
    return [show(build) for build in page.items], page.next


def log(
    *, build_id: str, cursor: str | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """A page of a build's log, in order; the cursor is the last line's `sequence`.

    While the build runs, more may come after the last page: from its last `sequence` on.
    """
    build = builds.get(build_id=build_id)
    page = paginate(build.lines.all(), LINES, cursor=cursor, limit=limit)
    return [show_line(line) for line in page.items], page.next


def show_step(step: Mapping[str, Any]) -> dict[str, Any]:
    """A step that has begun; `state` is active, done, or how the build ended in it."""
    times = {key: _rfc3339(step[key]) for key in ("started_at", "finished_at")}
    return {"name": step["name"], "state": step["state"], **times}


def show_line(line: BuildLogLine) -> dict[str, Any]:
    """One line of a log."""
    return {
        "sequence": line.sequence,
        "time": rfc3339(line.time),
        "step": line.step,
        "stream": line.stream,
        "text": line.text,
    }


def _rfc3339(text: str | None) -> str | None:
    return rfc3339(datetime.fromisoformat(text)) if text else None


def _number(version: Version | None) -> int | None:
    return version.number if version else None
