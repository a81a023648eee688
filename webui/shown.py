"""An execution as the dashboard shows it: its time, its use, its code, output and tests. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from execapp.models import Execution, ExecutionState, Mode
from execapp.services import checks, presenting
from webui import failing

LINES_SHOWN = 3000  # of all files together
OUTPUT_SHOWN = 200_000  # characters of each stream
CASES_SHOWN = 500
BAR_WIDTH = 1000
PHASES = (("queued", "queued"), ("setup", "set-up"), ("run", "run"), ("record", "record"))


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A part of the timing bar."""

    name: str
    css: str
    ms: float
    x: float
    width: float


@dataclass(frozen=True, kw_only=True)
class CodeFile:
    """A submitted file. `lines` is None when it is not text; `left_out` counts lines not shown."""

    path: str
    size: int
    lines: Sequence[failing.CodeLine] | None
    left_out: int = 0


@dataclass(frozen=True, kw_only=True)
class Output:
    """One stream. `text` is None when it is not text."""

    name: str
    text: str | None
    size: int
    truncated: bool
    left_out: int


@dataclass(frozen=True, kw_only=True)
class Case:
    """One test."""

    state: str
    name: str
    where: str
    message: str
    ms: float | None


@dataclass(frozen=True, kw_only=True)
class Tests:
    """The test report: how many ended how, the cases, and what failed outside any test."""

    __test__ = False

    counts: dict[str, int]
    cases: Sequence[Case]
    left_out: int
    errors: Sequence[dict[str, str]]


def total_ms(execution: Execution, now: datetime) -> float:
    """From submission to the recorded result, or to now."""
    total = execution.timings.get("total_ms")
    return _ms(execution.created_at, now) if total is None else float(total)


def segments(execution: Execution, now: datetime) -> list[Segment]:
    """The parts of the total time in order; while it is open, what is known of them."""
    times = execution.timings
    total = total_ms(execution, now)
    started = execution.started_at
    parts = {"queued": times.get("queued_ms"), "setup": times.get("setup_ms")}
    if execution.finished:
        parts["run"] = times.get("run_ms")
        parts["record"] = total - sum(value or 0.0 for value in parts.values())
        if execution.state == ExecutionState.CANCELLED and started is None:
            parts["record"] = 0.0
    else:
        parts["queued"] = _ms(execution.created_at, started or now)
        parts["run"] = _ms(started, now) if started else None
    made, x = [], 0.0
    for key, name in PHASES:
        value = max(0.0, parts.get(key) or 0.0)
        width = min(BAR_WIDTH * value / total if total > 0 else 0.0, BAR_WIDTH - x)
        if parts.get(key) is not None:
            made.append(Segment(name=name, css=key, ms=value, x=round(x, 2), width=round(width, 2)))
        x += width
    return made


def code_files(execution: Execution) -> list[CodeFile]:
    """Every file; of text the lines, until more than a page can hold are shown."""
    notes = failing.notes_of((execution.tests or {}).get("cases", ()))
    left, shown = LINES_SHOWN, []
    for file in execution.files:
        data = checks.content_of(file) or b""
        text = _text(data)
        if text is None:
            shown.append(CodeFile(path=file["path"], size=len(data), lines=None))
            continue
        lines = failing.code_lines(file["path"], text, notes)
        shown.append(
            CodeFile(
                path=file["path"],
                size=len(data),
                lines=lines[:left],
                left_out=max(0, len(lines) - left),
            )
        )
        left = max(0, left - len(lines))
    return shown


def outputs(execution: Execution) -> list[Output]:
    """Both streams, without what a page could not hold."""
    return [
        _output("stdout", execution.stdout, truncated=execution.stdout_truncated),
        _output("stderr", execution.stderr, truncated=execution.stderr_truncated),
    ]


def tests(execution: Execution) -> Tests | None:
    """The test report; None when there is none. Failing tests come first when not all are shown."""
    report = execution.tests
    if not report:
        return None
    cases = report["cases"]
    if len(cases) > CASES_SHOWN:
        cases = sorted(cases, key=lambda case: case["state"] != "failed")[:CASES_SHOWN]
    return Tests(
        counts={name: report[name] for name in ("failed", "passed", "skipped")},
        cases=[_case(case) for case in cases],
        left_out=len(report["cases"]) - len(cases),
        errors=report["errors"],
    )


def curl(execution: Execution, base: str) -> str:
    """A shell command that submits the same again; the token stays a variable."""
    body = {key: value for key, value in presenting.submitted(execution).items() if value}
    body.pop("id")
    text = json.dumps(body | {"wait": True}, indent=2, ensure_ascii=False)
    # No line of JSON is the bare word, whatever was submitted.
    return (
        f'curl -sS "{base}/api/v1/executions" \\\n'
        '  -H "Authorization: Bearer $STENCIL_TOKEN" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        f"  --data-binary @- <<'SUBMISSION'\n{text}\nSUBMISSION"
    )


def context(execution: Execution, base: str, now: datetime) -> dict[str, Any]:
    """What the templates of an execution and of the playground's result show."""
    streams = outputs(execution)
    return {
        "execution": execution,
        "segments": segments(execution, now),
        "total_ms": total_ms(execution, now),
        "warm": bool(execution.timings.get("warm")),
        "outputs": streams,
        "output_bytes": max(stream.size for stream in streams),
        "tests": tests(execution),
        "test_mode": execution.mode == Mode.TEST,
        "curl": curl(execution, base),
    }


def _case(case: dict[str, Any]) -> Case:
    location = case["location"]
    where = case["file"]
    if location is not None:
        where += f":{location['line']}"
        where += f":{location['column']}" if location.get("column") is not None else ""
    return Case(
        state=case["state"],
        name=case["name"].replace(" > ", " › "),  # noqa: RUF001 - the sign between a test's names
        where=where,
        message=(case["message"] or "").strip(),
        ms=case["duration_ms"],
    )


def _output(name: str, data: bytes | memoryview, *, truncated: bool) -> Output:
    text, encoding = presenting.text_of(data, truncated=truncated)
    readable = encoding == "utf8"
    return Output(
        name=name,
        text=text[:OUTPUT_SHOWN] if readable else None,
        size=len(data),
        truncated=truncated,
        left_out=max(0, len(text) - OUTPUT_SHOWN) if readable else 0,
    )


def _text(data: bytes) -> str | None:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _ms(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds() * 1000)
