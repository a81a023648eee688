"""Pages of API tokens: list, create, rotate, pin, revoke."""

import uuid
from datetime import timedelta
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.utils import timezone

from execapp.deliveries import signing_secrets
from execapp.errors import InvalidRequestError
from execapp.models import ApiToken
from execapp.services import rotation, token_limits, token_pins, tokens
from webui.access import queries
from webui.access.forms import (
    SCOPES,
    LimitsForm,
    NewTokenForm,
    PinsForm,
    RotateForm,
    TokenFilters,
)
from webui.audit_log import event_text
from webui.shell import decorators, fields


@decorators.form("execapp.manage_tokens", fresh=True)
def index(request: HttpRequest) -> HttpResponse:
    """List the tokens, or make one. Only this reply shows the secret of the new token."""
    if request.method != "POST":
        return _page(request, NewTokenForm(auto_id="t-%s"))
    form = NewTokenForm(request.POST, auto_id="t-%s")
    if not form.is_valid():
        return _page(request, form)
    chosen = form.cleaned_data
    days = chosen["days"]
    try:
        token, secret = tokens.create(
            name=chosen["name"],
            scopes=chosen["scopes"],
            actor=decorators.actor(request),
            expires_at=timezone.now() + timedelta(days=days) if days else None,
            pins=chosen["pins"],
            limits=form.limits,
        )
    except InvalidRequestError as error:
        fields.add_errors(form, error, {"expires_at": "days"})
        return _page(request, form)
    return _page(request, NewTokenForm(auto_id="t-%s"), made=token, secret=secret)


@decorators.page_for("execapp.manage_tokens")
def detail(request: HttpRequest, token_id: uuid.UUID) -> HttpResponse:
    """Show one token: its scopes, its maker, its use and its latest events."""
    return _detail(request, queries.token(token_id=token_id))


@decorators.form("execapp.manage_tokens", fresh=True)
def rotate(request: HttpRequest, token_id: uuid.UUID) -> HttpResponse:
    """Give a token a new secret. Only this reply shows it."""
    if request.method != "POST":
        return redirect("token", token_id)
    form = RotateForm(request.POST)
    if not form.is_valid():
        return _refused(request, form, queries.token(token_id=token_id))
    try:
        token, secret = rotation.rotate(
            token_id=token_id,
            actor=decorators.actor(request),
            grace=timedelta(hours=form.cleaned_data["grace"]),
        )
    except InvalidRequestError as error:
        return decorators.refuse(request, error, "token", token_id)
    return _detail(request, token, secret=secret)


@decorators.change("execapp.manage_tokens", fresh=True)
def end_grace(request: HttpRequest, token_id: uuid.UUID) -> HttpResponseRedirect:
    """Refuse the old secret of a rotated token from now on."""
    token = rotation.end_grace(token_id=token_id, actor=decorators.actor(request))
    decorators.done(request, f"Only {token.prefix}… works now.")
    return redirect("token", token_id)


@decorators.form("execapp.manage_tokens", fresh=True)
def signing_secret(request: HttpRequest, token_id: uuid.UUID) -> HttpResponse:
    """Show the secret that signs the callbacks of a token. The audit trail names the reader."""
    if request.method != "POST":
        return redirect("token", token_id)
    token = queries.token(token_id=token_id)
    shown = signing_secrets.reveal(
        owner=signing_secrets.owner_of_token(token.pk),
        actor=decorators.actor(request),
        name=token.name,
    )
    return _detail(request, token, signing_secret=shown.secret)


@decorators.form("execapp.manage_tokens", fresh=True)
def rotate_signing_secret(request: HttpRequest, token_id: uuid.UUID) -> HttpResponse:
    """Make a new secret for the callbacks of a token, and show it."""
    if request.method != "POST":
        return redirect("token", token_id)
    token, form = queries.token(token_id=token_id), RotateForm(request.POST)
    if not form.is_valid():
        return _refused(request, form, token)
    rotated = signing_secrets.rotate(
        owner=signing_secrets.owner_of_token(token.pk),
        grace=timedelta(hours=form.cleaned_data["grace"]),
        actor=decorators.actor(request),
        name=token.name,
    )
    return _detail(request, token, signing_secret=rotated.secret)


@decorators.change("execapp.manage_tokens", fresh=True)
def pin(request: HttpRequest, token_id: uuid.UUID) -> HttpResponseRedirect:
    """Replace the pins of a token; an empty form removes all of them."""
    token = queries.token(token_id=token_id)
    form = PinsForm(request.POST)
    if not form.is_valid():
        return _refused(request, form, token)
    wanted = form.cleaned_data["pins"]
    try:
        token_pins.replace(token=token, pins=wanted, actor=decorators.actor(request))
    except InvalidRequestError as error:
        fields.add_errors(form, error)
        return _refused(request, form, token)
    held = ", ".join(f"{name} {number}" for name, number in sorted(wanted.items()))
    text = f"is pinned: {held}" if held else "gets the current version"
    decorators.done(request, f"{token.name} {text}.")
    return redirect("token", token_id)


@decorators.change("execapp.manage_tokens", fresh=True)
def change_limits(request: HttpRequest, token_id: uuid.UUID) -> HttpResponseRedirect:
    """Replace the limits of a token; an empty field means the default."""
    token = queries.token(token_id=token_id)
    form = LimitsForm(request.POST)
    if not form.is_valid():
        return _refused(request, form, token)
    try:
        token_limits.replace_all(
            token_id=token_id, limits=form.limits, actor=decorators.actor(request)
        )
    except InvalidRequestError as error:
        fields.add_errors(form, error)
        return _refused(request, form, token)
    decorators.done(request, f"The limits of {token.name} are saved.")
    return redirect("token", token_id)


@decorators.change("execapp.manage_tokens", fresh=True)
def revoke(request: HttpRequest, token_id: uuid.UUID) -> HttpResponseRedirect:
    """Revoke a token for good."""
    token = tokens.revoke(token_id=token_id, actor=decorators.actor(request))
    decorators.done(request, f"{token.name} ({token.prefix}…) is revoked and cannot be used again.")
    return redirect("tokens")


def _refused(
    request: HttpRequest, form: PinsForm | RotateForm | LimitsForm, token: ApiToken
) -> HttpResponseRedirect:
    messages.error(request, fields.first_error(form), extra_tags="bad")
    return redirect("token", token.pk)


def _page(
    request: HttpRequest, form: NewTokenForm, *, made: ApiToken | None = None, secret: str = ""
) -> HttpResponse:
    filters = TokenFilters(request.GET, auto_id="f-%s")
    before = request.GET.get("before", "")
    page = queries.tokens(before=before, **fields.values(filters))
    kept = fields.submitted(filters)
    context = {
        "tokens": page.items,
        "older_url": f"?{urlencode(kept | {'before': page.next})}" if page.next else "",
        "newest_url": f"?{urlencode(kept)}",
        "paged": bool(before),
        "filters": filters,
        "filtered": bool(kept),
        "now": timezone.now(),
        "form": form,
        "problems": form.errors,
        "made": made,
        "secret": secret,
    }
    return render(request, "access/tokens/index.html", context, status=422 if form.errors else 200)


def _detail(
    request: HttpRequest, token: ApiToken, *, secret: str = "", signing_secret: str = ""
) -> HttpResponse:
    pinned = "".join(f"{name}@{number}\n" for name, number in token_pins.of(token=token).items())
    context = {
        "token": token,
        "now": timezone.now(),
        "scope_texts": dict(SCOPES),
        "rotate_form": RotateForm(auto_id="%s"),
        "signing_form": RotateForm(auto_id="s-%s"),
        "signing": signing_secrets.find(owner=signing_secrets.owner_of_token(token.pk)),
        "signing_secret": signing_secret,
        "limits_form": LimitsForm(
            auto_id="l-%s", initial=LimitsForm.initial_of(token_limits.of(token))
        ),
        "pins_form": PinsForm(auto_id="t-%s", initial={"pins": pinned}),
        "events": [event_text.describe(event) for event in queries.token_events(token)],
        "secret": secret,
        **queries.usage_context(token),
    }
    return render(request, "access/tokens/detail.html", context)
