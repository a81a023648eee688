"""Read a page of executions that meet several conditions, in a bounded number of steps.

Each condition with an index of its own in the order of the list is a `Path`. A page follows the one
path that leads furthest back within `WINDOW` entries, and checks the other conditions row by row.
Where the window ends before the page is full, the page is short, and its cursor goes on from there.
So a page costs the same whatever is on record (decision 0050).
"""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import Exists, Func, OuterRef, Q, QuerySet

from core.pagination import TIME_AND_ID, Order, Page
from execapp.models import Execution, ExecutionLabel

WINDOW = 500  # entries of an index that a page looks at
LEAST_WINDOW = 20  # of each of several walks that make one page

_IS_WITHIN = {"lt": operator.lt, "lte": operator.le, "gte": operator.ge}

type Position = tuple[Any, ...]
type Bound = tuple[str, Any]  # a lookup and its value, such as ("lt", now)


class Unindexed(Func):
    """A column as it is, in a form for which the database does not look for an index."""

    template = "+%(expressions)s"
    arity = 1


# Narrows rows by a condition without an index, where the prefix leads to the execution.
type Check = Callable[[QuerySet[Any], str], QuerySet[Any]]


@dataclass(frozen=True, kw_only=True)
class Path:
    """The entries of one index that meet one condition.

    `rows` are executions, or rows of which each belongs to one, to which `prefix` leads. `order`
    has the columns of the index. `checks` say the same of an execution, without the index. `low`
    and `high` are bounds on the first column of the order.
    """

    rows: QuerySet[Any]
    order: Order
    prefix: str = ""
    checks: Sequence[Check] = ()
    low: Bound | None = None
    high: Bound | None = None


@dataclass(frozen=True, kw_only=True)
class Walk:
    """Paths of which one is followed, and the checks of what no path serves.

    The orders of the paths compare the same values of an execution.
    """

    paths: Sequence[Path]
    checks: Sequence[Check] = ()


def unindexed(column: str, lookup: str, value: object) -> Check:
    """Return the check that compares a column of the execution by a lookup of Django."""

    def narrow(rows: QuerySet[Any], prefix: str) -> QuerySet[Any]:
        name = f"checked_{column}_{lookup}"
        found: QuerySet[Any] = rows.alias(**{name: Unindexed(f"{prefix}{column}")})
        return found.filter(**{f"{name}__{lookup}": value})

    return narrow


def labelled(key: str, value: str) -> Check:
    """Return the check that an execution has a label."""

    def narrow(rows: QuerySet[Any], prefix: str) -> QuerySet[Any]:
        owner = OuterRef(f"{prefix}id")
        label = ExecutionLabel.objects.filter(key=key, value=value, execution_id=owner)
        return rows.filter(Exists(label))

    return narrow


@dataclass(frozen=True, kw_only=True)
class _Way:
    """A path from where a page begins: its rows, and the bound at its other end."""

    path: Path
    order: Order
    rows: QuerySet[Any]
    far: Bound | None

    @property
    def whole(self) -> QuerySet[Any]:
        """The rows up to the other end."""
        return self.rows if self.far is None else self.rows.filter(_bound(self.order, self.far))


@dataclass(frozen=True, kw_only=True)
class _Found:
    """Executions in the order of the walk, and where the walk ended; None: nothing follows."""

    rows: list[Execution]
    end: Position | None


def page(
    walks: Sequence[Walk],
    *,
    heavy: Sequence[str],
    limit: int,
    cursor: str | None = None,
    before: str | None = None,
) -> Page[Execution]:
    """Return one page of the executions of all walks, without the `heavy` columns.

    The arguments are those of `pagination.paginate`. A page may be short, or empty, although
    another follows: its cursor then tells where the walk ended. Raises CursorError.
    """
    if before:
        above = _merged(walks, heavy, limit, before, up=True)
        if above.end is not None:
            items = above.rows[:limit][::-1]
            top = _write(above.end)
            below = _write(_position(items[-1], 2)) if items else top
            return Page(items=items, next=below, previous=top)
    found = _merged(walks, heavy, limit, None if before else cursor, up=False)
    following = None if found.end is None else _write(found.end)
    previous = None
    if cursor and not before:
        previous = _write(_position(found.rows[0], 2)) if found.rows else following
    return Page(items=found.rows, next=following, previous=previous)


def _merged(
    walks: Sequence[Walk], heavy: Sequence[str], limit: int, start: str | None, *, up: bool
) -> _Found:
    """Return what all walks find before the first of them ends."""
    window = max(WINDOW // max(1, len(walks)), LEAST_WINDOW)
    found = [_walked(walk, heavy, limit, start, up=up, window=window) for walk in walks]
    if len(found) == 1:
        return found[0]
    ends = [each.end for each in found if each.end is not None]
    end = (max if not up else min)(ends) if ends else None
    width = len(end) if end is not None else 2
    rows = sorted(
        (row for each in found for row in each.rows),
        key=lambda row: _position(row, width),
        reverse=not up,
    )
    if end is not None:
        rows = [row for row in rows if _reaches(_position(row, width), end, up=up)]
    if len(rows) > limit:
        rows = rows[:limit]
        end = _position(rows[-1], width)
    return _Found(rows=rows, end=end)


def _walked(
    walk: Walk, heavy: Sequence[str], limit: int, start: str | None, *, up: bool, window: int
) -> _Found:
    """Follow the path of a walk that leads furthest, and check the other conditions."""
    at = walk.paths[0].order.read(start) if start else None
    ahead = [_ahead(path, at, up=up) for path in walk.paths]
    others = len(ahead) > 1 or bool(walk.checks)
    chosen, end = _furthest(ahead, max(window, limit + 1)) if others else (ahead[0], None)
    # An index takes one bound on each side. The window's end is the nearer one on its side.
    rows = chosen.whole if end is None else chosen.rows.filter(_until(chosen.order, end))
    prefix = chosen.path.prefix
    for checks in (walk.checks, *(each.path.checks for each in ahead if each is not chosen)):
        for check in checks:
            rows = check(rows, prefix)
    rows = rows.select_related(f"{prefix}version")
    rows = rows.defer(*(f"{prefix}{name}" for name in heavy))
    owner = prefix.removesuffix("__")
    listed = rows.order_by(*chosen.order.columns)[: limit + 1]
    found = [getattr(row, owner) if owner else row for row in listed]
    if len(found) > limit:
        found = found[:limit]
        end = _position(found[-1], len(chosen.order.columns))
    return _Found(rows=found, end=end)


def _ahead(path: Path, start: Position | None, *, up: bool) -> "_Way":
    """Return the part of a path that follows a position, and the bound where it has to end."""
    order = path.order.reversed() if up else path.order
    near, far = (path.low, path.high) if up else (path.high, path.low)
    if start is not None and (near is None or _IS_WITHIN[near[0]](start[0], near[1])):
        rows = path.rows.filter(order.following(start))
    else:
        rows = path.rows if near is None else path.rows.filter(_bound(order, near))
    return _Way(path=path, order=order, rows=rows, far=far)


def _furthest(ahead: Sequence["_Way"], window: int) -> tuple["_Way", Position | None]:
    """Return the way whose window leads furthest, and its end; None if it has no more entries."""
    ends: list[tuple[_Way, Position]] = []
    for way in ahead:
        names = [column.removeprefix("-") for column in way.order.columns]
        last = way.whole.order_by(*way.order.columns).values_list(*names)[window - 1 : window]
        end = next(iter(last), None)
        if end is None:
            return way, None
        ends.append((way, end))
    down = ahead[0].order.columns[0].startswith("-")
    return (min if down else max)(ends, key=lambda each: each[1])


def _bound(order: Order, bound: Bound) -> Q:
    """Return the condition of a bound on the first column of an order."""
    return Q((f"{order.columns[0].removeprefix('-')}__{bound[0]}", bound[1]))


def _until(order: Order, end: Position) -> Q:
    """Return the condition that a row does not come after `end`."""
    back = order.reversed()
    names = [column.removeprefix("-") for column in back.columns]
    equal = Q(**dict(zip(names, end, strict=True)))
    nearest = ("lte" if back.columns[0].startswith("-") else "gte", end[0])
    return _bound(order, nearest) & (back.following(end) | equal)


def _position(row: Execution, width: int) -> Position:
    """Return the last `width` of the values that a cursor holds."""
    return (row.created_at, row.pk)[-width:]


def _reaches(position: Position, end: Position, *, up: bool) -> bool:
    """Return whether a walk meets `position` no later than `end`."""
    return position <= end if up else position >= end


def _write(end: Position) -> str:
    """Return the cursor that goes on after `end`."""
    if len(end) == 1:
        made = Execution.objects.filter(pk=end[0]).values_list("created_at", flat=True).first()
        return TIME_AND_ID.write(made or datetime.fromtimestamp(0, UTC), end[0])
    return TIME_AND_ID.write(*end)
