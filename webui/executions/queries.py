"""The rows that the pages of executions read, besides the executions themselves."""

from datetime import timedelta
from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from execapp import history
from execapp.models import Delivery, DeliveryState, Execution
from execapp.services import callbacks
from templatemgr.models import HealthState, Template, Version
from webui.shell import decorators

MOST_DELIVERIES = 5  # of one execution on its page
SOON = timedelta(minutes=1)  # a card of a callback that is due in this time refreshes itself
MOST_VERSIONS = 50  # that a page offers to run an execution again on


def viewer_of(request: HttpRequest) -> history.Viewer:
    """Return the viewer behind a request: it may see all executions, or only its own."""
    everything = decorators.may(request, "execapp.view_all_executions")
    return history.Viewer.of_user(decorators.actor(request), everything=everything)


def template_names() -> list[str]:
    """Return the names of all templates."""
    return list(Template.objects.values_list("name", flat=True))


def other_versions(execution: Execution) -> list[tuple[int, bool]]:
    """Return the other healthy versions of the template, newest first: number, is current."""
    rows = Version.objects.filter(
        template__name=execution.template_name, health__state=HealthState.VERIFIED
    ).exclude(pk=execution.version_id)
    numbers = rows.order_by("-number").values_list("number", "pk", "template__current")
    return [(number, pk == current) for number, pk, current in numbers[:MOST_VERSIONS]]


def callback(execution: Execution) -> dict[str, Any]:
    """Return what the card of a callback shows; no query for an execution without one."""
    if execution.callback is None:
        return {}
    found = callbacks.deliveries_of(execution, limit=MOST_DELIVERIES).items
    return {"deliveries": found, "sending": any(map(_moves, found))}


def _moves(delivery: Delivery) -> bool:
    """Return whether the state of a delivery changes soon."""
    due = delivery.next_at is not None and delivery.next_at <= timezone.now() + SOON
    return delivery.state == DeliveryState.SENDING or (
        delivery.state == DeliveryState.QUEUED and due
    )
