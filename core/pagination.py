"""Keyset pagination: one page of a queryset, and the cursors of the pages beside it.

A list defines once the order of its rows and the form of its cursors:

    NEWEST = Order(("-created_at", "-pk"), cursor=TIME_AND_ID)
    page = paginate(rows, NEWEST, cursor=cursor, limit=50)

The last column of an order is unique, so the order is total. An index on the columns of the order
serves every page. Rows that are inserted meanwhile do not move a page.

The API passes a client's cursor on as it is; `CursorError` then becomes a reply with status 422.
A page that ignores a damaged cursor in its address asks `Order.cursor_or_none` first:

    before = NEWEST.cursor_or_none(request.GET.get("before", ""))
    page = paginate(rows, NEWEST, cursor=before, limit=BUILDS_PAGE)
    older = {"before": page.next} if page.more else {}

A link to the newer neighbour passes `Page.previous` as `before`. No other module slices a list to
one row more than a page.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet

from core import parsing


class CursorError(ValueError):
    """A cursor does not come from a page of this list; the message names the valid values."""

    message = "Give a `next` of an earlier page, unchanged."

    def __init__(self) -> None:
        super().__init__(self.message)


@dataclass(frozen=True)
class Cursor:
    """The text form of the values of one row's columns.

    `write` takes the values in the order of the columns. `read` is its inverse, and raises
    `parsing.ParseError`.
    """

    write: Callable[..., str]
    read: Callable[[str], tuple[Any, ...]]


def _number(text: str) -> tuple[int]:
    return (parsing.whole(text, most=parsing.LARGEST_ROW),)


def _identifier(text: str) -> tuple[uuid.UUID]:
    return (parsing.identifier(text),)


def _text(text: str) -> tuple[str]:
    return (text,)


def _day(text: str) -> tuple[str]:
    return (parsing.day(text).date().isoformat(),)


def _time_and_id(at: datetime, last: uuid.UUID) -> str:
    return parsing.write_cursor(at, last)


TIME_AND_ID = Cursor(_time_and_id, parsing.cursor)  # opaque: base64 of both
NUMBER = Cursor(str, _number)  # an integer column, in decimal digits
IDENTIFIER = Cursor(str, _identifier)  # a UUID in its usual form
TEXT = Cursor(str, _text)  # the column's text as it is
DAY = Cursor(str, _day)  # a column of text that holds a day, such as 2026-11-30


@dataclass(frozen=True)
class Order:
    """The total order of a list: columns as `order_by` takes them, "-" for descending.

    `columns` are compared with the values of a cursor. `sort` is given to `order_by` instead where
    an index needs another name of the same order. `cursor_columns` are the attributes that a
    cursor is written from, where a cursor holds more than the columns; the compared columns are
    then its last values.
    """

    columns: tuple[str, ...]
    cursor: Cursor
    sort: tuple[str, ...] = ()
    cursor_columns: tuple[str, ...] = ()

    def write(self, row: object) -> str:
        """Return the cursor of the page that follows this row."""
        names = self.cursor_columns or tuple(map(_name, self.columns))
        return self.cursor.write(*(getattr(row, name) for name in names))

    def read(self, text: str) -> tuple[Any, ...]:
        """Return the values of `columns` in a cursor. Raises CursorError."""
        try:
            return self.cursor.read(text)[-len(self.columns) :]
        except parsing.ParseError as error:
            raise CursorError from error

    def cursor_or_none(self, text: str | None) -> str | None:
        """Return the cursor without blanks around it; None when it is empty or damaged."""
        stripped = (text or "").strip()
        try:
            self.read(stripped)
        except CursorError:
            return None
        return stripped or None

    def following(self, values: Sequence[Any]) -> Q:
        """Return the condition that a row comes after these values of `columns`."""
        found, equal = Q(), Q()
        for column, value in zip(self.columns, values, strict=True):
            name = _name(column)
            found |= equal & Q((f"{name}__{_after(column)}", value))
            equal &= Q((name, value))
        if len(self.columns) > 1:
            # Implied by the rest; without it the database reads the index from its beginning.
            first = self.columns[0]
            found &= Q((f"{_name(first)}__{_after(first)}e", values[0]))
        return found

    def reversed(self) -> "Order":
        """Return the opposite order, with the same cursors."""
        return Order(
            tuple(map(_opposite, self.columns)),
            cursor=self.cursor,
            sort=tuple(map(_opposite, self.sort)),
            cursor_columns=self.cursor_columns,
        )


@dataclass(frozen=True, kw_only=True)
class Page[Row]:
    """The rows of one page, and the cursors of its neighbours.

    `next` is None on the last page. `previous` is what `before` of `paginate` takes, None on a page
    that was asked for without a cursor.
    """

    items: Sequence[Row] = ()
    next: str | None = None
    previous: str | None = None

    @property
    def more(self) -> bool:
        """Whether another page follows."""
        return self.next is not None


def paginate[Row](
    rows: QuerySet[Any, Row],
    order: Order,
    *,
    limit: int,
    cursor: str | None = None,
    before: str | None = None,
) -> Page[Row]:
    """Return one page of `rows` in one query. Raises CursorError.

    `cursor` is the `next` of an earlier page; None or empty gives the first page. `before` is the
    `previous` of a page and gives the rows just above it; where they do not fill a page, the first
    page is given, in a second query.
    """
    if before:
        above = _slice(rows, order.reversed(), before, limit)
        if len(above) <= limit:
            return paginate(rows, order, limit=limit)
        items = above[:limit][::-1]
        return Page(items=items, next=order.write(items[-1]), previous=order.write(items[0]))
    found = _slice(rows, order, cursor, limit)
    items = found[:limit]
    return Page(
        items=items,
        next=order.write(items[-1]) if len(found) > limit else None,
        previous=order.write(items[0]) if cursor and items else None,
    )


def _slice[Row](
    rows: QuerySet[Any, Row], order: Order, cursor: str | None, limit: int
) -> list[Row]:
    """Return the page and one row more, which shows that another page follows."""
    if cursor:
        rows = rows.filter(order.following(order.read(cursor)))
    return list(rows.order_by(*(order.sort or order.columns))[: limit + 1])


def _name(column: str) -> str:
    return column.removeprefix("-")


def _after(column: str) -> str:
    return "lt" if column.startswith("-") else "gt"


def _opposite(column: str) -> str:
    return _name(column) if column.startswith("-") else f"-{column}"
