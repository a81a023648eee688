"""Requests as the views see them: their type, and the address they were sent to."""

from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails


class HtmxHttpRequest(HttpRequest):
    """A request with `htmx`: true if htmx sent it. `webui.settings.MIDDLEWARE` adds it."""

    htmx: HtmxDetails


def base_url(request: HttpRequest) -> str:
    """Return scheme and host of this server as the browser knows them, without a path."""
    return f"{request.scheme}://{request.get_host()}"
