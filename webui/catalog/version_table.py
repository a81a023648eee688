"""The lines of a template's table: versions by number, and builds without a version among them.

Pure: rows in, values out.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from templatemgr.models import Build, HealthState, Template, Version
from webui.builds.state_text import state_text
from webui.catalog.queries import VersionPage
from webui.promotions.package_changes import Comparison, compare


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the table: a version, or a build without a version (yet)."""

    at: datetime
    state: str  # selects the colour of the pill; empty for a neutral one
    word: str  # the text of the pill
    build: Build
    version: Version | None = None
    changes: Comparison | None = None
    said: str = ""  # the first line of a build's message
    promotable: bool = False
    primary: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """Some lines, newest first, and the cursor of the next page."""

    rows: tuple[Row, ...]
    next: str | None

    @property
    def building(self) -> bool:
        """Whether a line can change without a reload, because a build runs."""
        return any(not row.build.finished for row in self.rows)

    @property
    def promotion_waits(self) -> bool:
        """Whether a line offers its promotion as the next thing to do."""
        return any(row.primary for row in self.rows)


def table(
    template: Template, previous: Version | None, page: VersionPage, *, newest_first: bool
) -> Table:
    """Return the lines of a page. `newest_first`: its first version is the newest of all."""
    rows = [
        _version_row(
            template,
            version,
            page.packages.get(version.number - 1),
            previous,
            newest=newest_first and index == 0,
        )
        for index, version in enumerate(page.versions.items)
    ]
    rows += [_build_row(build) for build in page.builds]
    rows.sort(key=lambda row: row.at, reverse=True)
    return Table(rows=tuple(rows), next=page.versions.next)


def _version_row(
    template: Template,
    version: Version,
    before: list[dict[str, Any]] | None,
    previous: Version | None,
    *,
    newest: bool,
) -> Row:
    current = template.current
    newer = current is None or version.number > current.number
    state, word = "ready" if newer else "", "ready"
    if version.health.state != HealthState.VERIFIED:
        state = version.health.state
        word = "removed" if state == HealthState.RETIRED else str(state)
    elif version.pk == template.current_id:
        state = word = "current"
    elif previous is not None and version.pk == previous.pk:
        state, word = "", "previous"
    promotable = word in {"ready", "previous"}
    return Row(
        at=version.created_at,
        state=state,
        word=word,
        build=version.build,
        version=version,
        changes=None if before is None else compare(before, version.packages),
        promotable=promotable,
        primary=promotable and newer and newest and not template.pinned,
    )


def _build_row(build: Build) -> Row:
    said = build.message.partition("\n")[0]
    return Row(
        at=build.created_at, state=str(build.state), word=state_text(build), build=build, said=said
    )
