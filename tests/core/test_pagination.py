"""Test keyset pagination: orders of several columns, both directions, and cursors."""

import itertools
import uuid
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core import pagination
from core.pagination import IDENTIFIER, NUMBER, TEXT, TIME_AND_ID, CursorError, Order, paginate

MIXED = pagination.Cursor(
    lambda *values: "|".join(map(str, values)), lambda text: tuple(text.split("|"))
)
COLUMNS = ("first_name", "-last_name", "id")


@pytest.fixture
def people(db: None) -> list[User]:
    """Make nine users; pairs share a name, so that only the last column orders them."""
    names = itertools.product("aab", "xyy")
    rows = [
        User(username=f"user{number}", first_name=first, last_name=last)
        for number, (first, last) in enumerate(names)
    ]
    return User.objects.bulk_create(rows)


def walk(order: Order, limit: int) -> list[list[int]]:
    """Return the ids of every page, from the first page on."""
    pages, cursor = [], None
    while True:
        page = paginate(User.objects.all(), order, cursor=cursor, limit=limit)
        pages.append([row.pk for row in page.items])
        if not page.more:
            return pages
        cursor = page.next


@pytest.mark.parametrize(
    "columns", [tuple(c) for c in itertools.product(*((n, f"-{n.strip('-')}") for n in COLUMNS))]
)
def test_pages_give_every_row_once_in_the_stated_order(
    people: list[User], columns: tuple[str, ...]
) -> None:
    expected = list(User.objects.order_by(*columns).values_list("pk", flat=True))
    for limit in (1, 2, 4, 9, 20):
        pages = walk(Order(columns, cursor=MIXED), limit)
        assert list(itertools.chain.from_iterable(pages)) == expected


def test_a_full_last_page_says_that_nothing_follows(people: list[User]) -> None:
    page = paginate(User.objects.all(), Order(("id",), cursor=NUMBER), limit=9)
    assert (len(page.items), page.more, page.next, page.previous) == (9, False, None, None)


def test_the_previous_page_is_the_rows_just_above(people: list[User]) -> None:
    order, rows = Order(COLUMNS, cursor=MIXED), User.objects.all()
    first = paginate(rows, order, limit=2)
    second = paginate(rows, order, cursor=first.next, limit=2)
    third = paginate(rows, order, cursor=second.next, limit=2)
    back = paginate(rows, order, before=third.previous, limit=2)
    assert (list(back.items), back.next) == (list(second.items), second.next)
    assert paginate(rows, order, before=back.previous, limit=2) == first
    assert third.previous
    assert first.previous is None


def test_too_few_rows_above_give_the_first_page(people: list[User]) -> None:
    order, rows = Order(("id",), cursor=NUMBER), User.objects.all()
    second = paginate(rows, order, cursor=str(people[0].pk), limit=3)
    assert paginate(rows, order, before=second.previous, limit=3).items == people[:3]


def test_a_page_is_one_query(people: list[User]) -> None:
    order = Order(COLUMNS, cursor=MIXED)
    with CaptureQueriesContext(connection) as queries:
        paginate(User.objects.all(), order, cursor="a|y|1", limit=2)
    assert len(queries) == 1


def test_rows_that_come_in_do_not_move_a_page(people: list[User]) -> None:
    order = Order(("-id",), cursor=NUMBER)
    first = paginate(User.objects.all(), order, limit=3)
    User.objects.create(username="late")
    second = paginate(User.objects.all(), order, cursor=first.next, limit=3)
    assert second.items == people[5:2:-1]


def test_a_cursor_may_hold_more_than_the_compared_columns(people: list[User]) -> None:
    order = Order(("-id",), cursor=MIXED, sort=("-pk",), cursor_columns=("username", "id"))
    page = paginate(User.objects.all(), order, limit=2)
    assert page.next == f"user7|{people[7].pk}"
    assert paginate(User.objects.all(), order, cursor=page.next, limit=1).items == [people[6]]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (NUMBER, (2**63 - 1,)),
        (IDENTIFIER, (uuid.UUID(int=7),)),
        (TEXT, ("python-basic",)),
        (TIME_AND_ID, (datetime(2026, 3, 5, 12, 0, 0, 123456, tzinfo=UTC), uuid.UUID(int=7))),
    ],
)
def test_cursors_survive_a_round_trip(kind: pagination.Cursor, values: tuple[object, ...]) -> None:
    assert kind.read(kind.write(*values)) == values


@pytest.mark.parametrize("text", ["x", "-1", "1.5", "9" * 30, "٣", "\0"])
def test_a_damaged_cursor_is_an_error_of_its_own(db: None, text: str) -> None:
    for kind in (NUMBER, IDENTIFIER, TIME_AND_ID):
        order = Order(("-id",), cursor=kind)
        with pytest.raises(CursorError, match="Give a `next` of an earlier page, unchanged"):
            paginate(User.objects.all(), order, cursor=text, limit=1)
        assert order.cursor_or_none(text) is None


def test_a_page_of_the_dashboard_may_ignore_a_damaged_cursor() -> None:
    order = Order(("-id",), cursor=NUMBER)
    assert order.cursor_or_none(" 12 ") == "12"
    assert order.cursor_or_none("") is None
    assert order.cursor_or_none(None) is None
