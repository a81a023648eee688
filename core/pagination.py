"""Cursors of pages: where a list goes on, as text that clients give back unchanged."""

import uuid
from datetime import datetime

from core import parsing
from execapp.errors import Field, InvalidRequestError


def write(moment: datetime, identifier: uuid.UUID) -> str:
    """The cursor after a row of a list that is ordered by time, then id."""
    return parsing.write_cursor(moment, identifier)


def read(cursor: str) -> tuple[datetime, uuid.UUID]:
    """What `write` was given. Raises InvalidRequestError."""
    try:
        return parsing.cursor(cursor)
    except parsing.ParseError as error:
        raise _wrong() from error


def number(cursor: str) -> int:
    """A cursor that is the number of the last row. Raises InvalidRequestError."""
    try:
        return parsing.whole(cursor, most=parsing.LARGEST_ROW)
    except parsing.ParseError as error:
        raise _wrong() from error


def _wrong() -> InvalidRequestError:
    text = "Give a `next` of an earlier page, unchanged."
    return InvalidRequestError([Field(path="cursor", message=text)])
