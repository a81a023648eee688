"""Who may look, who may change, and how a refusal of a service reaches the page.

Every view of the dashboard wears one of these:

    @guards.page                                   anybody with a role looks
    @guards.page_for("webui.view_system")          a page that asks for more
    @guards.form("execapp.manage_tokens")          a page that is posted to itself
    @guards.change("templatemgr.promote_version")  a change: POST alone

Templates ask the same permissions by codename: `{% if may.promote_version %}`. Who is not signed
in is sent to the sign-in page, who may not gets a 403, and nothing happens.
"""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate
from urllib.parse import urlsplit, urlunsplit

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from execapp.errors import ExecutionError, UnknownExecutionError, UnknownTokenError
from templatemgr.errors import (
    TemplateError,
    UnknownBuildError,
    UnknownTemplateError,
    UnknownVersionError,
)
from webui import roles

type View[**P] = Callable[Concatenate[HttpRequest, P], HttpResponseBase]

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
        return require_safe(_for(permission, view))

    return decorate


def form[**P](permission: str) -> Callable[[View[P]], View[P]]:
    """A page that is posted to itself, never kept by a cache."""

    def decorate(view: View[P]) -> View[P]:
        return require_http_methods(["GET", "HEAD", "POST"])(never_cache(_for(permission, view)))

    return decorate


def change[**P](permission: str) -> Callable[[View[P]], View[P]]:
    """A change: POST only, by those who hold `permission`."""

    def decorate(view: View[P]) -> View[P]:
        return require_POST(_for(permission, view))

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


def refuse(
    request: HttpRequest, error: TemplateError | ExecutionError, to: str, *args: object
) -> HttpResponseRedirect:
    """Say on the page named `to` why nothing happened; what does not exist stays a 404."""
    if isinstance(error, UNKNOWN):
        raise error
    messages.error(request, error.message, extra_tags="bad")
    return redirect(to, *args)


def _for[**P](permission: str, view: View[P]) -> View[P]:
    if permission not in roles.KNOWN:
        message = f"No role holds {permission!r}: see webui/roles.py."
        raise LookupError(message)

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return _to_sign_in(request)
        if not may(request, permission):
            raise PermissionDenied(_lacking(request, permission))
        try:
            return view(request, *args, **kwargs)
        except UNKNOWN as error:
            raise Http404(error.message) from error

    return guarded


def _to_sign_in(request: HttpRequest) -> HttpResponseBase:
    """Off to the sign-in page, which leads back to the page that the browser shows now."""
    back = request.get_full_path()
    if request.method == "POST" or request.headers.get("HX-Request"):
        shown = request.headers.get("HX-Current-URL") or request.headers.get("Referer", "")
        host = {request.get_host()}
        known = url_has_allowed_host_and_scheme(shown, allowed_hosts=host)
        back = urlunsplit(("", "", *urlsplit(shown)[2:4], "")) if known else "/"
    answer = redirect_to_login(back)
    if request.headers.get("HX-Request"):  # a redirect would put that page into a part of this one
        return HttpResponse(headers={"HX-Redirect": answer["Location"]})
    return answer


def _lacking(request: HttpRequest, permission: str) -> str:
    if not may(request, roles.LOOK):
        return "You have no role here yet. Ask an admin for one."
    return f"This needs the role {roles.least(permission)}. Ask an admin for it."
