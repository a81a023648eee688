"""The rows that the pages of builds read."""

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet

from core.pagination import IDENTIFIER, Order, Page, paginate
from templatemgr.models import ACTIVE_STATES, Build, BuildState, Template

PAGE = 25
VERSIONS_LISTED = 500
NEWEST = Order(("-pk",), cursor=IDENTIFIER)  # ids sort by time
STATE_GROUPS: Mapping[str, tuple[str, ...]] = {
    "open": (BuildState.QUEUED, *ACTIVE_STATES),
    "through": (BuildState.READY, BuildState.REPRODUCED),
    "failed": (BuildState.FAILED,),
    "stopped": (BuildState.CANCELLED, BuildState.INTERRUPTED),
}


def page(filters: Mapping[str, Any], *, before: str | None) -> Page[Build]:
    """Return one page of builds, newest first, with those that made no version.

    `filters`: the valid values of `BuildFilters`. `before`: a valid cursor of `NEWEST`.
    """
    rows = Build.objects.select_related("template", "version", "reproduces", "from_version")
    if template := filters.get("template"):
        rows = rows.filter(template__name=template)
    if group := filters.get("state"):
        rows = rows.filter(state__in=STATE_GROUPS[group])
    if kind := filters.get("kind"):
        rows = rows.filter(kind=kind)
    return paginate(rows, NEWEST, cursor=before, limit=PAGE)


def version_numbers(template: Template) -> QuerySet[Any, int]:
    """Return the numbers of the newest versions, which a build can start from."""
    numbers = template.versions.order_by("-number").values_list("number", flat=True)
    return numbers[:VERSIONS_LISTED]
