"""Counts of rows by the minute of a time, computed by the database."""

from datetime import UTC, datetime
from typing import Any

from django.db.models import Count, QuerySet, TextField
from django.db.models.functions import Cast, Substr

_LENGTH = len("2026-11-30 12:34")


def count_by_minute(
    rows: QuerySet[Any], time: str, *by: str
) -> dict[tuple[Any, ...], dict[datetime, int]]:
    """Return how many of `rows` have the same values of `by` and the same minute of `time`.

    `time` and `by` are names of columns. The result has the values of `by` as keys, and for each
    the numbers of rows by minute (UTC); minutes without rows are missing. An index on these columns
    answers the query alone.
    """
    found: dict[tuple[Any, ...], dict[datetime, int]] = {}
    counted = (
        rows.order_by()
        # Text, since Django truncates times on SQLite by calling Python for each row. A database
        # whose text of a time begins otherwise needs an expression of its own here.
        .annotate(_minute=Substr(Cast(time, TextField()), 1, _LENGTH))
        .values_list(*by, "_minute")
        .annotate(_count=Count("pk"))
    )
    for *values, minute, count in counted:
        moment = datetime.fromisoformat(minute).replace(tzinfo=UTC)
        found.setdefault(tuple(values), {})[moment] = count
    return found
