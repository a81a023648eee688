"""Error shapes of the doors: an error of our API, written as the door's own clients read it.

Refusals before any view (middleware, web server) know only the path, so the path decides.
"""

import json
import re

from django.http import HttpResponse
from django.http.response import HttpResponseBase

from execapp import doors

_PISTON = re.compile(r"/api/v2(?:/|\Z)")
_MCP, _MCP_CODE = "/mcp", -32000  # JSON-RPC's first code for errors of a server
_BASES = ("/api/v2", "/judge0", _MCP)
_JUDGE0 = re.compile(r"/judge0(?:/|\Z)")
# Piston's clients know one status for a wrong request.
_PISTON_STATUSES = {409: 400, 422: 400}


def reshape[R: HttpResponseBase](path: str, response: R) -> R:
    """Rewrite an error of our API in the shape of the open door at `path`; return the response."""
    if response.status_code < 400 or not isinstance(response, HttpResponse):
        return response
    error = _own_error(response) if path.startswith(_BASES) else None
    if error is None:
        return response
    body: dict[str, object] | None = None
    if doors.is_open("piston") and _PISTON.match(path):
        body = {"message": error}
        response.status_code = _PISTON_STATUSES.get(response.status_code, response.status_code)
    elif doors.is_open("judge0") and _JUDGE0.match(path):
        body = {"error": error}
    elif doors.is_open("mcp") and path == _MCP:
        body = {"jsonrpc": "2.0", "id": None, "error": {"code": _MCP_CODE, "message": error}}
    if body is not None:
        response.content = json.dumps(body, ensure_ascii=False).encode()
    return response


def _own_error(response: HttpResponse) -> str | None:
    """Return the message of an error in our own shape; None for every other body."""
    try:
        found = json.loads(response.content)
        return None if "jsonrpc" in found else str(found["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return None
