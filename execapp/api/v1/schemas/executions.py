"""What goes in and out, for validation and for the OpenAPI page.

Replies are made by `services.presenting`; their schemas here document them, and the tests hold
the two together.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from ninja import Schema
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WrapValidator,
    field_validator,
    model_validator,
)

from core import parsing
from execapp.api.http import bounds
from execapp.api.http.responses import wait_seconds
from execapp.models import ExecutionState, Mode

Number = Annotated[int, Field(ge=1, le=parsing.LARGEST)]


class Strict(BaseModel):
    """A request body: no key that we do not know, no value of another type."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _few_keys(cls, value: object) -> object:
        return bounds.known_keys(value, cls.model_fields)


class FileIn(Strict):
    """One file; its path is under src/."""

    path: str
    content: str
    encoding: Literal["utf8", "base64"] = "utf8"


class LimitsIn(Strict):
    """Limits that differ from the template's defaults; never more than its maximum."""

    wall_ms: int | None = None
    cpu_ms: int | None = None
    memory_bytes: int | None = None
    disk_bytes: int | None = None
    output_bytes: int | None = None
    processes: int | None = None


class SubmissionIn(Strict):
    """`POST /executions`."""

    template: str = Field(max_length=200, examples=["typescript", "typescript@7"])
    mode: Literal["run", "test"]
    files: Annotated[list[FileIn], bounds.files()]
    entry: str | None = Field(default=None, max_length=512)
    args: Annotated[list[str], bounds.texts(lambda size: size.max_args, "arguments")] = []
    stdin: str = ""
    env: Annotated[dict[str, str], bounds.table(lambda size: size.max_env, "variables")] = {}
    limits: LimitsIn = LimitsIn()
    wait: bool | float = False
    callback_url: str | None = None
    labels: Annotated[dict[str, str], bounds.table(lambda size: size.max_labels, "labels")] = {}

    @field_validator("wait", mode="before")
    @classmethod
    def _wait(cls, value: object) -> float:
        return wait_seconds(value)


class RerunIn(Strict):
    """`POST /executions/{id}/rerun`; without `template` the same version runs it again."""

    template: str | None = Field(default=None, max_length=200)


def _whole(value: object) -> object:
    """Digits of a query string; the bounds of a field are its own."""
    return parsing.whole(value) if isinstance(value, str) else value


def _moment(value: object) -> object:
    return parsing.moment(value) if isinstance(value, str) else value


# In query strings everything is text: these read it as every other entrance does.
QueryNumber = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=parsing.LARGEST)]
Moment = Annotated[datetime, BeforeValidator(_moment)]


# A parameter that OpenAPI describes and that the view parses: it is not validated here.
_DOCUMENTED = WrapValidator(lambda value, _validate: value)


class PageQuery(Schema):
    """What every list takes."""

    limit: Annotated[int, BeforeValidator(_whole)] = Field(default=50, ge=1, le=200)
    cursor: str | None = Field(default=None, max_length=200)


class ExecutionsQuery(PageQuery):
    """Filters of `GET /executions`."""

    # `history.parse_filter` parses these, for the page, too.

    template: Annotated[str | None, Field(max_length=64), _DOCUMENTED] = None
    version: Annotated[QueryNumber | None, _DOCUMENTED] = None
    state: Annotated[ExecutionState | None, _DOCUMENTED] = None
    mode: Annotated[Mode | None, _DOCUMENTED] = None
    client: Annotated[str | None, Field(max_length=150), _DOCUMENTED] = None
    label: Annotated[
        list[str], Field(max_length=16, description="key:value, repeatable"), _DOCUMENTED
    ] = []
    since: Annotated[Moment | None, _DOCUMENTED] = None
    until: Annotated[Moment | None, _DOCUMENTED] = None
    q: Annotated[
        str | None, Field(max_length=100, description="beginning of an id"), _DOCUMENTED
    ] = None


class ErrorBody(Schema):
    """The inside of the one error shape."""

    code: str
    message: str
    details: dict[str, Any]


class ErrorOut(Schema):
    """The one error shape."""

    error: ErrorBody


class ReferenceOut(Schema):
    """Which version; the digest is its identity."""

    name: str
    version: int
    digest: str


class LocationOut(Schema):
    """Where in a test file, counted from 1."""

    line: int
    column: int | None


class CaseOut(Schema):
    """One test. `stdout` and `stderr` are what the tool attributes to it, 64 KB each at most."""

    name: str
    file: str
    state: Literal["passed", "failed", "skipped"]
    duration_ms: float | None
    message: str | None
    location: LocationOut | None
    stdout: str
    stderr: str
    truncated: bool


class FileErrorOut(Schema):
    """What failed outside any test."""

    file: str
    message: str


class CountsOut(Schema):
    """How many tests ended how."""

    passed: int
    failed: int
    skipped: int
    total: int


class TestsOut(CountsOut):
    """Every test that was reported before the end."""

    cases: list[CaseOut]
    errors: list[FileErrorOut]


class LimitsOut(Schema):
    """The limits in force."""

    wall_ms: int
    cpu_ms: int
    memory_bytes: int
    disk_bytes: int
    output_bytes: int
    processes: int


class TimingsOut(Schema):
    """Milliseconds by the host's clock; null as long as they are not known.

    `start` says whether the process that took the submission was ready before it came, and
    `cold_reason` why it was not.
    """

    queued_ms: float | None
    setup_ms: float | None
    run_ms: float | None
    collect_ms: float | None
    total_ms: float | None
    warm: bool | None
    start: Literal["warm", "cold"] | None
    cold_reason: str | None


class UsageOut(Schema):
    """What the sandbox used, as far as this machine can measure it."""

    cpu_ms: float | None
    memory_peak_bytes: int | None


class TruncatedOut(Schema):
    """Which streams were cut at the output limit."""

    stdout: bool
    stderr: bool


class SummaryOut(Schema):
    """An execution as a list shows it."""

    id: str
    state: ExecutionState
    phase: str
    template: ReferenceOut
    mode: Mode
    entry: str | None
    client: str
    limits: LimitsOut
    exit_code: int | None
    signal: str | None
    message: str | None
    error_id: str | None
    attempts: int
    truncated: TruncatedOut
    tests: CountsOut | None
    timings: TimingsOut
    usage: UsageOut
    labels: dict[str, str]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class ExecutionOut(SummaryOut):
    """An execution, whole."""

    args: list[str]
    stdout: str
    stdout_encoding: Literal["utf8", "base64"]
    stderr: str
    stderr_encoding: Literal["utf8", "base64"]
    tests: TestsOut | None


class ExecutionsOut(Schema):
    """A page of executions."""

    items: list[SummaryOut]
    next: str | None


class FilesOut(Schema):
    """What was submitted."""

    id: str
    template: str
    mode: Mode
    files: list[FileIn]
    entry: str | None
    args: list[str]
    stdin: str
    env: dict[str, str]
    limits: LimitsOut


class CurrentOut(Schema):
    """The version that executions get when they name none."""

    version: int
    digest: str
    promoted_at: datetime | None
    promoted_by: str | None


class PinnedOut(Schema):
    """Since when, by whom and why promotions are refused."""

    at: datetime
    by: str
    reason: str


class TemplateLimitsOut(Schema):
    """What an execution gets, and what it may ask for."""

    default: LimitsOut
    maximum: LimitsOut


class TemplateOut(Schema):
    """A template; `versions` is how many there are, `limits` stands on a single one only."""

    name: str
    title: str
    modes: list[str]
    current: CurrentOut | None
    pinned: PinnedOut | None
    versions: int
    limits: TemplateLimitsOut | None = None


class TemplatesOut(Schema):
    """A page of templates."""

    items: list[TemplateOut]
    next: str | None


class FindingOut(Schema):
    """One thing that is wrong; "unsafe" is not served, "not_provable" is, and mended beside it."""

    part: Literal["tree", "cache", "manifest", "inputs", "objects"]
    path: str
    problem: str
    detail: str | None
    severity: Literal["unsafe", "not_provable"]


class RetryOut(Schema):
    """When healing is tried next, and how often it was in vain so far."""

    at: datetime
    tries: int


class HealthOut(Schema):
    """What is known of a version now."""

    state: Literal["verified", "quarantined", "retired"]
    checked_at: datetime
    checked_by: str
    problems: list[Any] = Field(description="of the tree; `findings` has everything")
    message: str | None = Field(description="why it could not be healed, or was removed")
    severity: Literal["none", "not_provable", "unsafe"]
    findings: list[FindingOut]
    retry: RetryOut | None


class VersionSummaryOut(Schema):
    """A version as a list shows it; `files` is how many."""

    version: int
    state: Literal["current", "ready", "removed"]
    health: HealthOut
    digest: str
    tree_digest: str
    definition_digest: str
    platform: str
    toolchain: str
    size_bytes: int
    own_bytes: int
    files: int
    created_at: datetime
    created_by: str
    build: str


class VerificationOut(Schema):
    """How far a verification is and what it found; totals are 0 until it has started."""

    id: str
    state: Literal["queued", "running", "verified", "healed", "quarantined", "failed"]
    heal: bool
    requested_by: str
    files_done: int
    files_total: int
    bytes_done: int
    bytes_total: int
    problems: int
    message: str | None
    build: str | None = Field(description="the rebuild that is to heal it")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class VersionOut(VersionSummaryOut):
    """A version with its packages, smoke results, latest verification, and tries to heal it."""

    packages: list[dict[str, Any]]
    smoke: list[dict[str, Any]]
    verification: VerificationOut | None
    healing: list[VerificationOut]


class VersionsOut(Schema):
    """A page of versions."""

    items: list[VersionSummaryOut]
    next: str | None


class PromotionOut(Schema):
    """One change of what is current."""

    kind: Literal["promote", "rollback"]
    from_: int | None = Field(alias="from")
    to: int
    actor: str
    reason: str
    created_at: datetime


class PromotionsOut(Schema):
    """A page of promotions."""

    items: list[PromotionOut]
    next: str | None


class MeOut(Schema):
    """Whose token this is, and what it may send."""

    client: str
    scopes: list[str]
    pins: dict[str, int]
    token: dict[str, Any]
    limits: dict[str, int | None] = Field(description="null: none is set")
    remaining: dict[str, int | None]
    left: dict[str, int | None] = Field(description="what is left of the limits, as `remaining`")
