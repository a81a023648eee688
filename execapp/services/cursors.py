"""Cursors of pages: where a list goes on, as text that clients give back unchanged."""

import base64
import uuid
from datetime import datetime

from execapp.errors import Field, InvalidRequestError


def write(moment: datetime, identifier: uuid.UUID) -> str:
    """The cursor after a row of a list that is ordered by time, then id."""
    text = f"{moment.isoformat()}|{identifier}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read(cursor: str) -> tuple[datetime, uuid.UUID]:
    """What `write` was given. Raises InvalidRequestError."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        moment, _, identifier = base64.urlsafe_b64decode(padded).decode("ascii").partition("|")
        parsed = datetime.fromisoformat(moment)
        if parsed.tzinfo is None:
            raise ValueError
        return parsed, uuid.UUID(identifier)
    except ValueError as error:
        raise _wrong() from error


def number(cursor: str) -> int:
    """A cursor that is the number of the last row. Raises InvalidRequestError."""
    if cursor.isascii() and cursor.isdecimal() and len(cursor) <= 18:
        return int(cursor)
    raise _wrong()


def _wrong() -> InvalidRequestError:
    text = "Give a `next` of an earlier page, unchanged."
    return InvalidRequestError([Field(path="cursor", message=text)])
