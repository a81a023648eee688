"""Readers of times, numbers and ids from foreign text, used at every entrance.

Each reader takes text, checks its length before any conversion, and either returns a value that
every database and every calculation can hold, or raises `ParseError` with a sentence that says what
to give. No other exception leaves this module.
"""

import base64
import binascii
import re
import uuid
from datetime import UTC, date, datetime, time

LARGEST = 2**31 - 1  # the largest value of an integer column in every database
LARGEST_ROW = 2**63 - 1  # the largest primary key
LONGEST_NUMBER = 100  # characters of a JSON number, more than a double or a 64-bit integer needs
LONGEST_TIME = 40
LONGEST_CURSOR = 200
# One year before the calendar's ends, so that adding a zone or a day never exceeds it.
FIRST_YEAR, LAST_YEAR = 2, 9998

_DIGITS = re.compile(r"[0-9]+")
_DECIMAL = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,15})?")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# RFC 3339, and the form of a browser's time field: no zone, and seconds are optional.
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}"
    r"(?P<seconds>:[0-9]{2}(?:\.[0-9]{1,12})?)?(?P<zone>[Zz]|[+-][0-9]{2}:[0-9]{2})?"
)
_ID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_HEX = re.compile(r"[0-9a-f]{1,32}")


# Decision 0021: this module parses these types at every entrance, and raises this error alone.
class ParseError(ValueError):
    """The text is not valid; the message names the valid values."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def whole(text: str, *, least: int = 0, most: int = LARGEST) -> int:
    """Read a whole number from `least` to `most` (neither below 0) in ASCII digits."""
    if len(text) <= len(str(most)) and _DIGITS.fullmatch(text):
        value = int(text)
        if least <= value <= most:
            return value
    message = f"Give a whole number from {least} to {most}."
    raise ParseError(message)


def whole_or_none(text: str | None, *, least: int = 0, most: int = LARGEST) -> int | None:
    """Read the same with blanks around it; return None if it is no such number."""
    if text is None or len(text) > LONGEST_NUMBER:
        return None
    try:
        return whole(text.strip(), least=least, most=most)
    except ParseError:
        return None


def seconds(text: str, *, most: float) -> float:
    """Read seconds from 0 to `most`, also with a fraction: "1.5"; no sign and no exponent."""
    if len(text) <= LONGEST_NUMBER and _DECIMAL.fullmatch(text):
        value = float(text)
        if value <= most:
            return value
    message = f"Give seconds from 0 to {most:g}."
    raise ParseError(message)


def moment(text: str, *, zone_needed: bool = True) -> datetime:
    """Read a time as RFC 3339 and return it in UTC. `zone_needed`: refuse a time without a zone."""
    example = "2026-03-05T12:00:00Z" if zone_needed else "2026-03-05T12:00"
    message = f"Give a time such as {example}, from the year {FIRST_YEAR} to {LAST_YEAR}."
    match = _TIME.fullmatch(text) if len(text) <= LONGEST_TIME else None
    if match is None or (zone_needed and not (match["zone"] and match["seconds"])):
        raise ParseError(message)
    try:
        found = datetime.fromisoformat(text.upper())
    except ValueError:
        raise ParseError(message) from None
    if not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise ParseError(message)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def day(text: str) -> datetime:
    """Read a day, "2026-03-05", and return its beginning in UTC."""
    message = f"Give a day such as 2026-03-05, from the year {FIRST_YEAR} to {LAST_YEAR}."
    if len(text) != len("2026-03-05") or not _DAY.fullmatch(text):
        raise ParseError(message)
    try:
        found = date.fromisoformat(text)
    except ValueError:
        raise ParseError(message) from None
    if not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise ParseError(message)
    return datetime.combine(found, time(), UTC)


def identifier(text: str) -> uuid.UUID:
    """Read a UUID in its usual form of 36 characters."""
    if len(text) == 36 and _ID.fullmatch(text):
        return uuid.UUID(text)
    message = "Give an id such as 0198c0de-0000-7000-8000-000000000000."
    raise ParseError(message)


def identifier_or_none(text: uuid.UUID | str) -> uuid.UUID | None:
    """Read the same; return None if it is no id."""
    if isinstance(text, uuid.UUID):
        return text
    try:
        return identifier(text)
    except ParseError:
        return None


def identifiers_from(text: str) -> tuple[uuid.UUID, uuid.UUID]:
    """Return the first and the last id that begin with `text`: 1 to 32 hex digits and dashes."""
    digits = text.strip().lower().replace("-", "") if len(text) <= LONGEST_NUMBER else ""
    if not _HEX.fullmatch(digits):
        message = "Give the beginning of an id: 1 to 32 of 0-9 and a-f."
        raise ParseError(message)
    return uuid.UUID(digits.ljust(32, "0")), uuid.UUID(digits.ljust(32, "f"))


def write_cursor(at: datetime, last: uuid.UUID) -> str:
    """Return the cursor of a list ordered by time, then id, that continues after this row."""
    return base64.urlsafe_b64encode(f"{at.isoformat()}|{last}".encode()).decode().rstrip("=")


def cursor(text: str) -> tuple[datetime, uuid.UUID]:
    """Read a cursor of `write_cursor`; return its time and id."""
    try:
        if len(text) > LONGEST_CURSOR:
            raise ValueError
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        at, _, last = base64.b64decode(padded, b"-_", validate=True).decode("ascii").partition("|")
        return moment(at, zone_needed=False), identifier(last)
    except (ValueError, binascii.Error):  # ParseError is a ValueError
        message = "Give a `next` of an earlier page, unchanged."
        raise ParseError(message) from None


def json_integer(text: str) -> int:
    """Read an integer as JSON writes it."""
    if len(text) > LONGEST_NUMBER:
        raise _too_long()
    return int(text)


def json_float(text: str) -> float:
    """Read a number with a fraction or an exponent as JSON writes it; infinity is refused."""
    if len(text) > LONGEST_NUMBER:
        raise _too_long()
    value = float(text)
    if value in (float("inf"), float("-inf")):
        message = "A number is too large."
        raise ParseError(message)
    return value


def _too_long() -> ParseError:
    return ParseError(f"A number has more than {LONGEST_NUMBER} characters.")
