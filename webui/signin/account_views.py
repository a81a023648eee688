"""The user's own account: password, second factor, sessions."""

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from webui.signin import roles, sessions


@require_safe
@never_cache
@login_required
def index(request: HttpRequest) -> HttpResponse:
    """Show the account; also to users without a role."""
    user = request.user
    assert isinstance(user, User)  # noqa: S101 - login_required
    rows = list(Authenticator.objects.filter(user=user).order_by("created_at"))
    codes = next((row.wrap() for row in rows if row.type == "recovery_codes"), None)
    context = {
        "role": roles.of(user),
        "app": next((row for row in rows if row.type == "totp"), None),
        "passkeys": [row.wrap() for row in rows if row.type == "webauthn"],
        "codes_left": len(codes.get_unused_codes()) if codes else None,
        "sessions": sessions.of(user),
        "this_session": request.session.session_key,
        "oidc": bool(settings.STENCIL_OIDC_ISSUER),
    }
    return render(request, "signin/account.html", context)


@require_POST
@login_required
def end_sessions(request: HttpRequest) -> HttpResponseRedirect:
    """End all sessions but this one."""
    user = request.user
    assert isinstance(user, User)  # noqa: S101 - login_required
    count = sessions.end(user, but=request.session.session_key)
    messages.success(request, _ended(count), extra_tags="ok")
    return redirect("account")


def _ended(count: int) -> str:
    if not count:
        return "There were no other sessions."
    return f"Signed out of {count} other {'session' if count == 1 else 'sessions'}."
