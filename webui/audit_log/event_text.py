"""The text that pages show for an event of the audit log. Pure: nothing is read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from core import parsing
from templatemgr.models import AuditEvent

# The word of each action, and the colour of its pill.
WORDS = {
    "version.promote": ("promoted", "accent"),
    "version.rollback": ("rolled back", "warn"),
    "version.create": ("built", "ok"),
    "version.verify": ("verified", "ok"),
    "version.verify_request": ("verification requested", ""),
    "version.quarantine": ("quarantined", "bad"),
    "version.heal": ("healed", "warn"),
    "version.heal_failed": ("not healed", "bad"),
    "version.restore": ("restored", "warn"),
    "version.keep": ("kept", ""),
    "template.pin": ("pinned", "warn"),
    "template.unpin": ("unpinned", ""),
    "build.request": ("build requested", ""),
    "build.cancel": ("build cancelled", "warn"),
    "token.create": ("token created", ""),
    "token.revoke": ("token revoked", "warn"),
    "token.rotate": ("token rotated", "warn"),
    "token.end_grace": ("old secret ended", ""),
    "token.signing_secret": ("callback secret rotated", "warn"),
    "token.signing_secret_read": ("callback secret read", "warn"),
    "token.limits": ("limits changed", "warn"),
    "token.pin": ("client pinned", "warn"),
    "template.policy": ("gates changed", "warn"),
    "version.remove": ("removed", "warn"),
    "audit.export": ("audit exported", ""),
    "user.sign_in": ("signed in", ""),
    "user.sign_in_failed": ("sign-in failed", "bad"),
    "user.lockout": ("locked out", "bad"),
    "user.sign_up": ("signed up", ""),
    "user.password": ("password set", ""),
    "user.factor_add": ("second factor added", "ok"),
    "user.factor_remove": ("second factor removed", "warn"),
    "user.factor_renew": ("recovery codes renewed", ""),
    "user.factor_reset": ("second factor reset", "warn"),
    "user.invite": ("invited", ""),
    "user.link": ("password link created", "warn"),
    "user.role": ("role changed", "warn"),
    "user.deactivate": ("deactivated", "warn"),
    "user.activate": ("activated", ""),
}
ELSEWHERE = {"token", "user", "audit"}  # actions on these are not about a template
SENTENCE_KEYS = {
    "reason", "from", "to", "version", "kind", "state", "problems", "first", "scopes",
}  # fmt: skip
SENTENCE_KEYS_OF = {
    "token": SENTENCE_KEYS | {"id", "old", "grace_seconds"},
    "user": SENTENCE_KEYS | {"by", "role", "factor", "factors"},
    "audit": SENTENCE_KEYS | {"format"},
}


@dataclass(frozen=True, kw_only=True)
class EventText:
    """An event as pages show it. `rest`: details that the sentence leaves out."""

    event: AuditEvent
    word: str
    tone: str
    text: str
    reason: str
    template: str  # empty when the action is not about a template
    version: int | None
    rest: tuple[tuple[str, str], ...]


def describe(event: AuditEvent) -> EventText:
    """Return the text of an event. An unknown action is shown by its own name."""
    details: Mapping[str, Any] = event.details
    word, tone = WORDS.get(event.action, (event.action, ""))
    if event.action == "version.verify" and details.get("state") != "verified":
        word, tone = "found changed", "bad"
    said = SENTENCE_KEYS_OF.get(event.action.partition(".")[0], SENTENCE_KEYS)
    on_template = event.action.partition(".")[0] not in ELSEWHERE
    # The name of a user or a token may contain an @.
    name, _, number = event.object.partition("@") if on_template else (event.object, "", "")
    return EventText(
        event=event,
        word=word,
        tone=tone,
        text=_sentence(event.action, name, number, details),
        reason=str(details.get("reason") or ""),
        template=name if on_template else "",
        version=parsing.whole_or_none(number) if on_template else None,
        rest=tuple((key, _plain(value)) for key, value in details.items() if key not in said),
    )


def _sentence(action: str, name: str, number: str, details: Mapping[str, Any]) -> str:
    what = f"{name} {number}".strip()
    sentence = _SENTENCES.get(action)
    if sentence is not None:
        return sentence(name, number, details)
    problems = details.get("problems")
    if problems:
        return f"{what}: {problems} problem{'' if problems == 1 else 's'}{_first(details)}"
    return what


def _moved(name: str, number: str, details: Mapping[str, Any]) -> str:
    start = details.get("from")
    return f"{name} {start} → {details.get('to', number)}" if start else f"{name} {number}"


def _pinned(name: str, _number: str, details: Mapping[str, Any]) -> str:
    return f"{name} at {details['version']}" if details.get("version") else name


def _asked(name: str, _number: str, details: Mapping[str, Any]) -> str:
    start = f" from {details['from']}" if details.get("from") else ""
    return f"{details.get('kind', 'build')} of {name}{start}"


def _scoped(name: str, _number: str, details: Mapping[str, Any]) -> str:
    return f"{name}: {', '.join(details.get('scopes', ()))}"


def _signed_in(name: str, _number: str, details: Mapping[str, Any]) -> str:
    by = details.get("by", ())
    ways = [by] if isinstance(by, str) else by
    return f"{name} by {' and '.join(METHODS.get(way, way) for way in ways)}" if ways else name


def _role(name: str, _number: str, details: Mapping[str, Any]) -> str:
    before = f"{details['from']} → " if details.get("from") else ""
    return f"{name}: {before}{details.get('to') or details.get('role')}"


def _factor(name: str, _number: str, details: Mapping[str, Any]) -> str:
    kinds = details.get("factors") or [details.get("factor", "")]
    return f"{name}: {', '.join(METHODS.get(kind, kind) for kind in kinds)}"


def _held(name: str, _number: str, details: Mapping[str, Any]) -> str:
    pins = details.get("to") or {}
    shown = _plain(pins)
    return f"{name} at {shown}" if shown else f"{name}: the current versions again"


def _limited(name: str, _number: str, details: Mapping[str, Any]) -> str:
    shown = _plain(details.get("to") or {})
    return f"{name}: {shown}" if shown else f"{name}: the defaults again"


def _rotated(name: str, _number: str, details: Mapping[str, Any]) -> str:
    hours = details.get("grace_seconds", 0) // 3600
    until = f"works for {hours} h more" if hours else "ended at once"
    return f"{name}: {details.get('old', '')}… → {details.get('prefix', '')}…, the old one {until}"


def _signing(name: str, _number: str, details: Mapping[str, Any]) -> str:
    seconds = details.get("grace_seconds", 0)
    hours = -(-seconds // 3600)
    return f"{name}: the old one {f'signs for {hours} h more' if hours else 'ended at once'}"


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {each}" for key, each in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _exported(name: str, _number: str, details: Mapping[str, Any]) -> str:
    part = ", filtered" if details.get("filters") else ""
    return f"{name} as {str(details.get('format', '')).upper()}{part}"


METHODS = {
    "password": "password",
    "totp": "authenticator app",
    "webauthn": "passkey",
    "recovery_codes": "recovery code",
    "mfa": "second factor",
    "socialaccount": "single sign-on",
    "oidc": "single sign-on",
}
_SENTENCES: dict[str, Callable[[str, str, Mapping[str, Any]], str]] = {
    "version.promote": _moved,
    "version.rollback": _moved,
    "template.pin": _pinned,
    "build.request": _asked,
    "token.create": _scoped,
    "token.limits": _limited,
    "token.pin": _held,
    "token.rotate": _rotated,
    "token.signing_secret": _signing,
    "audit.export": _exported,
    "user.sign_in": _signed_in,
    "user.sign_in_failed": _signed_in,
    "user.role": _role,
    "user.invite": _role,
    "user.sign_up": _role,
    "user.factor_add": _factor,
    "user.factor_remove": _factor,
    "user.factor_renew": _factor,
    "user.factor_reset": _factor,
}


def _first(details: Mapping[str, Any]) -> str:
    first = details.get("first")
    if isinstance(first, Mapping):
        first = first.get("path")
    return f", first {first}" if first else ""
