"""Errors of submissions, each an exception with the code that clients see.

A program that fails is a result, never an exception. Only `execapp.api.http.error_replies` knows
the HTTP status of each code.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

MAX_TOLD = 20  # things wrong that one answer names
MAX_PATH = 120  # characters
MAX_MESSAGE = 300


@dataclass(frozen=True, kw_only=True)
class Field:
    """One thing wrong with a request: where (`files.0.path`), and what."""

    path: str
    message: str


class ExecutionError(Exception):
    """Base of everything execapp refuses: a code, a sentence, and details for programs."""

    code = "execution_error"
    retry_after: int | None = None  # seconds after which trying again makes sense

    def __init__(self, message: str, *, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, Any] = dict(details or {})


class InvalidRequestError(ExecutionError):
    """The request is understood and wrong; `fields` says where, the first of them.

    `more` are wrong besides those that are given. However long the texts are, the answer is not.
    """

    code = "invalid_request"

    def __init__(self, fields: Iterable[Field], message: str = "", *, more: int = 0) -> None:
        given = tuple(fields)
        self.fields = tuple(
            Field(path=field.path[:MAX_PATH], message=field.message[:MAX_MESSAGE])
            for field in given[:MAX_TOLD]
        )
        first = self.fields[0]
        listed = [{"path": field.path, "message": field.message} for field in self.fields]
        details: dict[str, Any] = {"fields": listed}
        if more := more + len(given) - len(self.fields):
            details["more"] = more
        super().__init__(message or f"{first.path}: {first.message}", details=details)


class MalformedError(ExecutionError):
    """The body is not one JSON document that everyone reads the same way."""

    code = "malformed"


class TooLargeError(ExecutionError):
    """More than this server takes in one request."""

    code = "too_large"


class MediaTypeError(ExecutionError):
    """The body is not announced as JSON."""

    code = "unsupported_media_type"


class NotSupportedError(ExecutionError):
    """Part of the contract that this release does not serve yet."""

    code = "not_supported"


class UnauthorizedError(ExecutionError):
    """No token, or one that is not known, is revoked, or has expired."""

    code = "unauthorized"


class ForbiddenError(ExecutionError):
    """The token lacks the scope."""

    code = "forbidden"


class UnknownExecutionError(ExecutionError):
    """No such execution, or none that this client may see."""

    code = "unknown_execution"


class UnknownTokenError(ExecutionError):
    """No such token."""

    code = "unknown_token"


class PinBrokenError(ExecutionError):
    """The version that the client is pinned to was removed."""

    code = "pin_broken"


class IdempotencyConflictError(ExecutionError):
    """The key was used with another body."""

    code = "idempotency_conflict"


class RateLimitedError(ExecutionError):
    """The token sent more requests than it may."""

    code = "rate_limited"


class QuotaError(ExecutionError):
    """The client has stored as much as it may in a day."""

    code = "quota_exceeded"


class NoSpaceError(ExecutionError):
    """Less disk is free than must stay free."""

    code = "no_space"
    retry_after = 60


class QueueFullError(ExecutionError):
    """As many executions wait as this server lets wait."""

    code = "queue_full"
    retry_after = 5


class NoExecutorError(ExecutionError):
    """Nothing is running that could take the execution."""

    code = "no_executor"
    retry_after = 10


class BusyError(ExecutionError):
    """The database did not answer in time."""

    code = "busy"
    retry_after = 2
