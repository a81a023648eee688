"""The differences between two executions of the same submission. Pure: no query."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from execapp.models import Execution

MOST = 30


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A difference: its name, and the text of each side."""

    what: str
    first: str
    second: str


def differences(first: Execution, second: Execution) -> list[Pair]:
    """Return differences in state, exit code, output and tests; times are not compared."""
    pairs = [
        ("state", first.state.replace("_", " "), second.state.replace("_", " ")),
        ("exit code", _shown(first.exit_code), _shown(second.exit_code)),
        ("stdout", _size(bytes(first.stdout)), _size(bytes(second.stdout))),
        ("stderr", _size(bytes(first.stderr)), _size(bytes(second.stderr))),
    ]
    same = {
        "stdout": bytes(first.stdout) == bytes(second.stdout),
        "stderr": bytes(first.stderr) == bytes(second.stderr),
    }
    found = [
        Pair(what=what, first=left, second=right)
        for what, left, right in pairs
        if not same.get(what, left == right)
    ]
    return [*found, *_tests(first.tests or {}, second.tests or {})][:MOST]


def _tests(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Pair]:
    left, right = _states(first), _states(second)
    return [
        Pair(what=name, first=left.get(name, "not there"), second=right.get(name, "not there"))
        for name in dict.fromkeys((*left, *right))
        if left.get(name) != right.get(name)
    ]


def _states(report: Mapping[str, Any]) -> dict[str, str]:
    return {str(case["name"]): str(case["state"]) for case in report.get("cases") or ()}


def _shown(code: int | None) -> str:
    return "none" if code is None else str(code)


def _size(data: bytes) -> str:
    return f"{len(data):,} bytes"
