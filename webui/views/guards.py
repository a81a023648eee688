"""Who may look, who may change, and how a refusal of a service reaches the page."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from execapp.errors import ExecutionError, UnknownExecutionError, UnknownTokenError
from templatemgr.errors import (
    TemplateError,
    UnknownBuildError,
    UnknownTemplateError,
    UnknownVersionError,
)

type View[**P] = Callable[Concatenate[HttpRequest, P], HttpResponseBase]

UNKNOWN = (
    UnknownTemplateError,
    UnknownVersionError,
    UnknownBuildError,
    UnknownExecutionError,
    UnknownTokenError,
)


def page[**P](view: View[P]) -> View[P]:
    """A page for whoever is signed in. What does not exist is a 404."""
    return require_safe(login_required(_found(view)))


def change[**P](view: View[P]) -> View[P]:
    """A change: POST only, by somebody who may. Others get a 403, and nothing happens."""

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if not may_change(request.user):
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return require_POST(login_required(_found(guarded)))


def may_change(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Whether this user may do more than look."""
    return bool(
        user.is_active
        and (getattr(user, "is_staff", False) or getattr(user, "is_superuser", False))
    )


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


def _found[**P](view: View[P]) -> View[P]:
    @wraps(view)
    def found(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        try:
            return view(request, *args, **kwargs)
        except UNKNOWN as error:
            raise Http404(error.message) from error

    return found
