"""Django's WSGI handler, which refuses a head that Django cannot parse.

Django parses a head before it calls the first middleware. An exception there would be a reply 500
without a text.
"""

from collections.abc import Callable
from typing import Any

from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from execapp.api.http.error_replies import error_reply

ROUTE = "stencil.route"  # the key in the environment of the pattern that the address matched


class UnreadableHeadError(Exception):
    """Django cannot parse a header of the request."""


class Request(WSGIRequest):
    """Django's request."""

    def __init__(self, environ: dict[str, Any]) -> None:
        """Parse the head. Raise UnreadableHeadError."""
        try:
            super().__init__(environ)
        except Exception as error:  # it reads the head and nothing else
            raise UnreadableHeadError from error


class Handler(WSGIHandler):
    """The application."""

    request_class = Request

    def resolve_request(self, request: HttpRequest) -> Any:
        """Return the view of the address, and note the address' pattern for the counters."""
        match = super().resolve_request(request)
        request.META[ROUTE] = match.route
        return match

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> HttpResponseBase:
        """Handle a request. Reply 400 in the API's error format to an unreadable head."""
        try:
            return super().__call__(environ, start_response)
        except UnreadableHeadError:
            reply = error_reply("malformed", "A header of the request cannot be read.")
            start_response(f"{reply.status_code} {reply.reason_phrase}", list(reply.items()))
            return reply
