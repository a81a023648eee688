"""Read executions: which of them a viewer may see, and pages of them, newest first."""

import uuid
from dataclasses import dataclass

from django.db.models import QuerySet

from core import parsing
from core.pagination import Page
from execapp.errors import UnknownExecutionError
from execapp.history import plans, walk
from execapp.history.filters import ExecutionFilter
from execapp.models import ApiToken, Execution, Scope

MAX_PAGE = 200
HEAVY = (
    *("args", "env", "stdin", "files", "stdout", "stderr", "tests", "host", "callback"),
    *("cases", "case_results"),
    *("version__packages", "version__smoke"),
)


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
    they do not fill a page, the newest page is given, in a second query. With several filters a
    page looks at a bounded number of executions: it may be short, or empty, and have a `next`.
    """
    limit = max(1, min(limit, MAX_PAGE))
    client = None if viewer.everything else viewer.client
    walks = plans.walks(filters, client=client, by_token=viewer.by_token)
    return walk.page(walks, heavy=HEAVY, limit=limit, cursor=cursor, before=newer)


def visible(viewer: Viewer) -> QuerySet[Execution]:
    """Return the executions that this viewer may see."""
    if viewer.everything:
        return Execution.objects.all()
    return Execution.objects.filter(client=viewer.client, token__isnull=not viewer.by_token)
