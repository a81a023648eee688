"""API tokens: the secret is shown once, and only its hash is stored."""

import hashlib
import re
import secrets
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from core import actors
from core.database.prepared import Param, Prepared
from execapp.errors import Field, InvalidRequestError, UnknownTokenError
from execapp.models import ApiToken, Scope
from execapp.services import token_limits, token_pins
from execapp.services.token_limits import TokenLimits
from templatemgr import audit

PREFIX_LENGTH = 10  # "stn_" and six characters: these identify a token but do not authenticate it
USED_RESOLUTION = timedelta(minutes=1)
_NAME = re.compile(r"[\w.@+-][\w.@+ -]{0,99}")
_BY_HASH = Prepared(lambda: ApiToken.objects.filter(token_hash=Param(ApiToken, "token_hash"))[:1])


def create(
    *,
    name: str,
    scopes: Sequence[str],
    actor: str,
    expires_at: datetime | None = None,
    pins: Mapping[str, int] | None = None,
    limits: TokenLimits | None = None,
) -> tuple[ApiToken, str]:
    """Create a token and return its secret, which cannot be read again.

    `pins` maps template names to version numbers for submissions that name no version. Without
    `limits` the defaults of the settings hold. Raise InvalidRequestError.
    """
    _check(name, scopes, expires_at)
    own = token_limits.checked(limits or TokenLimits())
    secret, prefix, digest = fresh_secret()
    token = ApiToken(
        name=name,
        prefix=prefix,
        token_hash=digest,
        scopes=sorted(set(scopes)),
        created_by=actor,
        expires_at=expires_at,
        **own.columns,
    )
    with transaction.atomic():
        token.save(force_insert=True)
        token_pins.add(token=token, pins=pins or {}, actor=actor)
        details = {"id": str(token.id), "prefix": token.prefix, "scopes": token.scopes}
        details |= {"pins": dict(pins)} if pins else {}
        details |= {"limits": own.given} if own.given else {}
        audit.append(actor=actor, action="token.create", object=name, details=details)
    return token, secret


def authenticate(*, secret: str) -> ApiToken | None:
    """Return the usable token with this secret, or None."""
    # The secret has 256 random bits, so the time of a lookup by its hash reveals nothing.
    digest = _digest(secret)
    token = _BY_HASH.first(token_hash=digest)
    if token is not None:
        return _used(token, "last_used_at") if token.usable else None
    now = timezone.now()
    old = ApiToken.objects.filter(previous_hash=digest, previous_until__gt=now)
    token = old.exclude(previous_hash="").first()
    return _used(token, "previous_used_at") if token is not None and token.usable else None


def fresh_secret() -> tuple[str, str, str]:
    """Return a new secret, its prefix to show, and its hash to store."""
    secret = f"stn_{secrets.token_urlsafe(32)}"
    return secret, secret[:PREFIX_LENGTH], _digest(secret)


def by_prefix(*, prefix: str) -> ApiToken:
    """Return the only usable token with this prefix. Raise UnknownTokenError otherwise."""
    rows = ApiToken.objects.filter(prefix=prefix, revoked_at__isnull=True)
    found = [token for token in rows if token.usable]
    if len(found) != 1:
        message = f"{len(found) or 'No'} usable tokens begin with {prefix[:40]!r}."
        raise UnknownTokenError(message)
    return found[0]


def revoke(*, token_id: uuid.UUID, actor: str) -> ApiToken:
    """Revoke a token permanently; a second call has no effect."""
    with transaction.atomic():
        token = ApiToken.objects.select_for_update().filter(id=token_id).first()
        if token is None:
            message = "There is no such token."
            raise UnknownTokenError(message)
        if token.revoked_at is None:
            token.revoked_at = timezone.now()
            token.save(update_fields=["revoked_at"])
            details = {"id": str(token.id), "prefix": token.prefix}
            audit.append(actor=actor, action="token.revoke", object=token.name, details=details)
    return token


def _used(token: ApiToken, field: str) -> ApiToken:
    """Record the use of a token at most once a minute, so that few reads cost a write."""
    now, before = timezone.now(), getattr(token, field)
    if before is None or now - before > USED_RESOLUTION:
        ApiToken.objects.filter(id=token.id).update(**{field: now})
    return token


def _check(name: str, scopes: Sequence[str], expires_at: datetime | None) -> None:
    problems: list[Field] = []
    if not _NAME.fullmatch(name):
        text = "Give 1 to 100 letters, digits, spaces or any of . _ @ + -"
        problems.append(Field(path="name", message=text))
    elif actors.stands_for_system(name, local=True):
        problems.append(Field(path="name", message=actors.SAYS))
    unknown = sorted(set(scopes) - set(Scope.values))
    if unknown or not scopes:
        text = f"Choose at least one of {', '.join(Scope.values)}."
        problems.append(Field(path="scopes", message=text))
    if expires_at is not None and expires_at <= timezone.now():
        problems.append(Field(path="expires_at", message="The time has passed already."))
    if problems:
        raise InvalidRequestError(problems)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
