"""An execution as the API shows it."""

import base64
import codecs
from datetime import UTC, datetime
from typing import Any

from execapp.models import Execution
from sandbox.limits import Limits
from sandbox.session.runner_messages import TestReport
from templatemgr.models import Version

LIMIT_NAMES = (
    "wall_ms",
    "cpu_ms",
    "memory_bytes",
    "disk_bytes",
    "output_bytes",
    "processes",
)
TIMING_NAMES = (
    "queued_ms",
    "setup_ms",
    "run_ms",
    "collect_ms",
    "total_ms",
    "warm",
    "start",
    "cold_reason",
)
USAGE_NAMES = ("cpu_ms", "memory_peak_bytes")
_NO_OUTPUT = {"stdout": "", "stderr": "", "truncated": False}


def to_api(execution: Execution) -> dict[str, Any]:
    """The whole execution in the shape of the HTTP contract."""
    stdout, stdout_encoding = text_of(execution.stdout, truncated=execution.stdout_truncated)
    stderr, stderr_encoding = text_of(execution.stderr, truncated=execution.stderr_truncated)
    return {
        **to_summary(execution),
        "args": execution.args,
        "stdout": stdout,
        "stdout_encoding": stdout_encoding,
        "stderr": stderr,
        "stderr_encoding": stderr_encoding,
        "tests": _whole(execution.tests),
    }


def _whole(tests: dict[str, Any] | None) -> dict[str, Any] | None:
    """A stored report, with what reports had not when it was stored."""
    if tests is None:
        return None
    return {**tests, "cases": [{**_NO_OUTPUT, **case} for case in tests["cases"]]}


def to_summary(execution: Execution) -> dict[str, Any]:
    """The execution as a list shows it: without arguments, output and single tests."""
    return {
        "id": str(execution.id),
        "state": execution.state,
        "phase": execution.phase,
        "template": reference(execution.version, execution.template_name),
        "mode": execution.mode,
        "entry": execution.entry or None,
        "client": execution.client,
        "limits": execution.limits,
        "exit_code": execution.exit_code,
        "signal": execution.signal or None,
        "message": execution.message or None,
        "error_id": execution.error_id or None,
        "attempts": execution.attempt,
        "truncated": {
            "stdout": execution.stdout_truncated,
            "stderr": execution.stderr_truncated,
        },
        "tests": execution.test_counts,
        "timings": {name: execution.timings.get(name) for name in TIMING_NAMES},
        "usage": {name: execution.usage.get(name) for name in USAGE_NAMES},
        "labels": execution.labels,
        "created_at": moment(execution.created_at),
        "started_at": moment(execution.started_at),
        "finished_at": moment(execution.finished_at),
    }


def submitted(execution: Execution) -> dict[str, Any]:
    """What was submitted, as it could be submitted again."""
    return {
        "id": str(execution.id),
        "template": f"{execution.template_name}@{execution.version.number}",
        "mode": execution.mode,
        "files": execution.files,
        "entry": execution.entry or None,
        "args": execution.args,
        "stdin": execution.stdin,
        "env": execution.env,
        "limits": execution.limits,
    }


def reference(version: Version, name: str) -> dict[str, Any]:
    """Which version; the digest is its identity."""
    return {"name": name, "version": version.number, "digest": f"sha256:{version.identity}"}


def limits_to_json(limits: Limits) -> dict[str, int]:
    """The limits that a client can set."""
    return {name: getattr(limits, name) for name in LIMIT_NAMES}


def tests_to_json(report: TestReport) -> dict[str, Any]:
    """A test report in the shape of the contract."""
    cases = [
        {
            "name": case.name,
            "file": case.file,
            "state": str(case.state),
            "duration_ms": case.duration_ms,
            "message": case.message,
            "location": (None if case.line is None else {"line": case.line, "column": case.column}),
            "stdout": case.stdout,
            "stderr": case.stderr,
            "truncated": case.truncated,
        }
        for case in report.cases
    ]
    errors = [{"file": error.file, "message": error.message} for error in report.errors]
    return {**counts_of(report), "cases": cases, "errors": errors}


def counts_of(report: TestReport) -> dict[str, int]:
    """How many tests ended how."""
    return {
        "passed": report.passed,
        "failed": report.failed,
        "skipped": report.skipped,
        "total": report.total,
    }


def text_of(data: bytes | memoryview, *, truncated: bool) -> tuple[str, str]:
    """Output as a string and its encoding: `utf8`, or `base64` when it is not UTF-8.

    A character that was cut in two by the output limit is left off, so that cutting does not
    turn a text into base64.
    """
    raw = bytes(data)
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(raw, final=not truncated), "utf8"
    except UnicodeDecodeError:
        return base64.b64encode(raw).decode("ascii"), "base64"


def moment(value: datetime | None) -> str | None:
    """RFC 3339 in UTC."""
    if value is None:
        return None
    return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
