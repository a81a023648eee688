"""`/me`: the token of the request, its scopes and its limits."""

from dataclasses import asdict

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from ninja import Router

from execapp.api.http import auth
from execapp.api.http.openapi import ERRORS
from execapp.api.http.responses import check_query, reply, token_of
from execapp.api.presenters.me import present_me
from execapp.api.v1.schemas.me import MeOut
from execapp.conf import sizes
from execapp.services import health, storage, token_limits, token_pins

router = Router(tags=["Me"], by_alias=True)


@router.get(
    "",
    auth=auth.any_token,
    response={200: MeOut, **ERRORS},
    summary="Read your token",
)
def me(request: HttpRequest) -> HttpResponse:
    """Return the token's name, scopes, pins and limits, and the free places of the queue."""
    check_query(request, ())
    token = token_of(request)
    body_bytes, queue = settings.DATA_UPLOAD_MAX_MEMORY_SIZE, settings.STENCIL_QUEUE_LIMIT
    standing = getattr(request, "standing", None)
    own, left = token_limits.standing(token)
    remaining = {
        "queue": max(0, queue - health.snapshot().queued),
        "requests": standing.remaining if standing else None,
        "bytes": storage.left(token=token),
        **left,
    }
    limits = {
        **asdict(sizes()),
        "max_body_bytes": body_bytes,
        "max_queued": queue,
        "requests_per_minute": standing.limit if standing else None,
        "bytes_per_day": storage.limit_of(token) or None,
        **own,
    }
    pins = token_pins.of(token=token)
    return reply(present_me(token, pins=pins, limits=limits, remaining=remaining))
