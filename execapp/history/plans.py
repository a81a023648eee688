"""Choose the indexes that may serve the filters of a list of executions."""

import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet

from core import parsing
from core.pagination import TIME_AND_ID, Order
from execapp.errors import NotSupportedError
from execapp.history.filters import ExecutionFilter
from execapp.history.walk import Check, Path, Walk, labelled, unindexed
from execapp.models import Execution, ExecutionLabel
from templatemgr.models import Version

BY_TIME = Order(("-created_at", "-id"), cursor=TIME_AND_ID)
# An id begins with the time at which it was made (UUIDv7), so it sorts as `created_at` does.
BY_ID = Order(("-id",), cursor=TIME_AND_ID)
BY_LABEL = Order(("-execution_id",), cursor=TIME_AND_ID)


def walks(filters: ExecutionFilter, *, client: str | None, by_token: bool) -> Sequence[Walk]:
    """Return the walks that together find the executions of the filters, newest first.

    `client` restricts them to those of one client, which is a token if `by_token`, else a user.
    Without a walk there is no such execution. Raises NotSupportedError for a wrong `q`.
    """
    exact: dict[str, Any] = {
        "client": filters.client if client is None else client,
        "template_name": filters.template if filters.version is None else None,
        "state": filters.state,
        "mode": filters.mode,
    }
    columns = {name: value for name, value in exact.items() if value is not None}
    checks = [] if client is None else [unindexed("token", "isnull", not by_token)]
    span = None if not filters.q else _id_range(filters.q)
    if client is not None and filters.client not in (None, client):
        return []
    if filters.labels or span:
        return _by_id(filters, columns, checks, span)
    return _by_time(filters, columns, checks)


def _by_time(
    filters: ExecutionFilter, columns: dict[str, Any], checks: Sequence[Check]
) -> Sequence[Walk]:
    """Return walks over the indexes that are in the order of time."""
    paths = [_by_column(name, value, filters) for name, value in columns.items()]
    if filters.version is None and len(paths) == 1 and checks:
        # Only the client: rows of a token and a user of one name are rare, so no bound is needed.
        rows = paths[0].rows
        for check in checks:
            rows = check(rows, "")
        return [Walk(paths=[replace(paths[0], rows=rows)])]
    if filters.version is None:
        return [Walk(paths=paths or [_timed(Execution.objects.all(), filters)], checks=checks)]
    # A walk for each version of the number: several values have no common order in an index.
    return [
        Walk(paths=[_by_column("version_id", version, filters), *paths], checks=checks)
        for version in _versions(filters)
    ]


def _by_id(
    filters: ExecutionFilter,
    columns: dict[str, Any],
    checks: Sequence[Check],
    span: tuple[uuid.UUID, uuid.UUID] | None,
) -> Sequence[Walk]:
    """Return a walk over the indexes that are in the order of the ids."""
    checks = [
        *checks,
        *(unindexed(name, "exact", value) for name, value in columns.items()),
        *(unindexed("created_at", lookup, value) for lookup, value in _times(filters)),
    ]
    if filters.version is not None:
        checks.append(unindexed("version_id", "in", list(_versions(filters))))
    low, high = (None, None) if span is None else (("gte", span[0]), ("lte", span[1]))
    if not filters.labels:
        named = Path(rows=Execution.objects.all(), order=BY_ID, low=low, high=high)
        return [Walk(paths=[named], checks=checks)]
    paths = [
        Path(
            rows=ExecutionLabel.objects.filter(key=key, value=value),
            order=BY_LABEL,
            prefix="execution__",
            checks=[labelled(key, value)],
            low=low,
            high=high,
        )
        for key, value in dict.fromkeys(filters.labels)
    ]
    return [Walk(paths=paths, checks=checks)]


def _by_column(name: str, value: object, filters: ExecutionFilter) -> Path:
    rows = Execution.objects.filter(**{name: value})
    return replace(_timed(rows, filters), checks=[unindexed(name, "exact", value)])


def _timed(rows: QuerySet[Execution], filters: ExecutionFilter) -> Path:
    low = None if filters.since is None else ("gte", filters.since)
    high = None if filters.until is None else ("lt", filters.until)
    return Path(rows=rows, order=BY_TIME, low=low, high=high)


def _versions(filters: ExecutionFilter) -> Sequence[int]:
    """Return the ids of the versions that a filter names and that have an execution."""
    number = filters.version
    found = Version.objects.none() if number is None else Version.objects.filter(number=number)
    if filters.template is not None:
        found = found.filter(template__name=filters.template)
    used = Exists(Execution.objects.filter(version=OuterRef("pk")))
    return sorted(found.filter(used).order_by().values_list("id", flat=True))


def _times(filters: ExecutionFilter) -> Sequence[tuple[str, object]]:
    both = (("gte", filters.since), ("lt", filters.until))
    return [(lookup, value) for lookup, value in both if value is not None]


def _id_range(text: str) -> tuple[uuid.UUID, uuid.UUID]:
    """Return the first and the last id that begin with `text`. Raises NotSupportedError."""
    try:
        return parsing.identifiers_from(text)
    except parsing.ParseError as error:
        message = "q finds executions by the beginning of their id; nothing else is searched yet."
        raise NotSupportedError(message, details={"path": "q"}) from error
