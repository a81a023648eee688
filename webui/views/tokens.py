"""API tokens: listed, made and shown once, revoked."""

import uuid
from datetime import timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.utils import timezone

from execapp.errors import InvalidRequestError
from execapp.models import ApiToken, Scope
from execapp.services import tokens
from webui.views import guards

SHOWN = 200
LONGEST = 3650  # days
SCOPES = (
    (Scope.EXECUTE, "submits and cancels executions"),
    (Scope.READ, "reads its own executions, and templates"),
    (Scope.TEMPLATES, "changes templates"),
    (Scope.ADMIN, "sees and does everything"),
)


@guards.form("execapp.manage_tokens", fresh=True)
def index(request: HttpRequest) -> HttpResponse:
    """The tokens, and the form that makes one. Its secret is in the answer and nowhere else."""
    if request.method != "POST":
        return _page(request, given={"scopes": ["execute", "read"]})
    given: dict[str, Any] = {
        "name": request.POST.get("name", "").strip(),
        "scopes": request.POST.getlist("scopes"),
        "days": request.POST.get("days", "").strip(),
    }
    days = _days(given["days"])
    if days is None:
        problem = f"Give 1 to {LONGEST:,} days, or leave it empty."
        return _page(request, given=given, problems={"days": problem})
    expires = timezone.now() + timedelta(days=days) if days else None
    try:
        token, secret = tokens.create(
            name=given["name"],
            scopes=given["scopes"],
            actor=guards.actor(request),
            expires_at=expires,
        )
    except InvalidRequestError as error:
        problems = {field.path: field.message for field in error.fields}
        return _page(request, given=given, problems=problems)
    return _page(request, given={"scopes": ["execute", "read"]}, made=token, secret=secret)


@guards.change("execapp.manage_tokens", fresh=True)
def revoke(request: HttpRequest, token_id: uuid.UUID) -> HttpResponseRedirect:
    """Make a token unusable for good."""
    token = tokens.revoke(token_id=token_id, actor=guards.actor(request))
    guards.done(request, f"{token.name} ({token.prefix}…) is revoked and cannot be used again.")
    return redirect("tokens")


def _page(
    request: HttpRequest,
    *,
    given: dict[str, Any],
    problems: dict[str, str] | None = None,
    made: ApiToken | None = None,
    secret: str = "",
) -> HttpResponse:
    rows = list(ApiToken.objects.order_by("-created_at")[: SHOWN + 1])
    context = {
        "tokens": rows[:SHOWN],
        "more": len(rows) > SHOWN,
        "shown": SHOWN,
        "now": timezone.now(),
        "scopes": SCOPES,
        "given": given,
        "problems": problems or {},
        "made": made,
        "secret": secret,
    }
    return render(request, "webui/tokens.html", context, status=422 if problems else 200)


def _days(text: str) -> int | None:
    """Days until it expires, 0 for never; None when it is neither."""
    if not text:
        return 0
    known = text.isascii() and text.isdecimal() and len(text) < 6
    return int(text) if known and 1 <= int(text) <= LONGEST else None
