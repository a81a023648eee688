"""Executions in the shapes of the HTTP contract."""

from typing import Any

from execapp import reports
from execapp.api.presenters import cases, collected_files
from execapp.api.presenters.fields import rfc3339, version_reference
from execapp.models import Execution
from execapp.output import decode_output

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


def present_execution(execution: Execution) -> dict[str, Any]:
    """Return the whole execution. With cases, each of them has the output of its own."""
    cut = (execution.stdout_truncated, execution.stderr_truncated)
    written = (b"", b"") if execution.cases else (execution.stdout, execution.stderr)
    stdout, stdout_encoding = decode_output(written[0], truncated=cut[0])
    stderr, stderr_encoding = decode_output(written[1], truncated=cut[1])
    return {
        **present_summary(execution),
        "args": execution.args,
        "stdout": stdout,
        "stdout_encoding": stdout_encoding,
        "stderr": stderr,
        "stderr_encoding": stderr_encoding,
        "tests": None if execution.tests is None else reports.complete(execution.tests),
        "cases": cases.present_cases(execution),
        "files": collected_files.present_files(execution),
    }


def present_summary(execution: Execution) -> dict[str, Any]:
    """Return the execution as a list shows it: without arguments, output and single tests."""
    return {
        "id": str(execution.id),
        "state": execution.state,
        "phase": execution.phase,
        "template": version_reference(execution.version, execution.template_name),
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
        "created_at": rfc3339(execution.created_at),
        "started_at": rfc3339(execution.started_at),
        "finished_at": rfc3339(execution.finished_at),
    }


def present_submission(execution: Execution) -> dict[str, Any]:
    """Return the submission of an execution, as a client can submit it again."""
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
        "collect": [] if execution.collect is None else execution.collect["patterns"],
        **cases.present_asked(execution),
    }
