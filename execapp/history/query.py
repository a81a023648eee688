"""Reading executions: who may see which, and pages of them, newest first."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet

from core import pagination, parsing
from execapp.errors import NotSupportedError, UnknownExecutionError
from execapp.models import ApiToken, Execution, Scope
from templatemgr.models import Version

MAX_PAGE = 200
HEAVY = (
    *("args", "env", "stdin", "files", "stdout", "stderr", "tests", "host"),
    *("version__packages", "version__smoke"),
)


@dataclass(frozen=True, kw_only=True)
class Viewer:
    """Whose eyes: everything, or the own executions only.

    A token and a user of the same name are two clients, so `by_token` is part of the key.
    """

    client: str
    everything: bool = False
    by_token: bool = False

    @classmethod
    def of_token(cls, token: ApiToken) -> "Viewer":
        """The viewer behind an API token."""
        return cls(client=token.name, everything=Scope.ADMIN in token.scopes, by_token=True)

    @classmethod
    def of_user(cls, username: str, *, everything: bool) -> "Viewer":
        """The viewer behind a signed-in user of the dashboard."""
        return cls(client=username, everything=everything)


@dataclass(frozen=True, kw_only=True)
class Filters:
    """What a page shows; None and empty leave a filter out. `since` is included, `until` not."""

    template: str | None = None
    version: int | None = None
    state: str | None = None
    mode: str | None = None
    client: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    q: str | None = None


@dataclass(frozen=True, kw_only=True)
class Page:
    """Executions without their large columns, and the cursors of the pages beside it.

    `next` leads to older ones. `previous` is what `newer` of `page` takes, None on the newest page.
    """

    items: Sequence[Execution]
    next: str | None
    previous: str | None = None


def get(*, execution_id: uuid.UUID | str, viewer: Viewer) -> Execution:
    """One execution, whole; `UnknownExecutionError` also when it belongs to somebody else."""
    identifier = parsing.identifier_or_none(execution_id)
    found = None
    if identifier is not None:
        found = visible(viewer).select_related("version").filter(id=identifier).first()
    if found is None:
        message = f"There is no execution {str(execution_id)[:80]} that you may see."
        raise UnknownExecutionError(message)
    return found


def page(
    *,
    filters: Filters,
    viewer: Viewer,
    cursor: str | None = None,
    newer: str | None = None,
    limit: int = 50,
) -> Page:
    """One page in one query; a page is not moved by executions that come in meanwhile.

    `cursor` goes on with older executions. `newer` goes back, to those just above a page; where
    they do not fill a page, the newest page is given, in a second query.
    """
    limit = max(1, min(limit, MAX_PAGE))
    if newer:
        found = list(_rows(filters, viewer, newer, forward=True)[: limit + 1])
        if len(found) <= limit:
            return page(filters=filters, viewer=viewer, limit=limit)
        found = found[:limit][::-1]
        return Page(items=found, next=_cursor(found[-1]), previous=_cursor(found[0]))
    found = list(_rows(filters, viewer, cursor)[: limit + 1])
    more = len(found) > limit
    found = found[:limit]
    return Page(
        items=found,
        next=_cursor(found[-1]) if more else None,
        previous=_cursor(found[0]) if cursor and found else None,
    )


def _rows(
    filters: Filters, viewer: Viewer, cursor: str | None, *, forward: bool = False
) -> QuerySet[Execution]:
    """What follows the cursor: older ones, newest first; `forward` newer ones, oldest first."""
    found = _apply(visible(viewer), filters)
    if cursor:
        moment, identifier = pagination.read(cursor)
        by_id = bool(filters.q or filters.labels)
        beside = _after if forward else _before
        found = found.filter(beside(moment, identifier, by_id=by_id))
    order = _order(filters)
    if forward:
        order = tuple(name.removeprefix("-") for name in order)
    return found.select_related("version").defer(*HEAVY).order_by(*order)


def _cursor(execution: Execution) -> str:
    return pagination.write(execution.created_at, execution.id)


def _order(filters: Filters) -> tuple[str, ...]:
    """Newest first, by what the index that serves the filters is sorted by.

    An id begins with the time at which it was made (UUIDv7), so it sorts as `created_at` does.
    """
    if filters.labels:
        return ("-label_rows__execution_id",)
    return ("-id",) if filters.q else ("-created_at", "-id")


def _before(moment: datetime, identifier: uuid.UUID, *, by_id: bool) -> Q:
    if by_id:
        return Q(id__lt=identifier)
    older = Q(created_at__lt=moment) | Q(created_at=moment, id__lt=identifier)
    # Says the same again, so that the index is entered at the right place.
    return older & Q(created_at__lte=moment)


def _after(moment: datetime, identifier: uuid.UUID, *, by_id: bool) -> Q:
    if by_id:
        return Q(id__gt=identifier)
    newer = Q(created_at__gt=moment) | Q(created_at=moment, id__gt=identifier)
    return newer & Q(created_at__gte=moment)


def visible(viewer: Viewer) -> QuerySet[Execution]:
    """The executions this viewer may know of."""
    if viewer.everything:
        return Execution.objects.all()
    return Execution.objects.filter(client=viewer.client, token__isnull=not viewer.by_token)


def _apply(found: QuerySet[Execution], filters: Filters) -> QuerySet[Execution]:
    exact = {
        "template_name": filters.template if filters.version is None else None,
        "state": filters.state,
        "mode": filters.mode,
        "client": filters.client,
        "created_at__gte": filters.since,
        "created_at__lt": filters.until,
    }
    found = found.filter(**{key: value for key, value in exact.items() if value is not None})
    if filters.version is not None:
        # By id, so that the index on the version serves instead of a join.
        numbered = Version.objects.filter(number=filters.version)
        if filters.template is None:
            found = found.filter(version_id__in=numbered.values("id"))
        else:  # one version: its index has the order of the page, too
            one = numbered.filter(template__name=filters.template)
            found = found.filter(version_id=one.values_list("id", flat=True).first() or 0)
    for key, value in filters.labels:
        found = found.filter(label_rows__key=key, label_rows__value=value)
    if filters.q:
        first, last = _id_range(filters.q)
        found = found.filter(id__gte=first, id__lte=last)
    return found


def _id_range(text: str) -> tuple[uuid.UUID, uuid.UUID]:
    """The first and last id that begin with `text`."""
    try:
        return parsing.identifiers_from(text)
    except parsing.ParseError as error:
        message = "q finds executions by the beginning of their id; nothing else is searched yet."
        raise NotSupportedError(message, details={"path": "q"}) from error
