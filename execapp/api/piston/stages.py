"""Executions as Piston's result of the run stage."""

from typing import Any

from execapp.api import isolate
from execapp.models import Execution


def present(execution: Execution) -> dict[str, Any]:
    """Return the run stage: `cpu_time` and `wall_time` in milliseconds, `memory` in bytes."""
    stdout, stderr = _text(execution.stdout), _text(execution.stderr)
    status, message = isolate.status(execution)
    name = execution.signal or None
    if status in {"TO", "OL", "EL"}:
        name = "SIGKILL"
    return {
        "stdout": stdout,
        "stderr": stderr,
        "output": stdout + stderr,
        "code": execution.exit_code,
        "signal": name,
        "message": message,
        "status": status,
        "cpu_time": _whole(execution.usage.get("cpu_ms")),
        "wall_time": _whole(execution.timings.get("run_ms")),
        "memory": execution.usage.get("memory_peak_bytes"),
    }


def _text(data: bytes | memoryview) -> str:
    return bytes(data).decode("utf-8", "replace")


def _whole(milliseconds: float | None) -> int | None:
    return None if milliseconds is None else round(milliseconds)
