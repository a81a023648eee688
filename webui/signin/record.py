"""Events of sign-in in the audit trail.

Only names of existing users are recorded: people type passwords into the wrong field, and the trail
is permanent.
"""

from typing import Any

from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db import transaction

from templatemgr import audit

NOBODY = "unknown user"

LONGEST_NAME = 150


def signed_in(*, user: str, ip: str, methods: list[str]) -> None:
    """Record a sign-in and the factors it used."""
    _append(user, "user.sign_in", {"ip": ip, "by": methods})


def failed(*, name: str, ip: str, by: str) -> None:
    """Record a failed sign-in."""
    _append(_known(name), "user.sign_in_failed", {"ip": ip, "by": by})


def locked_out(*, name: str, ip: str, seconds: int) -> None:
    """Record a lockout once, regardless of the attempts during it."""
    known = _known(name)
    if cache.add(f"lockout:{known}:{ip}", True, timeout=seconds):
        _append(known, "user.lockout", {"ip": ip, "seconds": seconds})


def changed(*, user: str, action: str, details: dict[str, Any]) -> None:
    """Record a change of an account by its owner."""
    _append(user, action, details)


def _known(name: str) -> str:
    """Return the name of the user, or NOBODY. A name that no user can have is not looked up."""
    if len(name) > LONGEST_NAME:
        return NOBODY
    found = get_user_model().objects.filter(username__iexact=name).first()
    return found.get_username() if found else NOBODY


def _append(user: str, action: str, details: dict[str, Any]) -> None:
    with transaction.atomic():
        audit.append(actor=user, action=action, object=user, details=details)
