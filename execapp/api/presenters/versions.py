"""Versions, their health, verifications and gates in the shapes of the HTTP contract."""

from collections.abc import Sequence
from typing import Any

from execapp.api.presenters.fields import rfc3339
from templatemgr.maintenance import retrying, verification
from templatemgr.models import HealthState, Severity, Template, Verification, Version
from templatemgr.promotion import gates


def present_version_summary(found: Version, row: Template) -> dict[str, Any]:
    """Return a version as a list shows it; `row` is its template."""
    health = found.health
    return {
        "version": found.number,
        "state": _state(found, row),
        "health": {
            "state": health.state,
            "checked_at": rfc3339(health.checked_at),
            "checked_by": health.checked_by,
            "problems": health.problems,
            "message": health.message or None,
            "severity": str(health.severity),
            "findings": _findings(found),
            "retry": _retry(found),
        },
        "digest": f"sha256:{found.identity}",
        "tree_digest": f"sha256:{found.tree_digest}",
        "definition_digest": f"sha256:{found.definition_digest}",
        "platform": found.platform,
        "toolchain": found.toolchain,
        "size_bytes": found.size_bytes,
        "own_bytes": found.own_bytes,
        "files": found.file_count,
        "created_at": rfc3339(found.created_at),
        "created_by": found.created_by,
        "build": str(found.build_id),
    }


def present_version(found: Version) -> dict[str, Any]:
    """Return a version with packages, smoke results, latest verification and failed tries to heal.

    Reads the verifications: two queries.
    """
    latest = verification.latest(version=found)
    tries = retrying.tries(version=found)
    return {
        **present_version_summary(found, found.template),
        "packages": found.packages,
        "smoke": found.smoke,
        "verification": present_verification(latest) if latest else None,
        "healing": [present_verification(one) for one in tries],
    }


def present_verification(found: Verification) -> dict[str, Any]:
    """Return the progress and the result of a verification; `build` is the rebuild that heals."""
    return {
        "id": str(found.pk),
        "state": found.state,
        "heal": found.heal,
        "requested_by": found.requested_by,
        "files_done": found.files_done,
        "files_total": found.files_total,
        "bytes_done": found.bytes_done,
        "bytes_total": found.bytes_total,
        "problems": found.problems,
        "message": found.message or None,
        "build": str(found.build_id) if found.build_id else None,
        "created_at": rfc3339(found.created_at),
        "started_at": rfc3339(found.started_at),
        "finished_at": rfc3339(found.finished_at),
    }


def present_gates(version: Version, found: Sequence[gates.Gate]) -> dict[str, Any]:
    """Return every gate of a version's promotion, and whether all required gates are open."""
    shown = [
        {
            "name": gate.name,
            "ok": gate.ok,
            "required": gate.required,
            "essential": gate.name in gates.ESSENTIAL,
            "detail": gate.detail,
        }
        for gate in found
    ]
    promotable = not any(gate.closed for gate in found)
    return {"version": version.number, "promotable": promotable, "gates": shown}


def _findings(found: Version) -> list[dict[str, Any]]:
    """Return all damage of a version, each with its severity."""
    unsafe = [{"part": "tree", **problem} for problem in found.health.problems]
    rest = [(doubt, Severity.NOT_PROVABLE) for doubt in found.health.doubts]
    return [
        {
            "part": finding["part"],
            "path": finding["path"],
            "problem": finding["problem"],
            "detail": finding.get("detail"),
            "severity": str(severity),
        }
        for finding, severity in [*((one, Severity.UNSAFE) for one in unsafe), *rest]
    ]


def _retry(found: Version) -> dict[str, Any] | None:
    """Return the next try to heal and the number of failed tries; None without damage."""
    health = found.health
    if health.severity == Severity.NONE or health.retry_at is None:
        return None
    return {"at": rfc3339(health.retry_at), "tries": health.tries}


def _state(found: Version, row: Template) -> str:
    if row.current_id == found.pk:
        return "current"
    return "removed" if found.health.state == HealthState.RETIRED else "ready"
