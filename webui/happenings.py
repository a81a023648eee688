"""Audit events in words: a pill, what it happened to, and why."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from templatemgr.models import AuditEvent

DETAILS_SHOWN = 200


@dataclass(frozen=True, kw_only=True)
class Happening:
    """One event as a page shows it. `tone` colours the pill; `url` is empty without a page."""

    event: AuditEvent
    word: str
    tone: str
    title: str
    reason: str
    note: str
    url: str


# action → the pill's word and its tone
WORDS = {
    "version.promote": ("promoted", "accent"),
    "version.rollback": ("rolled back", "warn"),
    "version.create": ("built", "ok"),
    "version.verify": ("verified", "ok"),
    "version.quarantine": ("quarantined", "bad"),
    "version.heal": ("healed", "warn"),
    "template.pin": ("pinned", "warn"),
    "template.unpin": ("unpinned", ""),
    "build.request": ("build asked for", ""),
    "build.cancel": ("build cancelled", "warn"),
    "token.create": ("token made", ""),
    "token.revoke": ("token revoked", "warn"),
}
SAID_ELSEWHERE = {"reason", "from", "to", "version", "build", "id", "identity", "state"}


def describe(event: AuditEvent) -> Happening:
    """Put one event into words; an action that is not known keeps its name."""
    word, tone = WORDS.get(event.action, (event.action.replace(".", " "), ""))
    if event.details.get("problems") and event.action == "version.verify":
        word, tone = "verified: bad", "bad"
    return Happening(
        event=event,
        word=word,
        tone=tone,
        title=_title(event),
        reason=str(event.details.get("reason", "")),
        note=_note(event.details),
        url=_url(event),
    )


def _title(event: AuditEvent) -> str:
    name, _, number = event.object.partition("@")
    details = event.details
    if event.action in {"version.promote", "version.rollback"}:
        before = details.get("from")
        return f"{name} {before} → {number}" if before else f"{name} {number}"
    if event.action == "template.pin" and details.get("version"):
        return f"{name} at {details['version']}"
    return f"{name} {number}".strip()


def _note(details: dict[str, Any]) -> str:
    """What else was recorded, short."""
    rest = [
        f"{key.replace('_', ' ')} {_short(value)}"
        for key, value in details.items()
        if key not in SAID_ELSEWHERE and value not in (None, "", [], 0)
    ]
    return ", ".join(rest)[:DETAILS_SHOWN]


def _short(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(str(part) for part in value.values())
    if isinstance(value, list):
        return ", ".join(str(part) for part in value)
    return str(value)


def _url(event: AuditEvent) -> str:
    family = event.action.partition(".")[0]
    name, _, number = event.object.partition("@")
    build = event.details.get("build")
    pages: dict[str, Callable[[], str]] = {
        "token": lambda: reverse("tokens"),
        "build": lambda: reverse("build", args=[build]) if build else "",
        "template": lambda: reverse("template", args=[name]),
        "version": lambda: reverse("version", args=[name, int(number)]),
    }
    page = pages.get(family)
    if page is None or (family == "version" and not number.isdecimal()):
        return ""
    return page()
