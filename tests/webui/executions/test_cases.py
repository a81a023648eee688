"""Test the cases on the page of an execution: verdicts, differences, and hostile output."""

import re
from typing import Any

import pytest
from django.test import Client

from templatemgr.models import Version
from tests import factories
from tests.webui.executions.test_executions import version
from webui.executions import case_page

__all__ = ["version"]


def result(stdout: str = "", **more: Any) -> dict[str, Any]:
    return {
        "state": "succeeded", "verdict": None, "exit_code": 0, "signal": None, "message": None,
        "stdout": len(stdout.encode()), "stderr": 0,
        "truncated": {"stdout": False, "stderr": False},
        "usage": {"cpu_ms": 2.0, "memory_peak_bytes": 9_000_000},
        "timings": {"setup_ms": 3.0, "run_ms": 4.0, "collect_ms": 1.0, "start": "fork"},
        **more,
    }  # fmt: skip


def shown(
    client: Client, version: Version, asked: list[dict[str, Any]], results: list[Any], **row: Any
) -> str:
    """Return the page of an execution with these cases; a result is (stdout, more)."""
    items = [result(stdout, **more) for stdout, more in results]
    passed = sum(case_page._passed(item) for item in items)
    made = factories.make_execution_row(
        version, row.pop("state", "failed"),
        cases={"items": asked, "compare": "trim", "stop_on_failure": False, "within": {}},
        case_results={"passed": passed, "failed": len(items) - passed, "items": items},
        stdout="".join(stdout for stdout, _ in results).encode(), **row,
    )  # fmt: skip
    answer = client.get(f"/executions/{made.pk}")
    assert answer.status_code == 200
    return answer.content.decode()


WRONG = {"verdict": "wrong_output"}


def test_the_page_shows_verdicts_and_the_first_difference(admin: Client, version: Version) -> None:
    asked = [
        {"name": "small", "stdin": "1", "expected_stdout": "1"},
        {"name": "large", "stdin": "2", "expected_stdout": "a\nb\nc\nd\nwanted\nz"},
        {"stdin": "3"},
        {"name": "never run"},
    ]
    results = [
        ("1\n", {"verdict": "accepted"}),
        ("a\nb\nc\nd\ngot <b>\nz", WRONG),
        ("", {"state": "timed_out", "message": "Stopped after 9 ms.", "exit_code": None}),
    ]
    page = shown(admin, version, asked, results)
    assert "2 did not pass" in page
    assert "1 did not run" in page
    assert "compared by trim" in page
    assert "first difference in line 5" in page
    assert '<span class="case-line failing">wanted' in page
    assert '<span class="case-line failing">got &lt;b&gt;' in page
    assert "wrong output</span>" in page
    assert "Stopped after 9 ms." in page
    assert 'aria-label="stdout"' not in page  # each case has the output of its own


@pytest.mark.parametrize(
    ("expected", "written", "first"),
    [("a", "b", 1), ("a\nb", "a", 2), ("a", "a\nb", 2), ("x\n" * 99 + "1", "x\n" * 99 + "2", 100)],
)
def test_the_first_difference(expected: str, written: str, first: int) -> None:
    found, sides = case_page.difference(expected, written)
    assert found == first
    assert [side.name for side in sides] == ["expected", "written"]
    assert max(len(side.lines) for side in sides) <= case_page.MAX_LINES
    assert any(line.differs for side in sides for line in side.lines)


def test_of_many_cases_the_page_shows_some_and_those_that_did_not_pass(
    admin: Client, version: Version
) -> None:
    results = [("x" * 900, {"verdict": "accepted"})] * 999 + [("odd", WRONG)]
    page = shown(admin, version, [{"expected_stdout": "x"}] * 1000, results)
    assert page.count('pill bad">wrong output') == 1
    assert "700 more cases" in page
    assert len(page) < 1_500_000


def test_the_json_has_inputs_and_results(admin: Client, version: Version) -> None:
    asked = [{"name": "small", "stdin": "1", "expected_stdout": "1"}]
    page = shown(admin, version, asked, [("2", WRONG)])
    (address,) = set(re.findall(r"/executions/[0-9a-f-]{36}/json", page))
    found = admin.get(address).json()
    assert found["submitted_cases"] == asked
    assert [item["stdout"] for item in found["cases"]["items"]] == ["2"]
    assert found["compare"] == "trim"


def test_a_waiting_execution_has_no_results_yet(admin: Client, version: Version) -> None:
    page = shown(admin, version, [{}], [], state="queued")
    assert "The results appear when the execution has ended." in page
