"""Lists of templates, versions, promotions, builds and log lines, each a page of rows."""

from typing import Any

from django.db.models import Count, OuterRef, QuerySet, Subquery

from core import parsing
from core.pagination import NUMBER, TEXT, TIME_AND_ID, Order, Page, paginate
from templatemgr import catalog
from templatemgr.errors import UnknownTemplateError, UnknownVersionError
from templatemgr.models import Build, BuildLogLine, Promotion, Template, Version

BY_NAME = Order(("name",), cursor=TEXT)
NEWEST_VERSION = Order(("-number",), cursor=NUMBER)
NEWEST_PROMOTION = Order(("-id",), cursor=NUMBER)
NEWEST_BUILD = Order(("-created_at", "-pk"), cursor=TIME_AND_ID)
BY_SEQUENCE = Order(("sequence",), cursor=NUMBER)


def list_templates(*, cursor: str | None, limit: int) -> Page[Any]:
    """Return a page of templates by name, each as `find_template` returns it."""
    return paginate(_templates(), BY_NAME, cursor=cursor, limit=limit)


def find_template(*, name: str) -> Any:
    """Return a template with `version_count`, `promoted_at` and `promoted_by`.

    Raises UnknownTemplateError.
    """
    row = _templates().filter(name=name).first()
    if row is None:
        message = f"There is no template {name[:80]!r}."
        raise UnknownTemplateError(message, template=name[:80])
    return row


def list_versions(*, template: Template, cursor: str | None, limit: int) -> Page[Version]:
    """Return a page of a template's versions, newest first, without their packages."""
    rows = Version.objects.filter(template=template).select_related("health", "template")
    return paginate(rows.defer("packages"), NEWEST_VERSION, cursor=cursor, limit=limit)


def find_version(*, name: str, number: str) -> Version:
    """Return a version by the texts of an address.

    Raises UnknownTemplateError, UnknownVersionError.
    """
    template = find_template(name=name)
    wanted = parsing.whole_or_none(number)
    rows = Version.objects.select_related("health", "template", "build")
    found = rows.filter(template=template, number=wanted).first() if wanted is not None else None
    if found is None:
        message = f"{template.name} has no version {number[:40]}."
        raise UnknownVersionError(message, template=template.name, version=number[:40])
    return found


def list_promotions(*, name: str, cursor: str | None, limit: int) -> Page[Promotion]:
    """Return a page of a template's promotions, newest first. Raises UnknownTemplateError."""
    rows = Promotion.objects.filter(template=find_template(name=name))
    rows = rows.select_related("from_version", "to_version")
    return paginate(rows, NEWEST_PROMOTION, cursor=cursor, limit=limit)


def list_builds(*, template: str, state: str | None, cursor: str | None, limit: int) -> Page[Build]:
    """Return a page of a template's builds, newest first. Raises UnknownTemplateError."""
    rows = Build.objects.filter(template=catalog.get(name=template))
    rows = rows.select_related("template", "version", "reproduces", "from_version")
    if state is not None:
        rows = rows.filter(state=state)
    return paginate(rows, NEWEST_BUILD, cursor=cursor, limit=limit)


def list_log_lines(*, build: Build, cursor: str | None, limit: int) -> Page[BuildLogLine]:
    """Return a page of a build's log, in order; the cursor is the `sequence` of the last line.

    While the build runs, more lines can come after the last page: those after its last `sequence`.
    """
    return paginate(build.lines.all(), BY_SEQUENCE, cursor=cursor, limit=limit)


def _templates() -> QuerySet[Any]:
    latest = Promotion.objects.filter(template=OuterRef("pk")).order_by("-id")
    return Template.objects.select_related("current").annotate(
        version_count=Count("versions"),
        promoted_at=Subquery(latest.values("created_at")[:1]),
        promoted_by=Subquery(latest.values("actor")[:1]),
    )
