"""Identifiers of rows."""

import uuid

from uuid_utils.compat import uuid7


def new_id() -> uuid.UUID:
    """Return a fresh UUIDv7, which sorts by time."""
    return uuid7()
