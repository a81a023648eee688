"""Limits of one token: allowed templates, open executions, CPU seconds a day (decision 0042).

Requests a minute are counted by `execapp.services.request_meter`, bytes by
`execapp.services.storage`. A token without limits of its own costs no query.
"""

import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from execapp.errors import (
    Field,
    ForbiddenError,
    InvalidRequestError,
    QuotaError,
    UnknownTokenError,
)
from execapp.models import OPEN_STATES, ApiToken, Execution
from execapp.services import usage
from execapp.services.storage import until_midnight
from templatemgr import audit
from templatemgr.models import Template

MOST = {
    "requests_per_minute": 200_000,
    "open_executions": 1_000_000,
    "cpu_seconds_per_day": 100_000_000,
    "bytes_per_day": 2**50,
}
RETRY_OPEN = 1  # seconds: an open execution may end at any time


@dataclass(frozen=True, kw_only=True)
class TokenLimits:
    """The limits of a token; None: the default of the setting, or none. `templates` (): all."""

    templates: tuple[str, ...] = field(default=())
    requests_per_minute: int | None = None
    open_executions: int | None = None
    cpu_seconds_per_day: int | None = None
    bytes_per_day: int | None = None
    exclusive: bool = False

    @property
    def columns(self) -> dict[str, object]:
        """Return the columns of a token."""
        return asdict(self) | {"templates": list(self.templates)}

    @property
    def given(self) -> dict[str, object]:
        """Return what differs from a token without limits, for the audit trail."""
        return {name: value for name, value in self.columns.items() if value}


def of(token: ApiToken) -> TokenLimits:
    """Return the own limits of a token."""
    found = {name: getattr(token, name) for name in asdict(TokenLimits())}
    return TokenLimits(**found | {"templates": tuple(token.templates)})


def checked(limits: TokenLimits) -> TokenLimits:
    """Return the limits with the templates sorted. Raise InvalidRequestError."""
    problems = [
        Field(path=name, message=f"Give 1 to {most:,}, or nothing for the default.")
        for name, most in MOST.items()
        if (value := getattr(limits, name)) is not None and not 1 <= value <= most
    ]
    names = sorted(set(limits.templates))
    known = set(Template.objects.filter(name__in=names).values_list("name", flat=True))
    problems += [
        Field(path=f"templates.{name[:100]}", message=f"There is no template {name[:100]!r}.")
        for name in names
        if name not in known
    ]
    if problems:
        raise InvalidRequestError(problems)
    return replace(limits, templates=tuple(names))


def replace_all(*, token_id: uuid.UUID, limits: TokenLimits, actor: str) -> ApiToken:
    """Replace the limits of a token. Raise UnknownTokenError and InvalidRequestError."""
    limits = checked(limits)
    with transaction.atomic():
        token = ApiToken.objects.select_for_update().filter(id=token_id).first()
        if token is None:
            message = "There is no such token."
            raise UnknownTokenError(message)
        before = of(token)
        if before == limits:
            return token
        for name, value in limits.columns.items():
            setattr(token, name, value)
        token.save(update_fields=list(limits.columns))
        details = {"id": str(token.id), "from": before.given, "to": limits.given}
        audit.append(actor=actor, action="token.limits", object=token.name, details=details)
    return token


def change(*, token_id: uuid.UUID, changes: Mapping[str, Any], actor: str) -> ApiToken:
    """Replace some limits of a token, by the names of TokenLimits. Raise as `replace_all` does."""
    with transaction.atomic():
        token = ApiToken.objects.select_for_update().filter(id=token_id).first()
        before = of(token) if token is not None else TokenLimits()
        return replace_all(token_id=token_id, limits=replace(before, **changes), actor=actor)


def check_template(token: ApiToken | None, reference: str) -> None:
    """Raise ForbiddenError if the token may not run the template of a reference."""
    if token is None or not token.templates:
        return
    name = reference.partition("@")[0]
    if name not in token.templates:
        allowed = ", ".join(token.templates)
        message = f"This token may not run {name[:64]!r}; it may run {allowed}."
        details = {"template": name[:64], "templates": token.templates}
        raise ForbiddenError(message, details=details)


def admit(token: ApiToken | None) -> None:
    """Check the open executions and the CPU time, in the transaction that inserts an execution.

    Raise QuotaError.
    """
    if token is None:
        return
    most, seconds = open_limit(token), cpu_limit(token)
    if most is not None:
        # The UPDATE locks the token's row until the commit, so that no other submission of this
        # token counts meanwhile. SQLite has one writer anyway.
        ApiToken.objects.filter(id=token.id).update(open_executions=F("open_executions"))
        found = open_now(token)
        if found >= most:
            message = f"{found} executions of this token are open, and {most} may be: wait for one."
            raise _refusal(message, "open_executions", most, RETRY_OPEN)
    if seconds is not None and usage.cpu_ms_today(token.id) >= seconds * 1000:
        message = (
            f"The executions of this token have used their {seconds:,} CPU seconds of today; "
            "submit again tomorrow (UTC)."
        )
        raise _refusal(message, "cpu_seconds_per_day", seconds, until_midnight(timezone.now()))


def open_limit(token: ApiToken) -> int | None:
    """Return how many executions of a token may be queued or running; None: no limit."""
    return token.open_executions or settings.STENCIL_TOKEN_OPEN_EXECUTIONS or None


def cpu_limit(token: ApiToken) -> int | None:
    """Return the CPU seconds a day of a token; None: no limit."""
    return token.cpu_seconds_per_day or settings.STENCIL_TOKEN_CPU_SECONDS_PER_DAY or None


def open_now(token: ApiToken) -> int:
    """Return how many executions of a token are queued or running."""
    rows = Execution.objects.filter(state__in=OPEN_STATES, client=token.name, token=token)
    return rows.count()


def standing(token: ApiToken) -> tuple[dict[str, int | None], dict[str, int | None]]:
    """Return the limits in force of a token besides requests and bytes, and the rest of them."""
    most, seconds = open_limit(token), cpu_limit(token)
    limits = {"open_executions": most, "cpu_seconds_per_day": seconds}
    left: dict[str, int | None] = {"open_executions": None, "cpu_seconds": None}
    if most is not None:
        left["open_executions"] = max(0, most - open_now(token))
    if seconds is not None:
        left["cpu_seconds"] = max(0, seconds * 1000 - usage.cpu_ms_today(token.id)) // 1000
    return limits, left


def _refusal(message: str, name: str, limit: int, retry_after: int) -> QuotaError:
    error = QuotaError(message, details={"limit_name": name, "limit": limit, "left": 0})
    error.retry_after = retry_after
    return error
