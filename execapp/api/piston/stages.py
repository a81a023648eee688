"""Executions as Piston's result of the run stage."""

import signal
from typing import Any

from execapp.models import Execution, ExecutionState

State = ExecutionState


def present(execution: Execution) -> dict[str, Any]:
    """Return the run stage: `cpu_time` and `wall_time` in milliseconds, `memory` in bytes."""
    stdout, stderr = _text(execution.stdout), _text(execution.stderr)
    status, message = _status(execution)
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


def _status(execution: Execution) -> tuple[str | None, str | None]:
    match execution.state:
        case State.SUCCEEDED:
            return None, None
        case State.FAILED:
            return "RE", f"Exited with error status {execution.exit_code}"
        case State.TIMED_OUT if "CPU time" in execution.message:
            return "TO", "Time limit exceeded"
        case State.TIMED_OUT:
            return "TO", "Time limit exceeded (wall clock)"
        case State.OUTPUT_LIMIT if execution.stderr_truncated and not execution.stdout_truncated:
            return "EL", "stderr length exceeded"
        case State.OUTPUT_LIMIT:
            return "OL", "stdout length exceeded"
        case State.CRASHED | State.OUT_OF_MEMORY | State.CANCELLED:
            return "SG", f"Caught fatal signal {_number(execution.signal)}"
        case _:
            return "XX", execution.message


def _number(name: str) -> int:
    if name.startswith("SIGRTMIN+"):
        return signal.SIGRTMIN + int(name.removeprefix("SIGRTMIN+"))
    try:
        return int(signal.Signals[name])
    except KeyError:
        return int(signal.SIGKILL)


def _text(data: bytes | memoryview) -> str:
    return bytes(data).decode("utf-8", "replace")


def _whole(milliseconds: float | None) -> int | None:
    return None if milliseconds is None else round(milliseconds)
