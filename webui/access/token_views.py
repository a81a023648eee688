"""API tokens: found, made and shown once, rotated, revoked."""

import uuid
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.utils import timezone

from core import parsing
from execapp.errors import InvalidRequestError
from execapp.models import ApiToken, Scope
from execapp.services import pins, rotation, tokens
from templatemgr.models import AuditEvent
from webui.access import token_list as listing
from webui.audit_log import event_text
from webui.shell import decorators

LONGEST = 3650  # days
LATELY = 10
FILTERS = ("q", "scope", "state")
SCOPES = (
    (Scope.EXECUTE, "submits and cancels executions"),
    (Scope.READ, "reads its own executions, and templates"),
    (Scope.TEMPLATES, "changes templates"),
    (Scope.ADMIN, "sees and does everything"),
)
GRACES = (
    (0, "at once"),
    (1, "in an hour"),
    (24, "in a day"),
    (168, "in a week"),
    (720, "in 30 days"),
)  # hours


@decorators.form("execapp.manage_tokens", fresh=True)
def index(request: HttpRequest) -> HttpResponse:
    """The tokens, and the form that makes one. Its secret is in the answer and nowhere else."""
    if request.method != "POST":
        return _page(request, given={"scopes": ["execute", "read"]})
    given: dict[str, Any] = {
        "name": request.POST.get("name", "").strip(),
        "scopes": request.POST.getlist("scopes"),
        "days": request.POST.get("days", "").strip(),
        "pins": request.POST.get("pins", "").strip(),
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
            actor=decorators.actor(request),
            expires_at=expires,
            pins=pins.parse(given["pins"].split()),
        )
    except InvalidRequestError as error:
        problems = {field.path.partition(".")[0]: field.message for field in error.fields}
        return _page(request, given=given, problems=problems)
    return _page(request, given={"scopes": ["execute", "read"]}, made=token, secret=secret)


@decorators.page_for("execapp.manage_tokens")
def detail(request: HttpRequest, token_id: uuid.UUID) -> HttpResponse:
    """One token: what it may, who made it, how it is used, what was done to it."""
    return _detail(request, listing.get(token_id=token_id))


@decorators.form("execapp.manage_tokens", fresh=True)
def rotate(request: HttpRequest, token_id: uuid.UUID) -> HttpResponse:
    """A new secret, shown in the answer and nowhere else."""
    if request.method != "POST":
        return redirect("token", token_id)
    hours = parsing.whole_or_none(request.POST.get("grace"), most=99_999)
    try:
        token, secret = rotation.rotate(
            token_id=token_id,
            actor=decorators.actor(request),
            grace=timedelta(hours=-1 if hours is None else hours),
        )
    except InvalidRequestError as error:
        return decorators.refuse(request, error, "token", token_id)
    return _detail(request, token, secret=secret)


@decorators.change("execapp.manage_tokens", fresh=True)
def end_grace(request: HttpRequest, token_id: uuid.UUID) -> HttpResponseRedirect:
    """Everybody has the new secret: refuse the old one."""
    token = rotation.end_grace(token_id=token_id, actor=decorators.actor(request))
    decorators.done(request, f"Only {token.prefix}… works now.")
    return redirect("token", token_id)


@decorators.change("execapp.manage_tokens", fresh=True)
def pin(request: HttpRequest, token_id: uuid.UUID) -> HttpResponseRedirect:
    """Which versions this client gets when it names none; an empty form unpins it."""
    token = listing.get(token_id=token_id)
    try:
        wanted = pins.parse(request.POST.get("pins", "").split())
        pins.replace(token=token, pins=wanted, actor=decorators.actor(request))
    except InvalidRequestError as error:
        messages.error(request, error.fields[0].message, extra_tags="bad")
        return redirect("token", token_id)
    held = ", ".join(f"{name} {number}" for name, number in sorted(wanted.items()))
    said = f"is pinned: {held}" if held else "gets what is current"
    decorators.done(request, f"{token.name} {said}.")
    return redirect("token", token_id)


@decorators.change("execapp.manage_tokens", fresh=True)
def revoke(request: HttpRequest, token_id: uuid.UUID) -> HttpResponseRedirect:
    """Make a token unusable for good."""
    token = tokens.revoke(token_id=token_id, actor=decorators.actor(request))
    decorators.done(request, f"{token.name} ({token.prefix}…) is revoked and cannot be used again.")
    return redirect("tokens")


def _page(
    request: HttpRequest,
    *,
    given: dict[str, Any],
    problems: dict[str, str] | None = None,
    made: ApiToken | None = None,
    secret: str = "",
) -> HttpResponse:
    wanted = {name: request.GET.get(name, "").strip() for name in FILTERS}
    before = request.GET.get("before", "")
    found = listing.page(before=before, **wanted)
    kept = {name: value for name, value in wanted.items() if value}
    context = {
        "tokens": found.tokens,
        "older_url": f"?{urlencode(kept | {'before': str(found.next)})}" if found.next else "",
        "newest_url": f"?{urlencode(kept)}",
        "paged": bool(before),
        "wanted": wanted,
        "filtered": bool(kept),
        "states": listing.STATES,
        "now": timezone.now(),
        "scopes": SCOPES,
        "given": given,
        "problems": problems or {},
        "made": made,
        "secret": secret,
    }
    return render(request, "access/tokens/index.html", context, status=422 if problems else 200)


def _detail(request: HttpRequest, token: ApiToken, *, secret: str = "") -> HttpResponse:
    events = AuditEvent.objects.filter(object=token.name, action__startswith="token.")
    context = {
        "token": token,
        "now": timezone.now(),
        "means": dict(SCOPES),
        "graces": GRACES,
        "acts": [event_text.describe(event) for event in events.order_by("-sequence")[:LATELY]],
        "secret": secret,
        "pins": pins.of(token=token),
    }
    return render(request, "access/tokens/detail.html", context)


def _days(text: str) -> int | None:
    """Days until it expires, 0 for never; None when it is neither."""
    if not text:
        return 0
    return parsing.whole_or_none(text, least=1, most=LONGEST)
