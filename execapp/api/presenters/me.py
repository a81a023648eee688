"""The token of a request in the shape of the HTTP contract."""

from collections.abc import Mapping
from typing import Any

from execapp.api.presenters.fields import rfc3339
from execapp.models import ApiToken


def present_me(
    token: ApiToken,
    *,
    pins: Mapping[str, int],
    limits: Mapping[str, int | None],
    remaining: Mapping[str, int | None],
) -> dict[str, Any]:
    """Return a token with its pins, its limits, and the rest of the limits; None: no limit."""
    return {
        "client": token.name,
        "scopes": token.scopes,
        "pins": pins,
        "templates": token.templates,
        "exclusive": token.exclusive,
        "token": {
            "id": str(token.id),
            "prefix": token.prefix,
            "created_at": rfc3339(token.created_at),
            "expires_at": rfc3339(token.expires_at),
        },
        "limits": limits,
        "remaining": remaining,
        "left": remaining,  # its later name
    }
