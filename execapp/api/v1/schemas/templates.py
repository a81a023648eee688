"""What goes in and out where templates are built, promoted, compared and held."""

from datetime import datetime
from typing import Annotated, Any, Literal

from ninja import Schema
from pydantic import AfterValidator, Field

from execapp.api.http import bounds
from execapp.api.v1.schemas.executions import (
    Number,
    PageQuery,
    PromotionOut,
    QueryNumber,
    Strict,
    TemplateOut,
    VersionOut,
)
from templatemgr.models import BuildState


def _printable(text: str) -> str:
    if "\0" in text:
        message = "NUL is not allowed."
        raise ValueError(message)
    return text


Text = Annotated[str, AfterValidator(_printable)]


class BuildIn(Strict):
    """`POST /templates/{name}/builds`. Without `from` it starts from the definition folder."""

    kind: Literal["rebuild", "refresh", "update", "edit"]
    from_: Number | None = Field(default=None, alias="from", description="a version's number")
    packages: Annotated[list[Text], bounds.texts(bounds.MAX_PACKAGES, "packages")] = Field(
        default=[],
        description="of an update: names, or name@1.2.3; none moves all within their ranges",
        examples=[["vitest", "vite@8.0.1"]],
    )
    files: Annotated[
        dict[Text, Text] | None, bounds.table(lambda size: size.max_files, "files")
    ] = Field(default=None, description="of an edit: path of an input file → its new text")


class ReasonIn(Strict):
    """Why, for the audit trail."""

    reason: Text = Field(description="1 to 500 characters")


class PromoteIn(ReasonIn):
    """`POST /templates/{name}/promote`."""

    version: Number
    expected_current: Number | None = Field(
        default=None, description="409 when another version is current by now"
    )
    override: Text | None = Field(
        default=None, description="why closed gates are passed by; needs the scope admin"
    )


class RollBackIn(ReasonIn):
    """`POST /templates/{name}/rollback`."""

    expected_current: Number | None = None
    override: Text | None = None


class PolicyIn(ReasonIn):
    """`PUT /templates/{name}/policy`."""

    required: Annotated[list[Text] | None, bounds.texts(bounds.MAX_GATES, "gates")] = Field(
        description="names of gates; null: all of them"
    )


class DiffQuery(Schema):
    """What a version is compared with: the older side."""

    against: QueryNumber


class BuildsQuery(PageQuery):
    """Filters of a template's builds."""

    state: BuildState | None = None


class StepOut(Schema):
    """A step of a build that has begun."""

    name: str
    state: str = Field(description="active, done, or how the build ended in it")
    started_at: datetime
    finished_at: datetime | None


class BuildOut(Schema):
    """A build; `version` is what it made, `reproduces` what it came out identical to."""

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


class MovedOut(TemplateOut):
    """The template as it is now, and the promotion that made it so."""

    promotion: PromotionOut


class GateOut(Schema):
    """One condition of a promotion; an essential one is required whatever the policy says."""

    name: str
    ok: bool
    required: bool
    essential: bool
    detail: str


class GatesOut(Schema):
    """Whether a version can be promoted now, gate by gate."""

    version: int
    promotable: bool
    gates: list[GateOut]


class PolicyOut(Schema):
    """Which gates promotions of a template must pass."""

    required: list[str]
    essential: list[str]
    known: list[str]


class RemovedOut(Schema):
    """What the disk got back."""

    version: VersionOut
    freed_bytes: int
    freed_files: int


class InputOut(Schema):
    """A file that a version was built from."""

    path: str
    size_bytes: int
    executable: bool


class InputsOut(Schema):
    """Every file that a version was built from."""

    version: int
    definition_digest: str
    items: list[InputOut]


class DiffPackagesOut(Schema):
    """Packages by what became of them."""

    added: list[dict[str, Any]]
    removed: list[dict[str, Any]]
    changed: list[dict[str, Any]]


class DiffFilesOut(Schema):
    """How many files, and the first of them by path; `left_out` of them are not listed."""

    added: int
    removed: int
    changed: int
    items: list[dict[str, Any]]
    left_out: int


class SizesOut(Schema):
    """Bytes of both sides."""

    before: int
    after: int


class DiffOut(Schema):
    """What moved from `before` to `after`."""

    before: str
    after: str
    packages: DiffPackagesOut
    programs: list[dict[str, Any]]
    install_scripts: list[dict[str, Any]]
    licences: list[dict[str, Any]]
    origins: list[dict[str, Any]]
    deprecations: list[dict[str, Any]]
    files: DiffFilesOut
    size_bytes: SizesOut
    configuration: list[dict[str, Any]]
    configuration_left_out: int
