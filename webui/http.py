"""The type of a request behind django-htmx's middleware."""

from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails


class HtmxHttpRequest(HttpRequest):
    """A request with `htmx`: true if htmx sent it. `webui.settings.MIDDLEWARE` adds it."""

    htmx: HtmxDetails
