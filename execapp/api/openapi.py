"""What the OpenAPI page says about every call."""

from typing import Any

from execapp.api.schemas import ErrorOut

ERRORS: dict[Any, Any] = {
    frozenset({400, 401, 403, 404, 405, 409, 413, 415, 422, 429, 500, 503}): ErrorOut
}


def idempotency_header() -> dict[str, Any]:
    """The header that makes a submission safe to repeat."""
    header = {
        "in": "header",
        "name": "Idempotency-Key",
        "required": False,
        "description": "The same key and body give the same execution back for 24 hours.",
        "schema": {"type": "string", "maxLength": 255},
    }
    return {"parameters": [header]}
