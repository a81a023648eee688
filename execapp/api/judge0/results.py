"""Submissions as Judge0 shows them."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

from django.conf import settings

from execapp.api import isolate
from execapp.api.judge0 import known
from execapp.api.judge0.bodies import FIXED
from execapp.models import Delivery, Execution, ExecutionState, Judge0Submission

DEFAULT_FIELDS = (
    *("stdout", "time", "memory", "stderr", "token", "compile_output", "message", "status"),
)
FIELDS = (
    *("source_code", "language_id", "stdin", "expected_output", "stdout", "status_id"),
    *("created_at", "finished_at", "time", "memory", "stderr", "token", "number_of_runs"),
    *("cpu_time_limit", "cpu_extra_time", "wall_time_limit", "memory_limit", "stack_limit"),
    *("max_processes_and_or_threads", "enable_per_process_and_thread_time_limit"),
    *("enable_per_process_and_thread_memory_limit", "max_file_size", "compile_output"),
    *("exit_code", "exit_signal", "message", "wall_time", "compiler_options"),
    *("command_line_arguments", "redirect_stderr_to_stdout", "callback_url"),
    *("additional_files", "enable_network", "status", "language"),
)
LINE = 60  # characters of a line of Base64, as Ruby writes it
_SIGNALS = {11: 7, 25: 8, 8: 9, 6: 10}
_ENCODED = frozenset(
    {"source_code", "stdin", "expected_output", "stdout", "stderr", "compile_output", "message"}
)


class NotTextError(ValueError):
    """A field is not UTF-8, and the client asked for text."""


def callback(delivery: Delivery) -> bytes:
    """Return the body of a callback: the usual fields, encoded, as Judge0 sends them."""
    found = Judge0Submission.objects.select_related("execution")
    row = found.get(pk=delivery.execution_id)
    return json.dumps(present(row, DEFAULT_FIELDS, encoded=True)).encode()


def present(row: Judge0Submission, fields: tuple[str, ...], *, encoded: bool) -> dict[str, Any]:
    """Return the fields of a submission. Raises NotTextError."""
    found = _all(row)
    return {
        name: _text(found[name], encoded=encoded) if name in _ENCODED else found[name]
        for name in fields
    }


def _all(row: Judge0Submission) -> dict[str, Any]:
    execution, limits = row.execution, row.execution.limits
    number = status_id(row)
    done = execution.finished
    stdout, stderr = bytes(execution.stdout), bytes(execution.stderr)
    name = settings.STENCIL_JUDGE0_LANGUAGES.get(row.language_id, execution.template_name)
    fixed = {name: value if value != "" else None for name, (value, _message) in FIXED.items()}
    signal = isolate.signal_number(execution.signal) if execution.signal else None
    return {
        **fixed,
        **dict.fromkeys(("compile_output", "additional_files")),
        "source_code": base64.b64decode(execution.files[0]["content"]),
        "language_id": row.language_id,
        "language": {"id": row.language_id, "name": name},
        "stdin": execution.stdin.encode() or None,
        "expected_output": None if row.expected_output is None else row.expected_output.encode(),
        "stdout": stdout or None,
        "stderr": stderr or None,
        "status_id": number,
        "status": {"id": number, "description": known.STATUSES[number]},
        "message": (isolate.status(execution)[1] or "").encode() or None if done else None,
        "exit_code": (execution.exit_code or 0) if done else None,
        "exit_signal": signal,
        "token": str(execution.id),
        "time": _seconds(execution.usage.get("cpu_ms")),
        "wall_time": _seconds(execution.timings.get("run_ms")),
        "memory": _kilobytes(execution.usage.get("memory_peak_bytes")),
        "created_at": _moment(execution.created_at),
        "finished_at": _moment(execution.finished_at),
        "cpu_time_limit": _seconds(limits["cpu_ms"]),
        "cpu_extra_time": str(float(row.options.get("cpu_extra_time", known.EXTRA_SECONDS))),
        "wall_time_limit": _seconds(limits["wall_ms"]),
        "memory_limit": limits["memory_bytes"] // 1024,
        "max_processes_and_or_threads": limits["processes"],
        "callback_url": execution.callback["url"] if execution.callback else None,
        "command_line_arguments": row.options.get("command_line_arguments"),
    }


def status_id(row: Judge0Submission) -> int:
    """Return the number of the status; a program that succeeded is compared."""
    execution = row.execution
    match execution.state:
        case ExecutionState.QUEUED:
            return 1
        case ExecutionState.RUNNING:
            return 2
        case ExecutionState.SUCCEEDED:
            return 3 if _accepted(row.expected_output, execution) else 4
        case ExecutionState.TIMED_OUT:
            return 5
        case ExecutionState.OUTPUT_LIMIT:
            return 8
        case ExecutionState.FAILED:
            return 11
        case ExecutionState.CRASHED:
            return _SIGNALS.get(isolate.signal_number(execution.signal), 12)
        case ExecutionState.OUT_OF_MEMORY | ExecutionState.CANCELLED:
            return 12
        case _:
            return 13


def _accepted(expected: str | None, execution: Execution) -> bool:
    return expected is None or _stripped(expected.encode()) == _stripped(bytes(execution.stdout))


def _stripped(text: bytes) -> bytes:
    """Return the text without blanks at the ends of lines, and of the whole, as Judge0 compares."""
    return b"\n".join(line.rstrip() for line in text.split(b"\n")).rstrip()


def _text(data: bytes | None, *, encoded: bool) -> str | None:
    if data is None:
        return None
    if encoded:
        text = base64.b64encode(data).decode()
        return "".join(text[at : at + LINE] + "\n" for at in range(0, len(text), LINE))
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise NotTextError from error


def _seconds(milliseconds: float | None) -> str | None:
    return None if milliseconds is None else str(round(milliseconds / 1000, 3))


def _kilobytes(size: float | None) -> int | None:
    return None if size is None else int(size) // 1024


def _moment(time: datetime | None) -> str | None:
    if time is None:
        return None
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
