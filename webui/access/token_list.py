"""What the tokens' pages show: tokens by page, found by name, scope and state."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import CharField, Prefetch, Q, QuerySet
from django.db.models.functions import Cast
from django.utils import timezone

from core import parsing
from execapp.errors import UnknownTokenError
from execapp.models import ApiToken, TokenPin

PAGE = 50
STATES = ("usable", "unused", "expired", "revoked")


@dataclass(frozen=True, kw_only=True)
class Page:
    """Tokens, the newest first; `next` is the id to go on below, or None."""

    tokens: Sequence[ApiToken]
    next: uuid.UUID | None


def page(*, q: str = "", scope: str = "", state: str = "", before: str = "") -> Page:
    """Return tokens whose name contains `q` or whose secret begins so. Ids sort by time."""
    rows = _in_state(state)
    if q:
        rows = rows.filter(Q(name__icontains=q) | Q(prefix=q[:10]))
    if scope:
        text = Cast("scopes", CharField())
        rows = rows.alias(scope_text=text).filter(scope_text__contains=f'"{scope}"')
    below = parsing.identifier_or_none(before)
    if below:
        rows = rows.filter(id__lt=below)
    pins = Prefetch("pins", TokenPin.objects.select_related("template", "version"))
    found = list(rows.prefetch_related(pins).order_by("-id")[: PAGE + 1])
    return Page(tokens=found[:PAGE], next=found[PAGE - 1].id if len(found) > PAGE else None)


def get(*, token_id: uuid.UUID) -> ApiToken:
    """Return a token. Raises UnknownTokenError."""
    token = ApiToken.objects.filter(id=token_id).first()
    if token is None:
        message = "There is no such token."
        raise UnknownTokenError(message)
    return token


def _in_state(state: str) -> QuerySet[ApiToken]:
    now, rows = timezone.now(), ApiToken.objects.all()
    expired = Q(expires_at__isnull=False, expires_at__lte=now)
    if state == "revoked":
        return rows.filter(revoked_at__isnull=False)
    if state == "expired":
        return rows.filter(expired, revoked_at__isnull=True)
    if state in {"usable", "unused"}:
        rows = rows.filter(~expired, revoked_at__isnull=True)
    return rows.filter(last_used_at__isnull=True) if state == "unused" else rows
