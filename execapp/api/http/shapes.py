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
# Piston's clients know one status for a wrong request.
_PISTON_STATUSES = {409: 400, 422: 400}


def reshape[R: HttpResponseBase](path: str, response: R) -> R:
    """Rewrite an error of our API in the shape of the open door at `path`; return the response."""
    if response.status_code < 400 or not isinstance(response, HttpResponse):
        return response
    if doors.is_open("piston") and _PISTON.match(path):
        error = _own_error(response)
        if error is not None:
            response.content = json.dumps({"message": error}, ensure_ascii=False).encode()
            status = response.status_code
            response.status_code = _PISTON_STATUSES.get(status, status)
    if path == _MCP and doors.is_open("mcp"):
        error = _own_error(response)
        if error is not None:
            body = {"jsonrpc": "2.0", "id": None, "error": {"code": _MCP_CODE, "message": error}}
            response.content = json.dumps(body, ensure_ascii=False).encode()
    return response


def _own_error(response: HttpResponse) -> str | None:
    """Return the message of an error in our own shape; None for every other body."""
    try:
        found = json.loads(response.content)
        return None if "jsonrpc" in found else str(found["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return None
