"""Views outside of the API's router, and the wrapper that gives every error one shape."""

import functools
from collections.abc import Callable
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from execapp.api.http.bodies import drain, take_chunked
from execapp.api.http.error_replies import error_reply, handle, not_found
from execapp.api.http.responses import reply
from execapp.services import health

View = Callable[..., HttpResponseBase]


def one_shape(view: View) -> View:
    """Wrap `view`: wrong methods, missing pages and exceptions get the one error shape."""

    @functools.wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        head = request.method == "HEAD"
        if head:
            request.method = "GET"
        response = _reply(view, request, *args, **kwargs)
        standing = getattr(request, "standing", None)
        for name, value in standing.headers.items() if standing else ():
            response.headers.setdefault(name, value)  # a quota that refused the request goes first
        if response.status_code >= 400:
            drain(request)
        # An internal error is logged already, with its id; Django would log the reply again.
        vars(response)["_has_been_logged"] = True
        if head and isinstance(response, HttpResponse):
            response["Content-Length"] = str(len(response.content))
            response.content = b""
        elif head and isinstance(response, StreamingHttpResponse):
            response.streaming_content = ()
        return response

    return csrf_exempt(wrapped)


def _reply(view: View, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
    try:
        take_chunked(request)
        response = view(request, *args, **kwargs)
    except Http404:
        return not_found(request)
    except Exception as error:  # noqa: BLE001 - the edge: every failure gets its reply here
        return handle(error)
    return _wrong_method(request, response) if response.status_code == 405 else response


def healthz(request: HttpRequest) -> HttpResponse:
    """Return 200: the process lives. Checks nothing else."""
    return _get_only(request) or reply({"status": "ok"})


def readyz(request: HttpRequest) -> HttpResponse:
    """Return 200 when executions can be taken, else 503 with the failing checks."""
    refused = _get_only(request)
    if refused is not None:
        return refused
    checks = health.readiness()
    shown = [{"name": check.name, "ok": check.ok, "detail": check.detail} for check in checks]
    if all(check.ok for check in checks):
        return reply({"status": "ready", "checks": shown})
    failing = ", ".join(check.name for check in checks if not check.ok)
    message, details = f"Not ready: {failing}.", {"checks": shown}
    return error_reply("not_ready", message, status=503, details=details, retry_after=5)


def missing(request: HttpRequest) -> HttpResponse:
    """Return 404 for every other address under /api."""
    return not_found(request)


def _get_only(request: HttpRequest) -> HttpResponse | None:
    if request.method == "GET":
        return None
    response = HttpResponse(status=405)
    response["Allow"] = "GET"
    return response


def _wrong_method(request: HttpRequest, response: HttpResponseBase) -> HttpResponse:
    allowed = response.get("Allow", "")
    message = f"{request.method} is not served here; {allowed} is."
    answer = error_reply("method_not_allowed", message)
    answer["Allow"] = allowed
    return answer
