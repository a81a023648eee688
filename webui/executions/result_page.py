"""An execution as its page shows it: times, usage, code, tests, output."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from execapp.api.presenters.executions import present_submission
from execapp.models import Execution
from execapp.output import decode_output
from execapp.services import checks
from webui.executions import annotated_source, case_page, files_page
from webui.shell import charts

MAX_CASES = 300
MAX_CASE_OUTPUT = 20_000  # characters of one stream of one test
MAX_CURL = 100_000  # bytes; Linux refuses an argument of 128 KiB
MAX_OUTPUT = 200_000  # characters of each stream on the page, and of all tests together
MAX_LINES = 5000  # of code, all files together
OPEN_FILES = 3


@dataclass(frozen=True, kw_only=True)
class CodeFile:
    """A submitted file; `hidden` says why lines are missing."""

    path: str
    size: int
    lines: list[annotated_source.CodeLine]
    hidden: str = ""
    open: bool = True

    @property
    def failing(self) -> int:
        """The number of lines with messages of failing tests."""
        return sum(1 for line in self.lines if line.notes)


@dataclass(frozen=True, kw_only=True)
class Output:
    """One stream as text; if `binary`, as base64, because it is not UTF-8."""

    name: str
    text: str
    size: int
    truncated: bool  # by the limit of the execution
    cut: bool  # by this page
    binary: bool


@dataclass(frozen=True, kw_only=True)
class CaseOutput:
    """The output of one test to one stream; `cut` if the page shows only its beginning."""

    name: str
    text: str
    cut: bool


@dataclass(frozen=True, kw_only=True)
class Case:
    """One reported test, and its output as the page shows it."""

    report: Mapping[str, Any]
    outputs: list[CaseOutput]


@dataclass(frozen=True, kw_only=True)
class Group:
    """The tests of one file."""

    file: str
    cases: list[Case]


@dataclass(frozen=True, kw_only=True)
class Tests:
    """The results of all tests; `left` counts passed tests that the page leaves out."""

    passed: int
    failed: int
    skipped: int
    total: int
    groups: list[Group]
    errors: list[Mapping[str, Any]]
    left: int


@dataclass(frozen=True, kw_only=True)
class Usage:
    """The used part of a limit; `unit` is the template filter that shows both."""

    name: str
    used: float | None
    limit: float | None
    unit: str  # "ms" or "bytes"


@dataclass(frozen=True, kw_only=True)
class Result:
    """Everything that a page shows about an execution."""

    execution: Execution
    bar: tuple[charts.Segment, ...]
    usage: tuple[Usage, ...]
    files: list[CodeFile]
    size: int
    outputs: tuple[Output, Output]
    tests: Tests | None
    cases: case_page.Cases | None
    files_back: list[files_page.FileBack]
    curl: str


def result(execution: Execution, base: str) -> Result:
    """Return the result; `base` is the address of this server for the curl command."""
    files = code(execution)
    return Result(
        execution=execution,
        bar=charts.timing_bar(execution.timings),
        usage=_usage(execution),
        files=files,
        size=sum(file.size for file in files),
        outputs=(
            output("stdout", execution.stdout, truncated=execution.stdout_truncated),
            output("stderr", execution.stderr, truncated=execution.stderr_truncated),
        ),
        tests=tests(execution.tests) if execution.tests else None,
        cases=case_page.cases(execution),
        files_back=files_page.files(execution),
        curl=curl(execution, base),
    )


def code(execution: Execution) -> list[CodeFile]:
    """Return the files with their failing lines; files with failing lines come first."""
    notes = annotated_source.notes_of((execution.tests or {}).get("cases") or ())
    marked = {path for path, _ in notes}
    ordered = sorted(execution.files, key=lambda file: file["path"] not in marked)
    shown: list[CodeFile] = []
    left = MAX_LINES
    for index, file in enumerate(ordered):
        made = _file(file, notes, left=left, first=index < OPEN_FILES or file["path"] in marked)
        left -= len(made.lines)
        shown.append(made)
    return shown


def output(name: str, data: bytes | memoryview, *, truncated: bool) -> Output:
    """Return one stream for the page."""
    text, encoding = decode_output(data, truncated=truncated)
    return Output(
        name=name,
        text=text[:MAX_OUTPUT],
        size=len(data),
        truncated=truncated,
        cut=len(text) > MAX_OUTPUT,
        binary=encoding == "base64",
    )


def tests(report: Mapping[str, Any]) -> Tests:
    """Return the tests by file; of more than MAX_CASES the failed ones come first."""
    cases = list(report.get("cases") or ())
    shown = cases
    if len(cases) > MAX_CASES:
        shown = sorted(cases, key=lambda case: case.get("state") != "failed")[:MAX_CASES]
    groups: dict[str, list[Case]] = {}
    left = MAX_OUTPUT
    for reported in shown:
        case = Case(report=reported, outputs=_case_outputs(reported, left))
        left -= sum(len(output.text) for output in case.outputs)
        groups.setdefault(str(reported.get("file") or ""), []).append(case)
    return Tests(
        passed=report.get("passed", 0),
        failed=report.get("failed", 0),
        skipped=report.get("skipped", 0),
        total=report.get("total", 0),
        groups=[Group(file=file, cases=members) for file, members in groups.items()],
        errors=list(report.get("errors") or ()),
        left=len(cases) - len(shown),
    )


def _case_outputs(case: Mapping[str, Any], left: int) -> list[CaseOutput]:
    """Return the output of a test, at most `left` characters."""
    outputs = []
    for name in ("stdout", "stderr"):
        text = str(case.get(name) or "")
        most = min(left, MAX_CASE_OUTPUT)
        if text:
            outputs.append(CaseOutput(name=name, text=text[:most], cut=len(text) > most))
            left -= len(text[:most])
    return outputs


def curl(execution: Execution, base: str) -> str:
    """Return the command that submits the same; empty if it is too long for a command line."""
    body = {name: value for name, value in present_submission(execution).items() if value}
    del body["id"]
    text = json.dumps({**body, "wait": 20}, ensure_ascii=False)
    if len(text.encode()) > MAX_CURL:
        return ""
    return (
        f"curl {shlex.quote(f'{base}/api/v1/executions')} \\\n"
        '  -H "Authorization: Bearer $STENCIL_TOKEN" \\\n'
        "  -H 'Content-Type: application/json' \\\n"
        f"  -d {shlex.quote(text)}"
    )


def _file(
    file: Mapping[str, str], notes: annotated_source.Notes, *, left: int, first: bool
) -> CodeFile:
    path, data = file["path"], checks.content_of(file) or b""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        return CodeFile(path=path, size=len(data), lines=[], hidden="Not text.", open=False)
    lines = annotated_source.code_lines(path, text, notes)
    more = len(lines) - left
    hidden = f"{more:,} more lines: open them in the playground." if more > 0 else ""
    return CodeFile(path=path, size=len(data), lines=lines[:left], hidden=hidden, open=first)


def _usage(execution: Execution) -> tuple[Usage, ...]:
    usage, limits = execution.usage, execution.limits
    written = max(len(execution.stdout), len(execution.stderr))  # the limit is for each stream
    return (
        Usage(name="CPU", used=usage.get("cpu_ms"), limit=limits.get("cpu_ms"), unit="ms"),
        Usage(
            name="memory",
            used=usage.get("memory_peak_bytes"),
            limit=limits.get("memory_bytes"),
            unit="bytes",
        ),
        Usage(name="output", used=written, limit=limits.get("output_bytes"), unit="bytes"),
    )
