"""Read the columns of a health row strictly: an unknown value is a doubt, never an exception.

Anybody who can write to the database may have written them. Pure: values in, values out.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

PARTS = ("cache", "manifest", "inputs", "objects")
NEVER = datetime.fromtimestamp(0, UTC)
_LOST = {"path": ".", "problem": "unreadable"}
UNKNOWN_STATE = "the recorded state is unknown: the version is read again"
UNKNOWN_FINDINGS = "what was recorded here cannot be read: the version is read again"


def problems(stored: object) -> list[dict[str, str]]:
    """Return findings on a tree; each that is not one becomes "unreadable"."""
    if not isinstance(stored, list):
        return [{**_LOST, "detail": UNKNOWN_FINDINGS}]
    return [_finding(one, ()) or {**_LOST, "detail": UNKNOWN_FINDINGS} for one in stored]


def doubts(stored: object) -> list[dict[str, str]]:
    """Return doubts; each that is not one becomes a doubt about the manifest."""
    unknown = {"part": "manifest", **_LOST, "detail": UNKNOWN_FINDINGS}
    if not isinstance(stored, list):
        return [unknown]
    found = (_finding(one, ("part",)) for one in stored)
    return [one if one and one["part"] in PARTS else unknown for one in found]


def unknown_state() -> list[dict[str, str]]:
    """Return the finding of a version whose recorded state is unknown."""
    return [{**_LOST, "detail": UNKNOWN_STATE}]


def _finding(stored: object, more: tuple[str, ...]) -> dict[str, str] | None:
    if not isinstance(stored, Mapping):
        return None
    kept: dict[str, Any] = {
        key: stored[key] for key in (*more, "path", "problem", "detail") if key in stored
    }
    complete = all(key in kept for key in (*more, "path", "problem"))
    return kept if complete and all(type(value) is str for value in kept.values()) else None
