"""Sign-ins in the audit trail. A name is recorded only if a user has it: people type passwords
into the wrong field, and what the trail holds it holds for good.
"""

from typing import Any

from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db import transaction

from templatemgr import audit

NOBODY = "unknown user"


def signed_in(*, user: str, ip: str, methods: list[str]) -> None:
    """A sign-in that went through, with what it was proved by."""
    _append(user, "user.sign_in", {"ip": ip, "by": methods})


def failed(*, name: str, ip: str, by: str) -> None:
    """A sign-in that did not."""
    _append(_known(name), "user.sign_in_failed", {"ip": ip, "by": by})


def locked_out(*, name: str, ip: str, seconds: int) -> None:
    """Too many failures. Once for each lockout, however often it is tried meanwhile."""
    known = _known(name)
    if cache.add(f"lockout:{known}:{ip}", True, timeout=seconds):
        _append(known, "user.lockout", {"ip": ip, "seconds": seconds})


def changed(*, user: str, action: str, details: dict[str, Any]) -> None:
    """Something of an account that its owner changed."""
    _append(user, action, details)


def _known(name: str) -> str:
    found = get_user_model().objects.filter(username__iexact=name).first()
    return found.get_username() if found else NOBODY


def _append(user: str, action: str, details: dict[str, Any]) -> None:
    with transaction.atomic():
        audit.append(actor=user, action=action, object=user, details=details)
