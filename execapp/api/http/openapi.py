"""Parts of the OpenAPI document that several calls share."""

from typing import Any

from ninja import Schema


class ErrorBody(Schema):
    """The inside of the one error shape."""

    code: str
    message: str
    details: dict[str, Any]


class ErrorOut(Schema):
    """The one error shape."""

    error: ErrorBody


ERRORS: dict[Any, Any] = {
    frozenset({400, 401, 403, 404, 405, 409, 413, 415, 422, 429, 500, 503}): ErrorOut
}


def idempotency_header() -> dict[str, Any]:
    """Return the header that makes a submission safe to repeat."""
    header = {
        "in": "header",
        "name": "Idempotency-Key",
        "required": False,
        "description": "The same key and body give the same execution back for 24 hours.",
        "schema": {"type": "string", "maxLength": 255},
    }
    return {"parameters": [header]}


def streamed(*types: str, form: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the media types of a call besides JSON, and the parameter `format` if it has one."""
    text = {media: {"schema": {"type": "string"}} for media in types}
    query = {
        "in": "query",
        "name": "format",
        "required": False,
        "description": "Instead of the Accept header.",
        "schema": {"type": "string", "enum": list(form)},
    }
    extra: dict[str, Any] = {"responses": {200: {"content": text}}}
    return {**extra, "parameters": [query]} if form else extra


def binary() -> dict[str, Any]:
    """Return the media type of a call that answers with bytes."""
    content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    return {"responses": {200: {"content": content}}}


def resumed() -> dict[str, Any]:
    """Return a stream of events, and the header that continues it."""
    header = {
        "in": "header",
        "name": "Last-Event-ID",
        "required": False,
        "description": "The id of the last received event; only later events are sent.",
        "schema": {"type": "string"},
    }
    return {**streamed("text/event-stream"), "parameters": [header]}


def reason_parameter() -> dict[str, Any]:
    """Return the parameter `reason` of a call without a body."""
    query = {
        "in": "query",
        "name": "reason",
        "required": False,
        "description": "Why, for the audit trail: 1 to 500 characters.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 500},
    }
    return {"parameters": [query]}
