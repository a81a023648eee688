"""The cases of an execution in the shapes of the HTTP contract."""

from typing import Any

from execapp.cases import results
from execapp.models import Execution


def present_cases(execution: Execution) -> dict[str, Any] | None:
    """Return the counts and the results of the ended cases; None without cases."""
    if execution.cases is None:
        return None
    stdout, stderr = bytes(execution.stdout), bytes(execution.stderr)
    return results.shown(execution.cases, execution.case_results, stdout, stderr)


def present_asked(execution: Execution) -> dict[str, Any]:
    """Return the cases, the comparison and the stop as a client can submit them again."""
    if execution.cases is None:
        return {}
    kept = execution.cases
    return {
        "cases": kept["items"],
        "compare": kept["compare"],
        "stop_on_failure": kept["stop_on_failure"],
    }
