"""The secrets that sign deliveries: made when they are first needed, rotated with a grace.

An owner is `token:<id>`. During the grace of a rotation both secrets sign, so that a receiver can
change to the new one at any time of it.
"""

import secrets
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from execapp.errors import Field, InvalidRequestError
from execapp.models import SigningSecret
from templatemgr import audit

LONGEST_GRACE = timedelta(days=30)


def owner_of_token(token_id: UUID) -> str:
    """Return the owner's name of a token."""
    return f"token:{token_id}"


def find_or_make(*, owner: str) -> SigningSecret:
    """Return the secret of an owner; make it if there is none."""
    found, _ = SigningSecret.objects.get_or_create(owner=owner, defaults={"secret": _fresh()})
    return found


def valid(*, owner: str) -> list[str]:
    """Return the secrets that sign now, the newest first."""
    found = find_or_make(owner=owner)
    return [found.secret, found.previous] if found.in_grace else [found.secret]


def find(*, owner: str) -> SigningSecret | None:
    """Return the secret of an owner; None if none was needed yet."""
    return SigningSecret.objects.filter(owner=owner).first()


def reveal(*, owner: str, actor: str, name: str) -> SigningSecret:
    """Return the secret to another person than its owner; the audit trail names the person."""
    with transaction.atomic():
        found = find_or_make(owner=owner)
        audit.append(actor=actor, action="token.signing_secret_read", object=name, details={})
    return found


def rotate(*, owner: str, grace: timedelta, actor: str, name: str) -> SigningSecret:
    """Make a new secret. The old one signs besides until `grace`, zero to 30 days, is over.

    `actor` and `name`, the token's, go to the audit trail. Raise InvalidRequestError.
    """
    if not timedelta(0) <= grace <= LONGEST_GRACE:
        text = f"Give 0 to {int(LONGEST_GRACE.total_seconds())} seconds."
        raise InvalidRequestError([Field(path="grace_seconds", message=text)])
    find_or_make(owner=owner)
    with transaction.atomic():
        row = SigningSecret.objects.select_for_update().get(owner=owner)
        row.previous = row.secret if grace else ""
        row.previous_until = timezone.now() + grace if grace else None
        row.secret, row.created_at = _fresh(), timezone.now()
        row.save()
        details = {"grace_seconds": int(grace.total_seconds())}
        audit.append(actor=actor, action="token.signing_secret", object=name, details=details)
    return row


def _fresh() -> str:
    return f"stnsec_{secrets.token_urlsafe(32)}"
