"""Views of doors: one method each, closed by the setting, errors in the shape of the door."""

import functools
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from execapp import doors
from execapp.api.http import error_replies, shapes, views
from execapp.api.http.deferred import DeferredResponse

View = Callable[..., HttpResponseBase]


def served(door: str, **by_method: View) -> View:
    """Return the view of an address: `by_method` has its view for GET, POST, DELETE."""

    def checked(request: HttpRequest, **parts: str) -> HttpResponseBase:
        if not doors.is_open(door):
            return error_replies.not_found(request)
        view = by_method.get(request.method or "")
        if view is None:
            wrong = HttpResponse(status=405)
            wrong["Allow"] = ", ".join(by_method)
            return wrong
        return view(request, **parts)

    shaped = views.one_shape(checked)

    @functools.wraps(shaped)
    def answered(request: HttpRequest, **parts: str) -> HttpResponseBase:
        response = shaped(request, **parts)
        if isinstance(response, DeferredResponse):
            response.reshape = functools.partial(shapes.reshape, request.path_info)
        return shapes.reshape(request.path_info, response)

    return answered


def elsewhere(door: str) -> View:
    """Return the view of every other address of a door: 404."""

    def missing(request: HttpRequest) -> HttpResponse:
        return error_replies.not_found(request)

    return served(door, **dict.fromkeys(("GET", "POST", "PUT", "PATCH", "DELETE"), missing))
