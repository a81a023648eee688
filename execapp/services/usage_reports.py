"""Reports on usage: the sums of a span of days, by token, by template or by day.

Days are those of UTC. A page reads the rows of its span by an index.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import F, QuerySet, Sum
from django.utils import timezone

from core import parsing
from core.pagination import DAY, IDENTIFIER, TEXT, Order, Page, paginate
from execapp.errors import Field, InvalidRequestError
from execapp.models import ApiToken, TokenUsage
from execapp.services.storage import day_of

USUAL_DAYS = 30


class Grouping(StrEnum):
    """The rows that a report adds together."""

    TOKEN = "token"  # noqa: S105 - the name of a grouping
    TEMPLATE = "template"
    DAY = "day"


@dataclass(frozen=True, kw_only=True)
class Span:
    """Whole days of UTC from the beginning of `since` to that of `until`, which is not included."""

    since: datetime
    until: datetime


class UsageSum(NamedTuple):
    """What the ended executions of a group used; `key` is a token's id, a template or a day."""

    key: UUID | str
    executions: int
    cpu_ms: int


@dataclass(frozen=True, kw_only=True)
class Report:
    """One page of sums, and the names of the tokens in it."""

    page: Page[UsageSum]
    names: Mapping[UUID | str, str]


# Tokens stand newest first, as in every list of them; their ids sort by the time they were made.
_ORDERS = {
    Grouping.TOKEN: ("token_id", Order(("-key",), cursor=IDENTIFIER)),
    Grouping.TEMPLATE: ("template_name", Order(("key",), cursor=TEXT)),
    Grouping.DAY: ("day", Order(("-key",), cursor=DAY)),
}


def parse_span(*, since: str | None, until: str | None) -> Span:
    """Return the days that two texts cover, each a day or an RFC 3339 time; None: the default.

    A day that is covered in part counts whole. The defaults are the end of today and 30 days before
    `until`. Raises InvalidRequestError with one field for each text that is wrong.
    """
    problems: list[Field] = []
    one_day = timedelta(days=1)
    end, begin = _moment("until", until, problems), _moment("since", since, problems)
    if problems:
        raise InvalidRequestError(problems)
    end = end or timezone.now()
    last = _midnight(end)
    if until is None or last < end:
        last += one_day
    return Span(since=_midnight(begin or last - USUAL_DAYS * one_day), until=last)


def read(
    *, by: Grouping, span: Span, token: ApiToken | None, cursor: str | None = None, limit: int = 50
) -> Report:
    """Return one page of sums: of one token, or of all with None. Raises CursorError.

    Days and tokens stand newest first, templates by name.
    """
    column, order = _ORDERS[by]
    rows = TokenUsage.objects.filter(day__gte=day_of(span.since), day__lt=day_of(span.until))
    if token is not None:
        rows = rows.filter(token=token)
    sums = rows.values(key=F(column)).annotate(ended=Sum("executions"), used=Sum("cpu_ms"))
    listed: QuerySet[Any, Any] = sums.values_list("key", "ended", "used", named=True)
    found = paginate(listed, order, cursor=cursor, limit=limit)
    page = Page(items=[UsageSum(*row) for row in found.items], next=found.next)
    names = ApiToken.objects.none()
    if by is Grouping.TOKEN:
        names = ApiToken.objects.filter(id__in=[row.key for row in page.items])
    return Report(page=page, names=dict(names.values_list("id", "name")))


def last_days(token: ApiToken) -> list[UsageSum]:
    """Return the last 30 days of a token, oldest first, with the days on which nothing ended."""
    span = parse_span(since=None, until=None)
    found = read(by=Grouping.DAY, span=span, token=token, limit=USUAL_DAYS).page.items
    known = {row.key: row for row in found}
    days = [day_of(span.since + timedelta(days=number)) for number in range(USUAL_DAYS)]
    return [known.get(day) or UsageSum(key=day, executions=0, cpu_ms=0) for day in days]


def _moment(name: str, text: str | None, problems: list[Field]) -> datetime | None:
    """Return the time in a text; None without one, and after adding a problem."""
    if text is None:
        return None
    try:
        return parsing.day(text) if len(text) == len("2026-11-30") else parsing.moment(text)
    except parsing.ParseError:
        message = "Give a day such as 2026-11-30, or a time such as 2026-11-30T12:00:00Z."
        problems.append(Field(path=name, message=message))
        return None


def _midnight(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
