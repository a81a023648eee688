"""Bodies of callbacks, and the deliveries themselves, in the shapes of the HTTP contract."""

from typing import Any

from execapp.api.presenters.executions import present_execution
from execapp.api.presenters.fields import rfc3339
from execapp.models import Delivery, DeliveryAttempt, SigningSecret
from execapp.output import encode_json
from execapp.services import submissions


def finished_execution(delivery: Delivery) -> bytes:
    """Return the body of `execution.finished`: the same bytes as the reply to a GET."""
    assert delivery.execution_id is not None  # noqa: S101 - every delivery of this event has one
    execution = submissions.wait(execution_id=delivery.execution_id, seconds=0)
    return encode_json(present_execution(execution))


def present_delivery(delivery: Delivery) -> dict[str, Any]:
    """Return a delivery with its attempts, newest first."""
    return {
        "id": str(delivery.id),
        "event": delivery.event,
        "execution": str(delivery.execution_id) if delivery.execution_id else None,
        "url": delivery.url,
        "state": delivery.state,
        "created_at": rfc3339(delivery.created_at),
        "next_attempt_at": rfc3339(delivery.next_at) if delivery.state == "queued" else None,
        "finished_at": rfc3339(delivery.finished_at),
        "attempts": [_attempt(attempt) for attempt in delivery.attempts.all()],
    }


def _attempt(attempt: DeliveryAttempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "started_at": rfc3339(attempt.started_at),
        "duration_ms": attempt.duration_ms,
        "status": attempt.status,
        "error": attempt.error or None,
        "answer": attempt.answer or None,
    }


def present_secret(secret: SigningSecret) -> dict[str, Any]:
    """Return the secret that signs, and until when the one before it signs as well."""
    return {
        "secret": secret.secret,
        "created_at": rfc3339(secret.created_at),
        "previous_until": rfc3339(secret.previous_until) if secret.in_grace else None,
    }
