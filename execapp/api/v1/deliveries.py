"""Deliveries of callbacks: list, send again, and the secret that signs them."""

from datetime import timedelta

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router

from execapp import history
from execapp.api.http import auth
from execapp.api.http.openapi import ERRORS
from execapp.api.http.responses import actor_of, check_query, reply, token_of
from execapp.api.presenters.callbacks import present_delivery, present_secret
from execapp.api.v1.schemas.common import PageQuery
from execapp.api.v1.schemas.deliveries import (
    DeliveriesOut,
    DeliveryOut,
    RotateSecretIn,
    SecretOut,
)
from execapp.deliveries import signing_secrets
from execapp.services import callbacks

router = Router(tags=["Callbacks"], by_alias=True)
of_execution = Router(tags=["Callbacks"], by_alias=True)
of_token = Router(tags=["Callbacks"], by_alias=True)


@of_execution.get(
    "/{execution_id}/deliveries", auth=auth.read, response={200: DeliveriesOut, **ERRORS}
)
def listing(request: HttpRequest, execution_id: str, query: Query[PageQuery]) -> HttpResponse:
    """List the deliveries of an execution's callback with their attempts, newest first."""
    check_query(request, PageQuery.model_fields)
    viewer = history.Viewer.of_token(token_of(request))
    execution = history.get(execution_id=execution_id, viewer=viewer)
    page = callbacks.deliveries_of(execution, cursor=query.cursor, limit=query.limit)
    return reply({"items": [present_delivery(each) for each in page.items], "next": page.next})


@router.post("/{delivery_id}/resend", auth=auth.execute, response={202: DeliveryOut, **ERRORS})
def resend(request: HttpRequest, delivery_id: str) -> HttpResponse:
    """Send a delivery again now, with the same id. A running attempt goes on."""
    check_query(request, ())
    viewer = history.Viewer.of_token(token_of(request))
    sent = callbacks.resend(delivery_id=delivery_id, viewer=viewer)
    return reply(present_delivery(sent), status=202)


@of_token.get("", auth=auth.execute, response={200: SecretOut, **ERRORS})
def secret(request: HttpRequest) -> HttpResponse:
    """Return the secret that signs the callbacks of your token."""
    check_query(request, ())
    owner = signing_secrets.owner_of_token(token_of(request).id)
    return reply(present_secret(signing_secrets.find_or_make(owner=owner)))


@of_token.post("/rotate", auth=auth.execute, response={200: SecretOut, **ERRORS})
def rotate_secret(request: HttpRequest, body: RotateSecretIn | None = None) -> HttpResponse:
    """Make a new secret. During the grace, a day by default, both secrets sign."""
    check_query(request, ())
    token, given = token_of(request), body or RotateSecretIn()
    rotated = signing_secrets.rotate(
        owner=signing_secrets.owner_of_token(token.id),
        grace=timedelta(seconds=given.grace_seconds),
        actor=actor_of(request),
        name=token.name,
    )
    return reply(present_secret(rotated))
