"""What an event of the audit trail says in words. Pure: nothing is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from templatemgr.models import AuditEvent

# The word of each act, with the colour of its pill.
WORDS = {
    "version.promote": ("promoted", "accent"),
    "version.rollback": ("rolled back", "warn"),
    "version.create": ("built", "ok"),
    "version.verify": ("verified", "ok"),
    "version.verify_request": ("verification asked for", ""),
    "version.quarantine": ("quarantined", "bad"),
    "version.heal": ("healed", "warn"),
    "version.heal_failed": ("not healed", "bad"),
    "template.pin": ("pinned", "warn"),
    "template.unpin": ("unpinned", ""),
    "build.request": ("build asked for", ""),
    "build.cancel": ("build cancelled", "warn"),
    "token.create": ("token made", ""),
    "token.revoke": ("token revoked", "warn"),
}
SAID = {"reason", "from", "to", "version", "kind", "state", "problems", "first", "scopes"}


@dataclass(frozen=True, kw_only=True)
class Act:
    """An event, ready to be read. `rest` is what the sentence does not say."""

    event: AuditEvent
    word: str
    tone: str
    text: str
    reason: str
    template: str  # empty when the act is not on a template
    version: int | None
    rest: tuple[tuple[str, str], ...]


def read(event: AuditEvent) -> Act:
    """Words for an event; an act that is not known shows its own name."""
    details: Mapping[str, Any] = event.details
    word, tone = WORDS.get(event.action, (event.action, ""))
    if event.action == "version.verify" and details.get("state") != "verified":
        word, tone = "found changed", "bad"
    name, _, number = event.object.partition("@")
    on_template = event.action.split(".")[0] != "token"
    return Act(
        event=event,
        word=word,
        tone=tone,
        text=_sentence(event.action, name, number, details),
        reason=str(details.get("reason") or ""),
        template=name if on_template else "",
        version=int(number) if on_template and number.isdecimal() else None,
        rest=tuple((key, str(value)) for key, value in details.items() if key not in SAID),
    )


def _sentence(action: str, name: str, number: str, details: Mapping[str, Any]) -> str:
    what = f"{name} {number}".strip()
    if action in {"version.promote", "version.rollback"} and details.get("from"):
        return f"{name} {details['from']} → {details.get('to', number)}"
    if action == "template.pin" and details.get("version"):
        return f"{name} at {details['version']}"
    if action == "build.request":
        start = f" from {details['from']}" if details.get("from") else ""
        return f"{details.get('kind', 'build')} of {name}{start}"
    if action == "token.create":
        return f"{what}: {', '.join(details.get('scopes', ()))}"
    problems = details.get("problems")
    if problems:
        return f"{what}: {problems} problem{'' if problems == 1 else 's'}{_first(details)}"
    return what


def _first(details: Mapping[str, Any]) -> str:
    first = details.get("first")
    if isinstance(first, Mapping):
        first = first.get("path")
    return f", first {first}" if first else ""
