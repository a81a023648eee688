"""The cases that a submission asks for, and their form in the row of the execution. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sandbox.limits import Limits

# "exact", "trim", "tokens", or {"float": tolerance}: see `comparing`.
type Compare = str | Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One case. `stdin` and `args` are the submission's where they are None.

    `env` is added to the submission's, `limits` lowers the submission's. Without `expected_stdout`
    the output is not compared.
    """

    name: str | None = None
    stdin: str | None = None
    args: Sequence[str] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    expected_stdout: str | None = None
    limits: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CasesRequest:
    """The cases of a submission, not checked yet; they run in this order."""

    items: Sequence[Case]
    compare: Compare = "exact"
    stop_on_failure: bool = False


SHARED = ("wall_ms", "cpu_ms", "output_bytes")  # limits that hold for all cases together, too


def within(maximum: Limits) -> dict[str, int]:
    """Return the limits for all cases together: the most that a template gives one execution."""
    return {name: getattr(maximum, name) for name in SHARED}


def to_json(asked: CasesRequest) -> dict[str, Any]:
    """Return the cases as the row keeps them: without the fields that a case does not have."""
    return {
        "items": [case_to_json(case) for case in asked.items],
        "compare": asked.compare if isinstance(asked.compare, str) else dict(asked.compare),
        "stop_on_failure": asked.stop_on_failure,
    }


def case_to_json(case: Case) -> dict[str, Any]:
    """Return one case without the fields that it does not have."""
    found: dict[str, Any] = {}
    for name in ("name", "stdin", "expected_stdout"):
        if getattr(case, name) is not None:
            found[name] = getattr(case, name)
    if case.args is not None:
        found["args"] = list(case.args)
    if case.env:
        found["env"] = dict(case.env)
    if case.limits:
        found["limits"] = dict(case.limits)
    return found


def from_json(kept: Mapping[str, Any]) -> CasesRequest:
    """Return the cases that `to_json` has written."""
    return CasesRequest(
        items=[Case(**item) for item in kept["items"]],
        compare=kept["compare"],
        stop_on_failure=kept["stop_on_failure"],
    )
