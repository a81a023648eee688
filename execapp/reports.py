"""Test reports as JSON: the form in which an execution keeps and the API shows them."""

import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from sandbox.session.runner_messages import TestCase, TestReport

_NO_OUTPUT = {"stdout": "", "stderr": "", "truncated": False}


def report_to_json(report: TestReport) -> dict[str, Any]:
    """Return the counts, `cases` and `errors` of a report, in the shape of the HTTP contract."""
    cases = [case_to_json(case) for case in report.cases]
    errors = [{"file": error.file, "message": error.message} for error in report.errors]
    return {**counts_of(report), "cases": cases, "errors": errors}


def case_to_json(case: TestCase) -> dict[str, Any]:
    """Return one test in the shape of the HTTP contract."""
    return {
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


def checksum(cases: Iterable[Mapping[str, Any]], before: int = 0) -> int:
    """Return the checksum of tests in their JSON form, continued from those before."""
    for case in cases:
        text = "\0".join(str(case.get(name)) for name in ("file", "name", "state", "duration_ms"))
        before = zlib.crc32(f"{text}\n".encode("utf-8", "replace"), before)
    return before


def counts_of(report: TestReport) -> dict[str, int]:
    """Return how many tests passed, failed and were skipped, and how many there are."""
    return {
        "passed": report.passed,
        "failed": report.failed,
        "skipped": report.skipped,
        "total": report.total,
    }


def complete(stored: dict[str, Any]) -> dict[str, Any]:
    """Return a stored report with the fields that reports of earlier releases lack."""
    return {**stored, "cases": [{**_NO_OUTPUT, **case} for case in stored["cases"]]}
