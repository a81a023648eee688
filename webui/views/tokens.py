"""API tokens: made here, shown once, revoked for good."""

import uuid
from datetime import timedelta

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache

from execapp.errors import InvalidRequestError
from execapp.models import ApiToken, Scope
from execapp.services import tokens
from webui.views import guards

SHOWN = 200
MOST_DAYS = 3650


@never_cache
def index(request: HttpRequest) -> HttpResponse:
    """The list, and on POST a new token whose secret is on the page this once."""
    view = create if request.method == "POST" else listing
    return view(request)  # type: ignore[return-value]


@guards.page
def listing(request: HttpRequest) -> HttpResponse:
    """Every token, newest first."""
    if not guards.may_change(request.user):
        raise PermissionDenied
    return _render(request)


@guards.change
def create(request: HttpRequest) -> HttpResponse:
    """Make a token. What is wrong comes back beside its field, with what was typed."""
    scopes = request.POST.getlist("scopes")
    days = request.POST.get("days", "").strip()
    problems: dict[str, str] = {}
    if days and not (days.isascii() and days.isdecimal() and 0 < int(days[:9]) <= MOST_DAYS):
        problems["days"] = f"Give a number of days from 1 to {MOST_DAYS}, or leave it empty."
        return _render(request, problems=problems, status=422)
    expires = timezone.now() + timedelta(days=int(days)) if days else None
    name = request.POST.get("name", "").strip()
    try:
        token, secret = tokens.create(
            name=name, scopes=scopes, actor=guards.actor(request), expires_at=expires
        )
    except InvalidRequestError as error:
        problems = {problem.path: problem.message for problem in error.fields}
        return _render(request, problems=problems, status=422)
    return _render(request, made=token, secret=secret)


@guards.change
def revoke(request: HttpRequest, token_id: uuid.UUID) -> HttpResponse:
    """Make a token unusable."""
    token = tokens.revoke(token_id=token_id, actor=guards.actor(request))
    guards.done(request, f"{token.name} ({token.prefix}…) is revoked and will not be accepted.")
    return redirect("tokens")


def _render(
    request: HttpRequest,
    *,
    problems: dict[str, str] | None = None,
    made: ApiToken | None = None,
    secret: str = "",
    status: int = 200,
) -> HttpResponse:
    context = {
        "tokens": ApiToken.objects.order_by("-created_at", "-id")[:SHOWN],
        "scopes": [(scope.value, SCOPES[scope]) for scope in Scope],
        "chosen": request.POST.getlist("scopes") or [Scope.EXECUTE, Scope.READ],
        "typed": request.POST if problems else {},
        "problems": problems or {},
        "made": made,
        "secret": secret,
    }
    return render(request, "webui/tokens/index.html", context, status=status)


SCOPES = {
    Scope.EXECUTE: "submit and cancel executions",
    Scope.READ: "read its own executions, and templates",
    Scope.TEMPLATES: "build, promote, pin and roll back templates",
    Scope.ADMIN: "see and do everything",
}
