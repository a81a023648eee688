"""Callbacks of executions: their check at the submission, their delivery at the end.

The execution carries its callback in a column of its own row, so the end of an execution without a
callback needs no query more.
"""

from uuid import UUID

from core import parsing
from core.pagination import Page
from execapp import history
from execapp.deliveries import events, outbox, signing_secrets, urls
from execapp.deliveries.rules import rules
from execapp.errors import (
    Field,
    UnknownDeliveryError,
    UnknownExecutionError,
)
from execapp.models import Delivery, Execution
from execapp.requests import SubmissionRequest


def check(request: SubmissionRequest) -> list[Field]:
    """Check the address of a request's callback without asking a resolver."""
    if request.callback_url is None:
        return []
    if request.token is None:
        text = "A callback is signed with the secret of a token: submit with a token."
        return [Field(path="callback_url", message=text)]
    try:
        urls.parse(request.callback_url, rules().networks)
    except urls.UrlError as error:
        return [Field(path="callback_url", message=error.message)]
    return []


def recorded(request: SubmissionRequest) -> dict[str, str] | None:
    """Return the value of the column `callback`."""
    if request.callback_url is None:
        return None
    return {"url": request.callback_url, "event": events.find(request.callback_event).name}


def announce(execution: Execution) -> None:
    """Write the delivery of an execution that ends in this transaction, if it has a callback."""
    if execution.callback is None or execution.token_id is None:
        return
    outbox.enqueue(
        event=execution.callback["event"],
        url=execution.callback["url"],
        signer=signing_secrets.owner_of_token(execution.token_id),
        execution=execution,
    )


def deliveries_of(
    execution: Execution, *, cursor: str | None = None, limit: int = 50
) -> Page[Delivery]:
    """Return a page of the deliveries of an execution, newest first. Raises CursorError."""
    return outbox.page_of(execution=execution, cursor=cursor, limit=limit)


def resend(*, delivery_id: UUID | str, viewer: history.Viewer) -> Delivery:
    """Send a delivery again. Raises UnknownDeliveryError, also for one of another client."""
    unknown = UnknownDeliveryError(
        f"There is no delivery {str(delivery_id)[:80]} that you may see."
    )
    identifier = parsing.identifier_or_none(delivery_id)
    found = None
    if identifier is not None:
        found = Delivery.objects.filter(id=identifier, execution__isnull=False).first()
    if found is None or found.execution_id is None:
        raise unknown
    try:
        history.get(execution_id=found.execution_id, viewer=viewer)
    except UnknownExecutionError as error:
        raise unknown from error
    return outbox.resend(delivery_id=found.id)
