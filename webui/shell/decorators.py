"""Who may look, who may change, and how a refusal of a service reaches the page.

Every view of the dashboard wears one of these:

    @decorators.page                                   anybody with a role looks
    @decorators.page_for("webui.view_system")          a page that asks for more
    @decorators.form("execapp.manage_tokens")          a page that is posted to itself
    @decorators.change("templatemgr.promote_version")  a change: POST alone

Templates ask the same permissions by codename: `{% if may.promote_version %}`. Who is not signed
in is sent to the sign-in page, who may not gets a 403, and nothing happens.
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

from execapp.errors import ExecutionError, UnknownExecutionError, UnknownTokenError
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
    UnknownTokenError,
)


def page[**P](view: View[P]) -> View[P]:
    """A page for whoever has a role. What does not exist is a 404."""
    return page_for(roles.LOOK)(view)


def page_for[**P](permission: str) -> Callable[[View[P]], View[P]]:
    """A page for those who hold `permission`."""

    def decorate(view: View[P]) -> View[P]:
        return _only(("GET", "HEAD"), _for(permission, view))

    return decorate


def form[**P](permission: str, *, fresh: bool = False) -> Callable[[View[P]], View[P]]:
    """A page that is posted to itself, never kept by a cache. `fresh` is asked of its POST."""

    def decorate(view: View[P]) -> View[P]:
        guarded = never_cache(_for(permission, view, fresh=fresh))
        return _only(("GET", "HEAD", "POST"), guarded)

    return decorate


def change[**P](permission: str, *, fresh: bool = False) -> Callable[[View[P]], View[P]]:
    """A change: POST only, by those who hold `permission`.

    `fresh`: where STENCIL_FRESH_SIGNIN_SECONDS is set, only shortly after signing in. Who signed in
    longer ago proves again that it is them; then the change goes on as it was posted.
    """

    def decorate(view: View[P]) -> View[P]:
        return _only(("POST",), _for(permission, view, fresh=fresh))

    return decorate


def may(request: HttpRequest, permission: str) -> bool:
    """Whether the one who asks holds `permission`."""
    return roles.allowed(request.user, permission)


def actor(request: HttpRequest) -> str:
    """The name under which the act is recorded."""
    return request.user.get_username()


def done(request: HttpRequest, text: str) -> None:
    """Say on the next page what happened."""
    messages.success(request, text, extra_tags="ok")


def whole(request: HtmxHttpRequest, answer: HttpResponseRedirect) -> HttpResponseBase:
    """A redirect of the whole page, also where htmx would put it into a part of this one."""
    return freshness.to(request, answer["Location"])


def refuse(
    request: HttpRequest, error: TemplateError | ExecutionError, to: str, *args: object
) -> HttpResponseRedirect:
    """Say on the page named `to` why nothing happened; what does not exist stays a 404."""
    if isinstance(error, UNKNOWN):
        raise error
    messages.error(request, error.message, extra_tags="bad")
    return redirect(to, *args)


def _only[**P](methods: Sequence[str], view: View[P]) -> View[P]:
    """Any other method is a 405, whoever asks."""

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

    # Kept where tests and tools find it: which permission an address asks for.
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
            return freshness.ask(request)
        try:
            return view(request, *args, **kwargs)
        except UNKNOWN as error:
            raise Http404(error.message) from error
        except (UnavailableError, ExportError) as error:
            return error_pages.unreadable(request, error.message)

    return guarded


def _to_sign_in(request: HtmxHttpRequest) -> HttpResponseBase:
    """Off to the sign-in page, which leads back to the page that the browser shows now."""
    part = request.method == "POST" or request.htmx
    back = freshness.page_shown(request) if part else request.get_full_path()
    return freshness.to(request, redirect_to_login(back)["Location"])


def _lacking(request: HttpRequest, permission: str) -> str:
    if not may(request, roles.LOOK):
        return "You have no role here yet. Ask an admin for one."
    return f"This needs the role {roles.least(permission)}. Ask an admin for it."
