"""Rotate secrets: a token gets a new secret and keeps its id; the old secret stays valid briefly.

A token has at most one old secret: a second rotation within the grace revokes the first secret.
"""

import uuid
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from execapp.errors import Field, InvalidRequestError, UnknownTokenError
from execapp.models import ApiToken
from execapp.services import tokens
from templatemgr import audit

LONGEST_GRACE = timedelta(days=30)
NOBODY = {"previous_hash": "", "previous_until": None, "previous_used_at": None}


def rotate(*, token_id: uuid.UUID, actor: str, grace: timedelta) -> tuple[ApiToken, str]:
    """Give the token a new secret and return it; the secret is not stored and cannot be read again.

    The old secret works until `grace`, zero to 30 days, is over. Raise UnknownTokenError, and
    InvalidRequestError for a token that is not usable or a grace that is too long.
    """
    if not timedelta(0) <= grace <= LONGEST_GRACE:
        text = f"Give 0 to {LONGEST_GRACE.days} days."
        raise InvalidRequestError([Field(path="grace", message=text)], message=text)
    with transaction.atomic():
        token = _locked(token_id)
        if not token.usable:
            text = f"{token.name} is revoked or expired: make a new token instead."
            raise InvalidRequestError([Field(path="token", message=text)], message=text)
        old = token.prefix
        secret, token.prefix, digest = tokens.fresh_secret()
        token.previous_hash = token.token_hash if grace else ""
        token.previous_until = timezone.now() + grace if grace else None
        token.previous_used_at = None
        token.token_hash = digest
        token.save(update_fields=["prefix", "token_hash", *NOBODY])
        details = {
            "id": str(token.id),
            "prefix": token.prefix,
            "old": old,
            "grace_seconds": int(grace.total_seconds()),
        }
        audit.append(actor=actor, action="token.rotate", object=token.name, details=details)
    return token, secret


def end_grace(*, token_id: uuid.UUID, actor: str) -> ApiToken:
    """Revoke the old secret; do nothing if the token has no old secret."""
    with transaction.atomic():
        token = _locked(token_id)
        if token.previous_hash:
            for name, value in NOBODY.items():
                setattr(token, name, value)
            token.save(update_fields=list(NOBODY))
            details = {"id": str(token.id), "prefix": token.prefix}
            audit.append(actor=actor, action="token.end_grace", object=token.name, details=details)
    return token


def _locked(token_id: uuid.UUID) -> ApiToken:
    token = ApiToken.objects.select_for_update().filter(id=token_id).first()
    if token is None:
        message = "There is no such token."
        raise UnknownTokenError(message)
    return token
