"""Arguments and results of the tools. Their JSON Schemas are what a client shows to a model."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from execapp.api.http import bounds
from execapp.api.v1.schemas.cases import LimitsIn
from execapp.api.v1.schemas.common import Strict
from execapp.api.v1.schemas.executions import FileIn
from execapp.models import ExecutionState

TEMPLATE = "Name of a template from list_templates, such as python; or a version of it, python@7."
WAIT = "Seconds to wait for the end. If it is not over then, call get_execution with the id."

Wait = Annotated[float, Field(ge=0, description=WAIT)]
Template = Annotated[str, Field(max_length=200, description=TEMPLATE)]
Files = Annotated[
    list[FileIn], bounds.files(), Field(description="Files of the program; paths are relative.")
]
Env = Annotated[dict[str, str], bounds.table(lambda size: size.max_env, "variables")]
Labels = Annotated[dict[str, str], bounds.table(lambda size: size.max_labels, "labels")]


class TestsArguments(Strict):
    """Arguments of `run_tests`."""

    template: Template
    files: Files
    env: Env = {}
    limits: LimitsIn = LimitsIn()
    labels: Labels = {}
    wait_seconds: Wait = 30.0


class CodeArguments(TestsArguments):
    """Arguments of `run_code`."""

    entry: str | None = Field(
        default=None, max_length=512, description="The file to run; default: the template's."
    )
    args: Annotated[list[str], bounds.texts(lambda size: size.max_args, "arguments")] = []
    stdin: str = ""


class ListArguments(Strict):
    """Arguments of `list_templates`."""

    cursor: str | None = Field(default=None, max_length=1000, description="`next` of a page.")


class ExecutionArguments(Strict):
    """Arguments of `get_execution`."""

    id: str = Field(max_length=64, description="The id that run_code or run_tests returned.")
    wait_seconds: Wait = 0.0


class CaseResult(BaseModel):
    """One test."""

    name: str
    file: str
    state: Literal["passed", "failed", "skipped"]
    message: str | None


class TestsResult(BaseModel):
    """The tests; `errors` are failures outside of any test."""

    passed: int
    failed: int
    skipped: int
    total: int
    cases: list[CaseResult]
    errors: list[str]


class ExecutionResult(BaseModel):
    """An execution. While `finished` is false, ask again with get_execution."""

    id: str
    state: ExecutionState
    finished: bool
    template: str
    mode: Literal["run", "test"]
    exit_code: int | None
    signal: str | None
    message: str | None
    stdout: str
    stdout_encoding: Literal["utf8", "base64"]
    stderr: str
    stderr_encoding: Literal["utf8", "base64"]
    truncated: bool
    tests: TestsResult | None
    total_ms: float | None


class TemplateResult(BaseModel):
    """A template; without a current version it runs nothing."""

    name: str
    title: str
    modes: list[str]
    version: int | None


class TemplatesResult(BaseModel):
    """A page of templates; `next` is the cursor of the next page."""

    templates: list[TemplateResult]
    next: str | None
