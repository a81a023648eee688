"""Executions as rows, in every state a page has to show."""

from datetime import timedelta
from typing import Any

from django.utils import timezone

from execapp.limits import limits_to_json
from execapp.models import Execution, ExecutionLabel, ExecutorHeartbeat
from sandbox.limits import Limits
from templatemgr.models import Version

CODE = (
    "import { expect, it } from 'vitest'\nit('keeps cents', () => {\n  expect(0.3).toBe(0.4)\n})\n"
)
FAILING: dict[str, Any] = {
    "passed": 1,
    "failed": 1,
    "skipped": 0,
    "total": 2,
    "cases": [
        {
            "name": "adds",
            "file": "sum.test.ts",
            "state": "passed",
            "duration_ms": 1.9,
            "message": None,
            "location": None,
            "stdout": "",
            "stderr": "",
            "truncated": False,
        },
        {
            "name": "keeps cents",
            "file": "sum.test.ts",
            "state": "failed",
            "duration_ms": 5.8,
            "message": "expected 0.3 to be 0.4\n\n- 0.4\n+ 0.3",
            "location": {"line": 3, "column": 15},
            "stdout": "",
            "stderr": "",
            "truncated": False,
        },
    ],
    "errors": [],
}
TIMINGS = {"queued_ms": 0.6, "setup_ms": 0.2, "run_ms": 28.9, "total_ms": 34.2, "warm": True}


def make_execution(version: Version, state: str = "succeeded", **values: Any) -> Execution:
    """An execution of a moment ago; it has no end while it is queued or running."""
    ended = state not in {"queued", "running"}
    created = values.pop("created_at", timezone.now() - timedelta(seconds=2))
    tests = values.pop("tests", None)
    fields: dict[str, Any] = {
        "client": "ada",
        "template_name": version.template.name,
        "mode": "test" if tests else "run",
        "attempt": 0 if state == "queued" else 1,
        "files": [{"path": "sum.test.ts", "content": CODE, "encoding": "utf8"}],
        "limits": limits_to_json(Limits()),
        "timings": TIMINGS if ended else {},
        "usage": {"cpu_ms": 41.0, "memory_peak_bytes": 151_000_000} if ended else {},
        "finished_at": created + timedelta(milliseconds=34) if ended else None,
        "tests": tests,
        "test_counts": {k: tests[k] for k in ("passed", "failed", "skipped", "total")}
        if tests
        else None,
    }
    made = Execution.objects.create(
        version=version, state=state, created_at=created, **(fields | values)
    )
    ExecutionLabel.objects.bulk_create(
        ExecutionLabel(execution=made, key=key, value=value) for key, value in made.labels.items()
    )
    return made


def make_heartbeat(**values: Any) -> ExecutorHeartbeat:
    """An executor that lives, without one: what is submitted stays queued."""
    fields: dict[str, Any] = {"worker": "exec-1", "host": "here", "pid": 1, "slots": 2}
    return ExecutorHeartbeat.objects.create(**(fields | values))
