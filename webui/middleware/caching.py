"""No cache keeps a reply, unless the reply says otherwise.

Pages and replies contain code, output, logs and names of people. Static files have their own
headers; an earlier middleware answers them.
"""

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase


class Middleware:
    """`Cache-Control: no-store` on every reply that does not have the header."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Add the header."""
        response = self._get_response(request)
        response.headers.setdefault("Cache-Control", "no-store")
        return response
