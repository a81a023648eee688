"""Turn every error into the one error shape, and every code into its HTTP status."""

import logging
import secrets
from collections.abc import Mapping
from typing import Any

import pydantic
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError

from core.database.errors import classify
from core.database.vendors import Trouble
from core.pagination import CursorError
from execapp.api.http.responses import reply
from execapp.errors import (
    MAX_MESSAGE,
    MAX_PATH,
    MAX_REPORTED,
    BusyError,
    ExecutionError,
    Field,
    InvalidRequestError,
    QuotaError,
)
from execapp.services import probes
from templatemgr.errors import TemplateError

logger = logging.getLogger(__name__)

STATUSES = {
    "malformed": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "unknown_template": 404,
    "unknown_version": 404,
    "unknown_build": 404,
    "unknown_verification": 404,
    "unknown_execution": 404,
    "unknown_delivery": 404,
    "unknown_file": 404,
    "unknown_token": 404,
    "not_found": 404,
    "method_not_allowed": 405,
    "not_built": 409,
    "pinned": 409,
    "not_ready": 409,
    "expected_current": 409,
    "no_previous": 409,
    "in_use": 409,
    "not_healed": 409,
    "not_exported": 409,
    "pin_broken": 409,
    "idempotency_conflict": 409,
    "too_large": 413,
    "unsupported_media_type": 415,
    "invalid_definition": 422,
    "invalid_request": 422,
    "not_supported": 422,
    "rate_limited": 429,
    "quota_exceeded": 429,
    "queue_full": 503,
    "no_space": 503,
    "no_executor": 503,
    "template_unavailable": 503,
    "busy": 503,
}

# The remedy, which follows the message; placeholders are filled from the details.
WAYS = {
    "not_built": "Build it: manage.py build_template {template} --promote; or "
    'POST {of}/builds {{"kind": "rebuild"}}, then POST {of}/promote.',
    "pinned": "Unpin it first: POST {of}/unpin.",
    "not_ready": "GET {of}/versions/{version}/gates returns the reason of each gate.",
    "expected_current": "GET {of} and decide again.",
    "no_previous": "Promote a version: POST {of}/promote.",
    "in_use": "Remove it when none of these reasons applies any more.",
    "not_healed": 'Rebuild it: POST {of}/builds {{"kind": "rebuild", "from": {version}}}.',
    "template_unavailable": "Name another version ({template}@N), roll back: POST {of}/rollback; "
    "or heal it: POST {of}/versions/{version}/heal.",
}


MAX_ANSWER_BYTES = 48 * 1024  # of an error; a longer one loses its details


def error_reply(
    code: str,
    message: str,
    *,
    status: int | None = None,
    details: Mapping[str, Any] | None = None,
    retry_after: int | None = None,
) -> HttpResponse:
    """Return an error in the one shape."""
    status = status or STATUSES.get(code, 500)
    body = {"error": {"code": code, "message": message, "details": dict(details or {})}}
    response = reply(body, status=status)
    if len(response.content) > MAX_ANSWER_BYTES:
        body["error"] = {"code": code, "message": message[:MAX_MESSAGE], "details": {}}
        response = reply(body, status=status)
    if status == 401:
        response["WWW-Authenticate"] = 'Bearer realm="stencil"'
    if retry_after is not None:
        response["Retry-After"] = str(retry_after)
    return response


def handle(exc: BaseException) -> HttpResponse:
    """Return the reply to any exception of a view."""
    if isinstance(exc, CursorError):
        exc = InvalidRequestError([Field(path="cursor", message=exc.message)])
    if isinstance(exc, ExecutionError):
        response = error_reply(
            exc.code, exc.message, details=exc.details, retry_after=exc.retry_after
        )
        if isinstance(exc, QuotaError):
            for name, value in _limit_headers(exc).items():
                response[name] = value
        return response
    if isinstance(exc, TemplateError) and exc.code in STATUSES:
        return _template_error(exc)
    if isinstance(exc, RequestDataTooBig):
        return error_reply("too_large", "The body is larger than this server accepts.")
    if isinstance(exc, SuspiciousOperation | UnreadablePostError):
        return error_reply("malformed", "The request could not be read.")
    passing = trouble_that_passes(exc)
    if passing is not None:
        logger.warning("database: %s", exc)
        busy = BusyError(passing)
        return error_reply(busy.code, busy.message, retry_after=busy.retry_after)
    probes.saw(exc)
    error_id = secrets.token_hex(6)
    logger.error("error %s", error_id, exc_info=exc)
    details = {"error_id": error_id}
    return error_reply("internal", "Stencil failed; its log has the cause.", details=details)


def _limit_headers(exc: QuotaError) -> dict[str, str]:
    """Return the headers about the limit that refused the request, not about requests a minute."""
    return {
        "RateLimit-Limit": str(exc.details["limit"]),
        "RateLimit-Remaining": str(exc.details["left"]),
        "RateLimit-Reset": str(exc.retry_after or 0),
    }


def trouble_that_passes(exc: BaseException) -> str | None:
    """Return the message for a locked database or a full disk; None for everything else.

    A missing table is an OperationalError too, and a retry does not repair it.
    """
    match classify(exc):
        case Trouble.FULL:
            return "The disk is full; nothing was recorded. Try again later."
        case Trouble.LOCKED:
            return "The database is busy; try again."
        case _:
            return None


def _template_error(exc: TemplateError) -> HttpResponse:
    details = dict(exc.details)
    field = details.pop("field", None)
    if exc.code == "invalid_request":
        path = str(field or "body")
        problem = InvalidRequestError([Field(path=path, message=exc.message)])
        return error_reply(problem.code, problem.message, details={**details, **problem.details})
    message = exc.message
    way = WAYS.get(exc.code)
    if way is not None:
        name, number = details.get("template", "{name}"), details.get("version", "{n}")
        said = way.format(template=name, version=number, of=f"/api/v1/templates/{name}")
        message = f"{message.rstrip('.')}. {said}"
    unavailable = exc.code == "template_unavailable"
    return error_reply(exc.code, message, details=details, retry_after=30 if unavailable else None)


def validation_reply(exc: ValidationError) -> HttpResponse:
    """Return the reply to errors of pydantic, with paths as a client writes them."""
    reported = exc.errors[:MAX_REPORTED]
    fields = [Field(path=_path(error["loc"]), message=error["msg"]) for error in reported]
    if [field.path for field in fields] == ["body"] and reported[0]["type"] == "missing":
        return error_reply("malformed", "The body is empty: send JSON.")
    return handle(InvalidRequestError(fields, more=len(exc.errors) - len(reported)))


def schema_reply(exc: pydantic.ValidationError) -> HttpResponse:
    """Return the reply to errors of a schema outside of ninja: the same, without input values."""
    found = exc.errors(include_url=False, include_input=False, include_context=False)
    errors = [{**error, "loc": ("body", "body", *error["loc"])} for error in found]
    return validation_reply(ValidationError(errors))


def http_reply(exc: HttpError) -> HttpResponse:
    """Return the reply to an error of ninja, or to the exception that its parser wrapped."""
    if isinstance(exc.__cause__, Exception):
        return handle(exc.__cause__)
    if isinstance(exc, AuthenticationError):
        message = "Send a valid token: Authorization: Bearer <token>."
        return error_reply("unauthorized", message)
    code = {400: "malformed", 403: "forbidden", 404: "not_found"}.get(exc.status_code, "refused")
    return error_reply(code, exc.message, status=exc.status_code)


def not_found(request: HttpRequest) -> HttpResponse:
    """Return the reply for an address that does not exist."""
    return error_reply("not_found", f"There is nothing at {request.path[:200]}.")


def install(api: NinjaAPI) -> None:
    """Make `api` answer every exception in the one shape."""
    api.add_exception_handler(Exception, _any)
    api.add_exception_handler(ValidationError, _any)
    api.add_exception_handler(HttpError, _any)
    api.add_exception_handler(Http404, _any)


def _any(request: HttpRequest, exc: Exception | type[Exception]) -> HttpResponse:
    if isinstance(exc, ValidationError):
        return validation_reply(exc)
    if isinstance(exc, HttpError):
        return http_reply(exc)
    if isinstance(exc, Http404):
        return not_found(request)
    return handle(exc if isinstance(exc, Exception) else exc())


def _path(location: tuple[str | int, ...]) -> str:
    """Return "files.0.path" for ("body", "body", "files", 0, "path")."""
    parts = [str(part)[:MAX_PATH] for part in location[1:]]
    if location and location[0] == "body":
        parts = parts[1:]
    return ".".join(parts) or str(location[0])
