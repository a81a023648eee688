"""Messages of MCP: JSON-RPC 2.0 requests, results and errors.

Source: "Base protocol" and "Transports" of the specification of 2025-11-25.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse

from execapp.api.http.responses import reply
from execapp.errors import ExecutionError

VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26")  # the newest first
PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602
SERVER_ERROR = -32000  # `data.code` has the code of our own API
MAX_ID = 256  # characters of an id that is a text

type Id = str | int | None


@dataclass(frozen=True, kw_only=True)
class Message:
    """A request, or with `notification` a message that gets no answer."""

    method: str
    params: Mapping[str, Any]
    id: Id = None
    notification: bool = False


class ProtocolError(Exception):
    """A message that breaks the protocol, or names an unknown method or tool."""

    def __init__(self, code: int, message: str, *, status: int = 200) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


def parse(document: object) -> Message:
    """Return the message of a body. Raise ProtocolError."""
    if not isinstance(document, dict) or document.get("jsonrpc") != "2.0":
        text = "Send one JSON-RPC 2.0 message: an object with jsonrpc, method and params."
        raise ProtocolError(INVALID_REQUEST, text, status=400)
    if "method" not in document and ("result" in document or "error" in document):
        return Message(method="", params={}, notification=True)  # we ask the client nothing
    method, params = document.get("method"), document.get("params", {})
    if not isinstance(method, str) or not isinstance(params, dict):
        text = "method must be a text, and params an object."
        raise ProtocolError(INVALID_REQUEST, text, status=400)
    if "id" not in document:
        return Message(method=method, params=params, notification=True)
    return Message(method=method, params=params, id=_checked_id(document["id"]))


def id_of(document: object) -> Id:
    """Return the id of a body that may be no message; None if it has none that is valid."""
    try:
        return _checked_id(document.get("id")) if isinstance(document, dict) else None
    except ProtocolError:
        return None


def result(request_id: Id, found: Mapping[str, Any]) -> HttpResponse:
    """Return the reply with a result."""
    return _private(reply({"jsonrpc": "2.0", "id": request_id, "result": dict(found)}))


def error(
    request_id: Id,
    code: int,
    message: str,
    *,
    status: int = 200,
    data: Mapping[str, Any] | None = None,
) -> HttpResponse:
    """Return the reply with an error."""
    body: dict[str, Any] = {"code": code, "message": message}
    if data is not None:
        body["data"] = dict(data)
    return _private(reply({"jsonrpc": "2.0", "id": request_id, "error": body}, status=status))


def own_error(request_id: Id, found: ExecutionError, status: int) -> HttpResponse:
    """Return an error of our API as an error of JSON-RPC, with its status."""
    data = {"code": found.code, "details": found.details}
    response = error(request_id, SERVER_ERROR, found.message, status=status, data=data)
    if status == 401:
        response["WWW-Authenticate"] = 'Bearer realm="stencil"'
    if found.retry_after is not None:
        response["Retry-After"] = str(found.retry_after)
    return response


def _checked_id(given: object) -> Id:
    known = isinstance(given, str) and len(given) <= MAX_ID
    if known or (isinstance(given, int) and not isinstance(given, bool)):
        return given  # type: ignore[return-value] # one of both
    text = f"id must be a number, or a text of at most {MAX_ID} characters."
    raise ProtocolError(INVALID_REQUEST, text, status=400)


def _private(response: HttpResponse) -> HttpResponse:
    response["Cache-Control"] = "no-store"
    return response
