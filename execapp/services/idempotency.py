"""Idempotency keys: a key of a token identifies one execution for 24 hours."""

from datetime import timedelta

from django.utils import timezone

from execapp.errors import IdempotencyConflictError
from execapp.models import ApiToken, Execution, IdempotencyKey
from execapp.requests import Idempotency, SubmissionRequest

KEY_LIFETIME = timedelta(hours=24)


def find_earlier(*, request: SubmissionRequest) -> Execution | None:
    """Return the execution of the request's key; None without a key or a match.

    Delete an expired key. Raise IdempotencyConflictError if the key was used with another body.
    """
    if request.token is None or request.idempotency is None:
        return None
    return _find(request.token, request.idempotency)


def remember(*, request: SubmissionRequest, execution: Execution) -> None:
    """Store the request's key, if any, for `execution`, in the caller's transaction."""
    if request.token is None or request.idempotency is None:
        return
    IdempotencyKey.objects.create(
        token=request.token,
        key=request.idempotency.key,
        body_hash=request.idempotency.body_hash,
        execution=execution,
    )


def _find(token: ApiToken, given: Idempotency) -> Execution | None:
    found = (
        IdempotencyKey.objects.filter(token=token, key=given.key)
        .select_related("execution__version")
        .first()
    )
    if found is None:
        return None
    if found.created_at <= timezone.now() - KEY_LIFETIME:
        IdempotencyKey.objects.filter(id=found.id).delete()
        return None
    if found.body_hash != given.body_hash:
        message = "This Idempotency-Key was used with another body."
        raise IdempotencyConflictError(message, details={"execution": str(found.execution_id)})
    return found.execution
