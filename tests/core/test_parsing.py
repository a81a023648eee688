"""Test the parsers of times, numbers and ids: accepted input, and the error for all other input."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core import parsing

READERS: dict[str, Callable[[str], object]] = {
    "whole": parsing.whole,
    "whole_or_none": parsing.whole_or_none,
    "seconds": lambda text: parsing.seconds(text, most=60),
    "moment": parsing.moment,
    "moment without a zone": lambda text: parsing.moment(text, zone_needed=False),
    "day": parsing.day,
    "identifier": parsing.identifier,
    "identifier_or_none": parsing.identifier_or_none,
    "identifiers_from": parsing.identifiers_from,
    "cursor": parsing.cursor,
}
# Inputs that most often slip through: near misses of each type, and other texts.
ALPHABET = st.one_of(
    st.text(),
    st.text(alphabet="0123456789"),
    st.text(alphabet="0123456789-:.TZ+eE _", max_size=45),
    st.text(alphabet="0123456789abcdef-", min_size=30, max_size=40),
    st.text(alphabet="٠١٢٣４５६७-:T"),
    st.datetimes().map(lambda at: at.isoformat()),
    st.datetimes(timezones=st.timezones()).map(lambda at: at.isoformat()),
)


def tried(read: Callable[[str], object], text: str) -> tuple[object, str | None]:
    """Return the value or the error message of a parser; any other exception fails the test."""
    try:
        return read(text), None
    except ValueError as error:
        return None, str(error)


@pytest.mark.parametrize("name", READERS)
@given(text=ALPHABET)
@example(text="9" * 5000)
@example(text="0" * 5000 + "1")
@example(text="9999-12-31T23:59:59.999999-23:59")
@example(text="0001-01-01T00:00:00+23:59")
@example(text="0000-01-01T00:00:00Z")
@example(text="9999-12-31")
@example(text="2026-02-30")
@example(text="2026-02-28T23:59:60Z")
@example(text="1e400")
@example(text="\ud800")
@example(text="\0")
@example(text="٣")
@example(text="²")
def test_a_parser_returns_a_value_or_names_the_expected_form(name: str, text: str) -> None:
    found, refusal = tried(READERS[name], text)
    if refusal is not None:
        assert refusal.startswith("Give ")
        assert len(refusal) < 120
    if isinstance(found, datetime):
        assert found.utcoffset() == timedelta(0)
        assert found + timedelta(days=1) > found > found - timedelta(days=1)
        found.astimezone(timezone(timedelta(hours=14)))
        found.astimezone(timezone(timedelta(hours=-14)))


@given(number=st.integers(min_value=0, max_value=parsing.LARGEST))
def test_numbers_come_back(number: int) -> None:
    assert parsing.whole(str(number)) == number
    assert parsing.whole_or_none(f" {number} ") == number


@pytest.mark.parametrize(
    "text", ["", " 1", "1 ", "+1", "-1", "1_000", "1.0", "1e3", "٣", "\uff11", "\n1"]
)
def test_only_ascii_digits_are_a_number(text: str) -> None:
    with pytest.raises(parsing.ParseError):
        parsing.whole(text)


def test_numbers_have_ends() -> None:
    assert parsing.whole("2147483647") == 2**31 - 1
    assert parsing.whole("9223372036854775807", most=parsing.LARGEST_ROW) == 2**63 - 1
    assert parsing.whole_or_none("2147483648") is None
    assert parsing.whole_or_none("9223372036854775808", most=parsing.LARGEST_ROW) is None
    assert parsing.whole_or_none("0", least=1) is None
    assert parsing.whole_or_none(None) is None


def test_times_of_any_zone_become_utc() -> None:
    assert parsing.moment("2026-03-05T12:00:00+02:00") == datetime(2026, 3, 5, 10, tzinfo=UTC)
    assert parsing.moment("2026-03-05t12:00:00.5z").microsecond == 500_000
    assert parsing.moment("2026-03-05T12:00", zone_needed=False) == datetime(
        2026, 3, 5, 12, tzinfo=UTC
    )
    assert parsing.day("2026-03-05") == datetime(2026, 3, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["2026-03-05", "2026-03-05T12:00:00", "2026-W10-4", "20260305T120000Z", "1772712000"]
)
def test_rfc_3339_names_a_zone(text: str) -> None:
    with pytest.raises(parsing.ParseError):
        parsing.moment(text)


def test_seconds_have_no_sign_and_no_exponent() -> None:
    assert parsing.seconds("1.5", most=60) == 1.5
    assert parsing.seconds("60", most=60) == 60
    for text in ("60.1", "-1", "nan", "inf", "1e1", "", "9" * 5000, "1_0", "٣"):
        with pytest.raises(parsing.ParseError):
            parsing.seconds(text, most=60)


def test_ids_have_one_form() -> None:
    made = uuid.uuid4()
    assert parsing.identifier(str(made).upper()) == made
    for text in (made.hex, f"{{{made}}}", made.urn, f" {made}", ""):
        assert parsing.identifier_or_none(text) is None
    first, last = parsing.identifiers_from(str(made)[:9])
    assert first <= made <= last


@given(at=st.datetimes(min_value=datetime(2, 1, 2), max_value=datetime(9998, 12, 30)))  # noqa: DTZ001
def test_cursors_come_back(at: datetime) -> None:
    row = uuid.uuid4()
    here = at.replace(tzinfo=UTC)
    assert parsing.cursor(parsing.write_cursor(here, row)) == (here, row)


@given(st.text(alphabet="-0123456789.eE", max_size=300))
def test_numbers_of_json_are_bounded(text: str) -> None:
    for read in (parsing.json_integer, parsing.json_float):
        _, refusal = tried(read, text)
        assert refusal is None or len(refusal) < 400
    if len(text) > parsing.LONGEST_NUMBER:
        with pytest.raises(parsing.ParseError):
            parsing.json_float(text)
