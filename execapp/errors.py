"""Errors of submissions, each an exception with the code that clients see.

A program that fails is a result, never an exception. Only `execapp.api.http.error_replies` knows
the HTTP status of each code.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

MAX_REPORTED = 20  # errors that one answer names
MAX_PATH = 120  # characters
MAX_MESSAGE = 300


@dataclass(frozen=True, kw_only=True)
class Field:
    """One error of a request: its place (`files.0.path`) and a message."""

    path: str
    message: str


class ExecutionError(Exception):
    """Base of all errors of execapp: a code, a message, and details for programs."""

    code = "execution_error"
    retry_after: int | None = None  # seconds after which trying again makes sense

    def __init__(self, message: str, *, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, Any] = dict(details or {})


class InvalidRequestError(ExecutionError):
    """The request is understood and wrong; `fields` are the first errors.

    `more` counts errors besides those that are given. Long texts are cut.
    """

    code = "invalid_request"

    def __init__(self, fields: Iterable[Field], message: str = "", *, more: int = 0) -> None:
        given = tuple(fields)
        self.fields = tuple(
            Field(path=field.path[:MAX_PATH], message=field.message[:MAX_MESSAGE])
            for field in given[:MAX_REPORTED]
        )
        first = self.fields[0]
        listed = [{"path": field.path, "message": field.message} for field in self.fields]
        details: dict[str, Any] = {"fields": listed}
        if more := more + len(given) - len(self.fields):
            details["more"] = more
        super().__init__(message or f"{first.path}: {first.message}", details=details)


class MalformedError(ExecutionError):
    """The body is not one JSON document that all parsers read the same way."""

    code = "malformed"


class TooLargeError(ExecutionError):
    """The request is larger than this server accepts."""

    code = "too_large"


class MediaTypeError(ExecutionError):
    """The media type of the body is not JSON."""

    code = "unsupported_media_type"


class NotSupportedError(ExecutionError):
    """The request uses a part of the contract that this release does not serve yet."""

    code = "not_supported"


class UnauthorizedError(ExecutionError):
    """There is no token, or the token is unknown, revoked or expired."""

    code = "unauthorized"


class ForbiddenError(ExecutionError):
    """The token lacks the scope."""

    code = "forbidden"


class UnknownExecutionError(ExecutionError):
    """The execution does not exist, or this client may not see it."""

    code = "unknown_execution"


class UnknownFileError(ExecutionError):
    """The execution has given back no such file, or its content is lost."""

    code = "unknown_file"


class UnknownDeliveryError(ExecutionError):
    """The delivery does not exist, or this client may not see it."""

    code = "unknown_delivery"


class UnknownTokenError(ExecutionError):
    """The token does not exist."""

    code = "unknown_token"


class PinBrokenError(ExecutionError):
    """The version that the client is pinned to was removed."""

    code = "pin_broken"


class IdempotencyConflictError(ExecutionError):
    """The key was used with another body."""

    code = "idempotency_conflict"


class RateLimitedError(ExecutionError):
    """The token sent more requests than its limit."""

    code = "rate_limited"


class QuotaError(ExecutionError):
    """The client has used its quota of stored bytes for a day."""

    code = "quota_exceeded"


class NoSpaceError(ExecutionError):
    """Less disk space is free than must stay free."""

    code = "no_space"
    retry_after = 60


class QueueFullError(ExecutionError):
    """The queue is full."""

    code = "queue_full"
    retry_after = 5


class NoExecutorError(ExecutionError):
    """No executor runs that could take the execution."""

    code = "no_executor"
    retry_after = 10


class BusyError(ExecutionError):
    """The database did not answer in time."""

    code = "busy"
    retry_after = 2
