"""Tokens and users as their pages show them: one page of each list, one row, its latest events."""

import uuid
from typing import Any

from allauth.mfa.models import Authenticator
from django.contrib.auth.models import User
from django.db.models import CharField, Exists, OuterRef, Prefetch, Q, QuerySet
from django.db.models.functions import Cast
from django.utils import timezone

from core.pagination import IDENTIFIER, TEXT, Order, Page, paginate
from execapp.errors import UnknownTokenError
from execapp.models import ApiToken, TokenPin
from execapp.services import token_limits, usage_reports
from templatemgr.models import AuditEvent
from webui.access.users import UnknownUserError
from webui.shell import charts
from webui.signin import roles

PAGE = 50
LATEST_EVENTS = 10
TOKEN_STATES = ("usable", "unused", "expired", "revoked")
NEWEST_TOKENS = Order(("-id",), cursor=IDENTIFIER)  # ids sort by the time they were made
BY_NAME = Order(("username",), cursor=TEXT)


def tokens(*, q: str = "", scope: str = "", state: str = "", before: str = "") -> Page[ApiToken]:
    """Return one page of tokens, newest first.

    `q` is a part of the name, or the beginning of the secret. A damaged `before` is ignored.
    """
    rows = _tokens_in_state(state)
    if q:
        rows = rows.filter(Q(name__icontains=q) | Q(prefix=q[:10]))
    if scope:
        text = Cast("scopes", CharField())
        rows = rows.alias(scope_text=text).filter(scope_text__contains=f'"{scope}"')
    pins = Prefetch("pins", TokenPin.objects.select_related("template", "version"))
    cursor = NEWEST_TOKENS.cursor_or_none(before)
    return paginate(rows.prefetch_related(pins), NEWEST_TOKENS, cursor=cursor, limit=PAGE)


def token(*, token_id: uuid.UUID) -> ApiToken:
    """Return a token. Raises UnknownTokenError."""
    found = ApiToken.objects.filter(id=token_id).first()
    if found is None:
        message = "There is no such token."
        raise UnknownTokenError(message)
    return found


def token_events(found: ApiToken) -> QuerySet[AuditEvent]:
    """Return the latest events about a token, newest first."""
    events = AuditEvent.objects.filter(object=found.name, action__startswith="token.")
    return events.order_by("-sequence")[:LATEST_EVENTS]


def usage_context(found: ApiToken) -> dict[str, Any]:
    """Return the context of a token's usage in the last 30 days: charts, rows and sums."""
    days = usage_reports.last_days(found)
    times = [str(day.key)[5:] for day in days]
    limit = token_limits.cpu_limit(found)
    return {
        "usage_days": [day for day in reversed(days) if day.executions],
        "usage_executions": sum(day.executions for day in days),
        "usage_cpu_ms": sum(day.cpu_ms for day in days),
        "usage_limit": limit,
        "usage_ended": charts.columns([("ok", [float(day.executions) for day in days])], times),
        "usage_cpu": charts.columns(
            [("ok", [day.cpu_ms / 1000 for day in days])], times, unit=" s", limit=limit
        ),
    }


def users(*, q: str = "", role: str = "", state: str = "", after: str = "") -> Page[User]:
    """Return one page of users by name, each with `second_factor`.

    `q` is a part of the name or of the email address. `state` is "active" or "deactivated".
    """
    rows = _with_second_factor().prefetch_related("groups")
    if q:
        rows = rows.filter(Q(username__icontains=q) | Q(email__icontains=q))
    if role == "none":
        rows = rows.exclude(groups__name__in=roles.NAMES).exclude(is_superuser=True)
    elif role:
        highest = Q(groups__name=role)
        rows = rows.filter(highest | Q(is_superuser=True) if role == roles.ADMIN else highest)
    if state:
        rows = rows.filter(is_active=state == "active")
    return paginate(rows.distinct(), BY_NAME, cursor=after, limit=PAGE)


def user(*, user_id: int) -> User:
    """Return a user with `second_factor`. Raises UnknownUserError."""
    found = _with_second_factor().filter(pk=user_id).first()
    if found is None:
        message = "There is no such user."
        raise UnknownUserError(message)
    return found


def user_events(found: User) -> QuerySet[AuditEvent]:
    """Return the latest events that a user caused, newest first."""
    events = AuditEvent.objects.filter(actor=found.username)
    return events.order_by("-sequence")[:LATEST_EVENTS]


def _with_second_factor() -> QuerySet[User]:
    factor = Authenticator.objects.filter(user=OuterRef("pk")).exclude(type="recovery_codes")
    return User.objects.annotate(second_factor=Exists(factor))


def _tokens_in_state(state: str) -> QuerySet[ApiToken]:
    now, rows = timezone.now(), ApiToken.objects.all()
    expired = Q(expires_at__isnull=False, expires_at__lte=now)
    if state == "revoked":
        return rows.filter(revoked_at__isnull=False)
    if state == "expired":
        return rows.filter(expired, revoked_at__isnull=True)
    if state in {"usable", "unused"}:
        rows = rows.filter(~expired, revoked_at__isnull=True)
    return rows.filter(last_used_at__isnull=True) if state == "unused" else rows
