"""Builds and their logs in the shapes of the HTTP contract."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from execapp.api.presenters.fields import rfc3339
from templatemgr.models import Build, BuildLogLine, Version


def present_build(build: Build) -> dict[str, Any]:
    """Return a build; of edited files it contains the names only."""
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
        "steps": [present_step(step) for step in build.steps],
        "cancel_requested": build.cancel_requested,
        "requested_by": build.requested_by,
        "created_at": rfc3339(build.created_at),
        "started_at": rfc3339(build.started_at),
        "finished_at": rfc3339(build.finished_at),
        "duration_ms": None if seconds is None else round(seconds * 1000, 1),
    }


def present_step(step: Mapping[str, Any]) -> dict[str, Any]:
    """Return a step that has begun; `state` is active, done, or how the build ended in it."""
    times = {key: _rfc3339(step[key]) for key in ("started_at", "finished_at")}
    return {"name": step["name"], "state": step["state"], **times}


def present_log_line(line: BuildLogLine) -> dict[str, Any]:
    """Return one line of a log."""
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
