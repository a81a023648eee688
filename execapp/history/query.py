"""Read executions: which of them a viewer may see, and pages of them, newest first."""

import uuid
from dataclasses import dataclass, replace

from django.db.models import QuerySet

from core import parsing
from core.pagination import TIME_AND_ID, Order, Page, paginate
from execapp.errors import NotSupportedError, UnknownExecutionError
from execapp.history.filters import ExecutionFilter
from execapp.models import ApiToken, Execution, Scope
from templatemgr.models import Version

MAX_PAGE = 200
HEAVY = (
    *("args", "env", "stdin", "files", "stdout", "stderr", "tests", "host", "callback"),
    *("cases", "case_results"),
    *("version__packages", "version__smoke"),
)

BY_TIME = Order(("-created_at", "-id"), cursor=TIME_AND_ID)
BY_ID = Order(("-id",), cursor=TIME_AND_ID, cursor_columns=("created_at", "id"))
BY_LABEL = replace(BY_ID, sort=("-label_rows__execution_id",))


@dataclass(frozen=True, kw_only=True)
class Viewer:
    """Who reads: sees every execution, or the own ones only.

    A token and a user of the same name are two clients, so `by_token` is part of the key.
    """

    client: str
    everything: bool = False
    by_token: bool = False

    @classmethod
    def of_token(cls, token: ApiToken) -> "Viewer":
        """Return the viewer behind an API token."""
        return cls(client=token.name, everything=Scope.ADMIN in token.scopes, by_token=True)

    @classmethod
    def of_user(cls, username: str, *, everything: bool) -> "Viewer":
        """Return the viewer behind a signed-in user of the dashboard."""
        return cls(client=username, everything=everything)


def get(*, execution_id: uuid.UUID | str, viewer: Viewer) -> Execution:
    """Return one whole execution. Raises UnknownExecutionError, also for one of another client."""
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
    filters: ExecutionFilter,
    viewer: Viewer,
    cursor: str | None = None,
    newer: str | None = None,
    limit: int = 50,
) -> Page[Execution]:
    """Return one page, newest first, without the large columns. Raises pagination.CursorError.

    `cursor` goes on with older executions. `newer` goes back, to those just above a page; where
    they do not fill a page, the newest page is given, in a second query.
    """
    rows = _apply(visible(viewer), filters).select_related("version").defer(*HEAVY)
    limit = max(1, min(limit, MAX_PAGE))
    return paginate(rows, _order(filters), cursor=cursor, before=newer, limit=limit)


def _order(filters: ExecutionFilter) -> Order:
    """Return the order newest first, by the columns of the index that serves the filters.

    An id begins with the time at which it was made (UUIDv7), so it sorts as `created_at` does.
    """
    if filters.labels:
        return BY_LABEL
    return BY_ID if filters.q else BY_TIME


def visible(viewer: Viewer) -> QuerySet[Execution]:
    """Return the executions that this viewer may see."""
    if viewer.everything:
        return Execution.objects.all()
    return Execution.objects.filter(client=viewer.client, token__isnull=not viewer.by_token)


def _apply(found: QuerySet[Execution], filters: ExecutionFilter) -> QuerySet[Execution]:
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
        # By id, so that the index on the version is used instead of a join.
        numbered = Version.objects.filter(number=filters.version)
        if filters.template is None:
            found = found.filter(version_id__in=numbered.values("id"))
        else:  # one version: its index also has the order of the page
            one = numbered.filter(template__name=filters.template)
            found = found.filter(version_id=one.values_list("id", flat=True).first() or 0)
    for key, value in filters.labels:
        found = found.filter(label_rows__key=key, label_rows__value=value)
    if filters.q:
        first, last = _id_range(filters.q)
        found = found.filter(id__gte=first, id__lte=last)
    return found


def _id_range(text: str) -> tuple[uuid.UUID, uuid.UUID]:
    """Return the first and the last id that begin with `text`. Raises NotSupportedError."""
    try:
        return parsing.identifiers_from(text)
    except parsing.ParseError as error:
        message = "q finds executions by the beginning of their id; nothing else is searched yet."
        raise NotSupportedError(message, details={"path": "q"}) from error
