"""Bodies, parameters and answers of `/executions`."""

from datetime import datetime
from typing import Annotated, Literal

from ninja import Schema
from pydantic import Field, WrapValidator, field_validator

from execapp.api.http import bounds
from execapp.api.http.responses import wait_seconds
from execapp.api.v1.schemas.common import PageQuery, QueryNumber, Strict
from execapp.models import ExecutionState, Mode


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


# A parameter that OpenAPI describes and that the view parses: it is not validated here.
_DOCUMENTED = WrapValidator(lambda value, _validate: value)


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
    since: Annotated[datetime | None, _DOCUMENTED] = None
    until: Annotated[datetime | None, _DOCUMENTED] = None
    q: Annotated[
        str | None, Field(max_length=100, description="beginning of an id"), _DOCUMENTED
    ] = None


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
