"""Bodies, parameters and replies of `/builds` and `/templates/{name}/builds`."""

from datetime import datetime
from typing import Annotated, Literal

from ninja import Schema
from pydantic import Field

from execapp.api.http import bounds
from execapp.api.v1.schemas.common import Number, PageQuery, Strict, Text
from templatemgr.models import BuildState


class BuildIn(Strict):
    """Body of `POST /templates/{name}/builds`. Without `from`, build the definition folder."""

    kind: Literal["rebuild", "refresh", "update", "edit"]
    from_: Number | None = Field(default=None, alias="from", description="a version's number")
    packages: Annotated[list[Text], bounds.texts(bounds.MAX_PACKAGES, "packages")] = Field(
        default=[],
        description="of an update: names, or name@1.2.3; empty: all, within their ranges",
        examples=[["vitest", "vite@8.0.1"]],
    )
    files: Annotated[
        dict[Text, Text] | None, bounds.table(lambda size: size.max_files, "files")
    ] = Field(default=None, description="of an edit: path of an input file → its new text")


class BuildsQuery(PageQuery):
    """Filters of a template's builds."""

    state: BuildState | None = None


class StepOut(Schema):
    """A started step of a build."""

    name: str
    state: str = Field(description="active, done, or how the build ended in it")
    started_at: datetime
    finished_at: datetime | None


class BuildOut(Schema):
    """A build. `version` is the new version; `reproduces` is an identical earlier version."""

    id: str
    template: str
    kind: Literal["rebuild", "refresh", "update", "edit"]
    state: BuildState
    step: str | None
    from_: int | None = Field(alias="from")
    packages: list[str]
    files: list[str]
    heals: int | None
    version: int | None
    reproduces: int | None
    message: str | None
    steps: list[StepOut]
    cancel_requested: bool
    requested_by: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    duration_ms: float | None


class BuildsOut(Schema):
    """A page of builds."""

    items: list[BuildOut]
    next: str | None


class LogLineOut(Schema):
    """One line of a build's log."""

    sequence: int
    time: datetime
    step: str
    stream: Literal["stdout", "stderr", "build"]
    text: str


class LogOut(Schema):
    """A page of a build's log."""

    items: list[LogLineOut]
    next: str | None
