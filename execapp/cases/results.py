"""The results of cases as the row of an execution keeps them, and as clients see them. Pure.

The row keeps the output of all cases in its own two columns, one case after the other, so that it
is bounded and counted as all output is; each result says how many bytes are its own.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from execapp.cases.judging import CaseResult, Judged
from execapp.output import decode_output

RESULT_BYTES = 512  # of one result in the row, without its output
_EMPTY: dict[str, Any] = {"passed": 0, "failed": 0, "items": []}


def to_json(judged: Judged) -> dict[str, Any]:
    """Return the counts and the result of each ended case."""
    passed = sum(result.passed for result in judged.results)
    return {
        "passed": passed,
        "failed": len(judged.results) - passed,
        "items": [result_to_json(result) for result in judged.results],
    }


def result_to_json(result: CaseResult) -> dict[str, Any]:
    """Return one result; `stdout` and `stderr` are numbers of bytes."""
    outcome = result.outcome
    return {
        "state": str(outcome.state),
        "verdict": None if result.verdict is None else str(result.verdict),
        "exit_code": outcome.exit_code,
        "signal": outcome.signal,
        "message": outcome.message,
        "stdout": len(outcome.stdout.data),
        "stderr": len(outcome.stderr.data),
        "truncated": {"stdout": outcome.stdout.truncated, "stderr": outcome.stderr.truncated},
        "usage": {
            "cpu_ms": round(outcome.usage.cpu_ms, 3),
            "memory_peak_bytes": outcome.usage.memory_peak_bytes,
        },
        "timings": {
            "setup_ms": round(outcome.setup_ms, 3),
            "run_ms": round(outcome.run_ms, 3),
            "collect_ms": round(outcome.collect_ms, 3),
            "start": outcome.start,
        },
    }


def event(number: int, name: str | None, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data of the event `case`: a result without its output."""
    shown = {key: value for key, value in result.items() if key not in ("stdout", "stderr")}
    return {"number": number, "name": name, **shown}


def events(asked: Mapping[str, Any], kept: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Return the event of each ended case; `asked` and `kept` are columns of the execution."""
    items = (kept or _EMPTY)["items"]
    return [
        event(number, asked["items"][number - 1].get("name"), item)
        for number, item in enumerate(items, 1)
    ]


def shown(
    asked: Mapping[str, Any], kept: Mapping[str, Any] | None, stdout: bytes, stderr: bytes
) -> dict[str, Any]:
    """Return counts and results with the output of each case, in the shape of the HTTP contract.

    `stdout` and `stderr` are those of the whole execution.
    """
    kept = kept or _EMPTY
    return {
        "passed": kept["passed"],
        "failed": kept["failed"],
        "total": len(asked["items"]),
        "items": list(_items(asked, kept, {"stdout": stdout, "stderr": stderr})),
    }


def _items(
    asked: Mapping[str, Any], kept: Mapping[str, Any], streams: Mapping[str, bytes]
) -> Iterator[dict[str, Any]]:
    at = dict.fromkeys(streams, 0)
    for case, item in zip(asked["items"], kept["items"], strict=False):
        texts: dict[str, Any] = {}
        for name, whole in streams.items():
            data = whole[at[name] : at[name] + item[name]]
            at[name] += item[name]
            text, encoding = decode_output(data, truncated=item["truncated"][name])
            texts |= {name: text, f"{name}_encoding": encoding}
        yield {"name": case.get("name"), **item, **texts}
