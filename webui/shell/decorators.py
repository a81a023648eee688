"""Decorators of views: required permission, allowed methods, errors of services.

Each view of the dashboard has one of these:

    @decorators.page                                   a page for every role
    @decorators.page_for("webui.view_system")          a page that needs a permission
    @decorators.form("execapp.manage_tokens")          a page with a form
    @decorators.change("templatemgr.promote_version")  a change: POST alone

Templates check the same permissions by codename: `{% if may.promote_version %}`. A visitor who is
not signed in is redirected to the sign-in page; a user without the permission gets status 403.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Concatenate

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache

from execapp.errors import (
    ExecutionError,
    UnknownDeliveryError,
    UnknownExecutionError,
    UnknownFileError,
    UnknownTokenError,
)
from templatemgr.errors import (
    ExportError,
    TemplateError,
    UnavailableError,
    UnknownBuildError,
    UnknownTemplateError,
    UnknownVersionError,
)
from webui.http import HtmxHttpRequest
from webui.shell import error_pages
from webui.signin import freshness, roles, sessions

type View[**P] = Callable[Concatenate[HtmxHttpRequest, P], HttpResponseBase]

UNKNOWN = (
    UnknownTemplateError,
    UnknownVersionError,
    UnknownBuildError,
    UnknownExecutionError,
    UnknownFileError,
    UnknownDeliveryError,
    UnknownTokenError,
)


def page[**P](view: View[P]) -> View[P]:
    """Make a page for users with any role. An unknown object becomes status 404."""
    return page_for(roles.LOOK)(view)


def page_for[**P](permission: str) -> Callable[[View[P]], View[P]]:
    """Make a page for users with `permission`."""

    def decorate(view: View[P]) -> View[P]:
        return _only(("GET", "HEAD"), _for(permission, view))

    return decorate


def form[**P](permission: str, *, fresh: bool = False) -> Callable[[View[P]], View[P]]:
    """Make a page with a form, which no cache keeps. `fresh` holds for its POST, as in `change`."""

    def decorate(view: View[P]) -> View[P]:
        guarded = never_cache(_for(permission, view, fresh=fresh))
        return _only(("GET", "HEAD", "POST"), guarded)

    return decorate


def change[**P](permission: str, *, fresh: bool = False) -> Callable[[View[P]], View[P]]:
    """Make a change: POST only, for users with `permission`.

    With `fresh` and STENCIL_FRESH_SIGNIN_SECONDS, a user with an older sign-in is asked for a
    factor again; then the change continues with the posted data.
    """

    def decorate(view: View[P]) -> View[P]:
        return _only(("POST",), _for(permission, view, fresh=fresh))

    return decorate


def may(request: HttpRequest, permission: str) -> bool:
    """Return whether the user of the request has `permission`."""
    return roles.allowed(request.user, permission)


def actor(request: HttpRequest) -> str:
    """Return the name under which the user's actions are recorded."""
    return request.user.get_username()


def done(request: HttpRequest, text: str) -> None:
    """Show a message of success on the next page."""
    messages.success(request, text, extra_tags="ok")


def redirect_whole_page(request: HtmxHttpRequest, answer: HttpResponseRedirect) -> HttpResponseBase:
    """Redirect the whole page, also for a request of htmx."""
    return freshness.redirect_whole_page(request, answer["Location"])


def refuse(
    request: HttpRequest, error: TemplateError | ExecutionError, to: str, *args: object
) -> HttpResponseRedirect:
    """Redirect to the page named `to` and show the error there; an unknown object stays a 404."""
    if isinstance(error, UNKNOWN):
        raise error
    messages.error(request, error.message, extra_tags="bad")
    return redirect(to, *args)


def _only[**P](methods: Sequence[str], view: View[P]) -> View[P]:
    """Answer every other method with status 405, before any check of the user."""

    @wraps(view)
    def answered(
        request: HtmxHttpRequest, /, *args: P.args, **kwargs: P.kwargs
    ) -> HttpResponseBase:
        if request.method not in methods:
            return error_pages.wrong_method(request, methods)
        return view(request, *args, **kwargs)

    return answered


def _for[**P](permission: str, view: View[P], *, fresh: bool = False) -> View[P]:
    if permission not in roles.KNOWN:
        message = f"No role holds {permission!r}: see webui/signin/roles.py."
        raise LookupError(message)

    # Tests and commands read here the permission that an address needs.
    view.__dict__["permission"] = permission

    @wraps(view)
    def guarded(request: HtmxHttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return _to_sign_in(request)
        if request.method == "POST" or request.htmx:
            sessions.seen(request)
        if not may(request, permission):
            raise PermissionDenied(_lacking(request, permission))
        if fresh and request.method == "POST" and not freshness.is_fresh(request):
            return freshness.reauthenticate(request)
        try:
            return view(request, *args, **kwargs)
        except UNKNOWN as error:
            raise Http404(error.message) from error
        except (UnavailableError, ExportError) as error:
            return error_pages.unreadable(request, error.message)

    return guarded


def _to_sign_in(request: HtmxHttpRequest) -> HttpResponseBase:
    """Redirect to the sign-in page, which leads back to the page that the browser shows."""
    part = request.method == "POST" or request.htmx
    back = freshness.shown_page(request) if part else request.get_full_path()
    return freshness.redirect_whole_page(request, redirect_to_login(back)["Location"])


def _lacking(request: HttpRequest, permission: str) -> str:
    if not may(request, roles.LOOK):
        return "You have no role here yet. Ask an admin for a role."
    return f"This needs the role {roles.least(permission)}. Ask an admin for it."
