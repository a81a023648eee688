"""Bodies, parameters and replies of `/executions`."""

from datetime import datetime
from typing import Annotated, Literal

from ninja import Schema
from pydantic import Field, WrapValidator, field_validator

from execapp.api.http import bounds
from execapp.api.http.openapi import ErrorBody
from execapp.api.http.responses import wait_seconds
from execapp.api.v1.schemas.cases import LimitsIn, RunCaseIn, RunCasesOut, ToleranceIn
from execapp.api.v1.schemas.common import PageQuery, QueryNumber, Strict
from execapp.conf import MAX_BATCH
from execapp.models import ExecutionState, Mode

Seconds = Annotated[float, Field(ge=0, description="seconds; at most 60 by default")]


class FileIn(Strict):
    """One file. `path` is relative to src/."""

    path: str
    content: str
    encoding: Literal["utf8", "base64"] = "utf8"


class SubmissionIn(Strict):
    """Body of `POST /executions`."""

    template: str = Field(max_length=200, examples=["typescript", "typescript@7"])
    mode: Literal["run", "test"]
    files: Annotated[list[FileIn], bounds.files()]
    entry: str | None = Field(default=None, max_length=512)
    args: Annotated[list[str], bounds.texts(lambda size: size.max_args, "arguments")] = []
    stdin: str = ""
    env: Annotated[dict[str, str], bounds.table(lambda size: size.max_env, "variables")] = {}
    limits: LimitsIn = Field(default_factory=LimitsIn)  # generators reject objects as defaults
    wait: bool | Seconds = False
    callback_url: str | None = Field(
        default=None,
        max_length=2048,
        description="gets the finished execution by POST, signed; see GET /me/callback-secret",
    )
    labels: Annotated[dict[str, str], bounds.table(lambda size: size.max_labels, "labels")] = {}
    collect: Annotated[
        list[str], bounds.texts(lambda size: size.max_collect_patterns, "patterns")
    ] = Field(
        default=[],
        examples=[["out/*.png", "report.json"]],
        description="patterns of files below src/ that come back; `**` stands for any folders",
    )
    cases: Annotated[list[RunCaseIn], bounds.cases()] | None = Field(
        default=None,
        description="mode run: the program runs once for each case, in a sandbox of its own",
    )
    compare: Literal["exact", "trim", "tokens"] | ToleranceIn = Field(
        default="exact", description="how the output of a case is compared with the expected one"
    )
    stop_on_failure: bool = False

    @field_validator("wait", mode="before")
    @classmethod
    def _wait(cls, value: object) -> float:
        return wait_seconds(value)


def _unparsed(value: object, _validate: object) -> object:
    """Check the number of submissions only: each is parsed, and refused, by itself."""
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_BATCH:
        message = f"Give a list of 1 to {MAX_BATCH} submissions."
        raise ValueError(message)
    return value


class BatchIn(Strict):
    """Body of `POST /executions/batch`. The longest `wait` in it holds for all together."""

    submissions: Annotated[
        list[SubmissionIn], Field(min_length=1, max_length=MAX_BATCH), WrapValidator(_unparsed)
    ]
    wait: bool | Seconds = False

    @field_validator("wait", mode="before")
    @classmethod
    def _wait(cls, value: object) -> float:
        return wait_seconds(value)


class RerunIn(Strict):
    """Body of `POST /executions/{id}/rerun`. Without `template`, the same version is used.

    The callback of the first execution is not repeated.
    """

    template: str | None = Field(default=None, max_length=200)
    callback_url: str | None = Field(default=None, max_length=2048)


# A parameter that OpenAPI describes and that the view parses. The schema does not validate it.
_DOCUMENTED = WrapValidator(lambda value, _validate: value)


class ExecutionsQuery(PageQuery):
    """Filters of `GET /executions`."""

    # `history.parse_filter` parses these, also for the page.

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
    """The version of a template; the digest is its identity."""

    name: str
    version: int
    digest: str


class LocationOut(Schema):
    """A place in a test file, counted from 1."""

    line: int
    column: int | None


class CaseOut(Schema):
    """One test. The test tool attributes `stdout` and `stderr`, at most 64 KB each, to it."""

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
    """A failure outside any test."""

    file: str
    message: str


class CountsOut(Schema):
    """The numbers of tests by result."""

    passed: int
    failed: int
    skipped: int
    total: int


class TestsOut(CountsOut):
    """All tests that were reported before the end."""

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
    """Milliseconds by the host's clock; null until they are known.

    `start` is "fork" or "warm" if the process was ready before the submission arrived; for "cold"
    `cold_reason` gives the reason.
    """

    queued_ms: float | None
    setup_ms: float | None
    run_ms: float | None
    collect_ms: float | None
    total_ms: float | None
    warm: bool | None
    start: Literal["fork", "warm", "cold"] | None
    cold_reason: str | None


class UsageOut(Schema):
    """The resource usage of the sandbox, as far as this machine can measure it."""

    cpu_ms: float | None
    memory_peak_bytes: int | None


class TruncatedOut(Schema):
    """Whether each stream was truncated at the output limit."""

    stdout: bool
    stderr: bool


class SummaryOut(Schema):
    """An execution in a list."""

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


class CollectedFileOut(Schema):
    """A file that the program left, and that `collect` asked for.

    `content` is its beginning, at most 256 KiB; `truncated` says that there is more. `url` is the
    address of the whole file. Without `content`, the file is lost.
    """

    path: str
    size_bytes: int
    sha256: str
    content: str | None
    encoding: Literal["utf8", "base64"] | None
    url: str
    truncated: bool


class ExecutionOut(SummaryOut):
    """An execution with all fields."""

    args: list[str]
    stdout: str
    stdout_encoding: Literal["utf8", "base64"]
    stderr: str
    stderr_encoding: Literal["utf8", "base64"]
    tests: TestsOut | None
    cases: RunCasesOut | None
    files: list[CollectedFileOut] | None = Field(
        description="files that came back; null if `collect` named none"
    )


class BatchItemOut(Schema):
    """An execution with status 201 (200: it was known), or an error with its status.

    `retry_after` are the seconds after which another try makes sense.
    """

    status: int
    execution: ExecutionOut | None = None
    error: ErrorBody | None = None
    retry_after: int | None = None


class BatchOut(Schema):
    """The answers to the submissions of a batch, in their order."""

    items: list[BatchItemOut]


class ExecutionsOut(Schema):
    """A page of executions."""

    items: list[SummaryOut]
    next: str | None


class FilesOut(Schema):
    """The submitted files and settings."""

    id: str
    template: str
    mode: Mode
    files: list[FileIn]
    entry: str | None
    args: list[str]
    stdin: str
    env: dict[str, str]
    limits: LimitsOut
    collect: list[str]
    cases: list[RunCaseIn] | None = None
    compare: Literal["exact", "trim", "tokens"] | ToleranceIn | None = None
    stop_on_failure: bool | None = None
