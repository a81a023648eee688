"""Being written."""

from typing import Any

from django.http import HttpRequest, HttpResponse


def playground(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    """Being written."""
    return HttpResponse("")


def run(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    """Being written."""
    return HttpResponse("")
