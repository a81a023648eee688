"""The cases of a submission, and their results."""

from typing import Annotated, Literal

from ninja import Schema
from pydantic import Field

from execapp.api.http import bounds
from execapp.api.v1.schemas.common import Strict
from execapp.models import ExecutionState


class LimitsIn(Strict):
    """Limits that differ from the template's defaults; at most its maximum."""

    wall_ms: int | None = None
    cpu_ms: int | None = None
    memory_bytes: int | None = None
    disk_bytes: int | None = None
    output_bytes: int | None = None
    processes: int | None = None


class RunCaseIn(Strict):
    """One case. Without `stdin` or `args` it has those of the submission; `env` is added to its.

    `limits` are at most those of the submission. Without `expected_stdout` its output is not
    compared.
    """

    name: str | None = Field(default=None, description="at most 200 bytes")
    stdin: str | None = None
    args: Annotated[list[str], bounds.texts(lambda size: size.max_args, "arguments")] | None = None
    env: Annotated[dict[str, str], bounds.table(lambda size: size.max_env, "variables")] = {}
    expected_stdout: str | None = None
    limits: LimitsIn = Field(default_factory=LimitsIn)


class ToleranceIn(Strict):
    """Compare words; a and b are equal if |a - b| <= float * max(1, |b|), where b is expected."""

    tolerance: float = Field(alias="float", ge=0, examples=[1e-6])


class CaseTruncatedOut(Schema):
    """Whether each stream of a case was truncated at its output limit."""

    stdout: bool
    stderr: bool


class CaseUsageOut(Schema):
    """The resource usage of one case."""

    cpu_ms: float
    memory_peak_bytes: int | None


class CaseTimingsOut(Schema):
    """Milliseconds by the host's clock. `start` says how the sandbox of the case was made."""

    setup_ms: float
    run_ms: float
    collect_ms: float
    start: Literal["fork", "warm", "cold"]


class RunCaseOut(Schema):
    """The result of one case; `verdict` is null if its output was not compared."""

    name: str | None
    state: ExecutionState
    verdict: Literal["accepted", "wrong_output"] | None
    exit_code: int | None
    signal: str | None
    message: str | None
    stdout: str
    stdout_encoding: Literal["utf8", "base64"]
    stderr: str
    stderr_encoding: Literal["utf8", "base64"]
    truncated: CaseTruncatedOut
    usage: CaseUsageOut
    timings: CaseTimingsOut


class RunCasesOut(Schema):
    """The ended cases in the order of the request; `total` counts also those that did not run."""

    passed: int
    failed: int
    total: int
    items: list[RunCaseOut]
