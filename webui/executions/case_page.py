"""The cases of an execution as its page shows them: verdicts, and the first differences. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import Any

from execapp.api.presenters.cases import present_cases
from execapp.models import Execution

MAX_CASES = 300
MAX_TEXT = 4000  # characters of one text of one case
MAX_ALL = 200_000  # characters of all texts on the page
LINES_BEFORE = 2  # that are equal, before the first difference
MAX_LINES = 12  # from there on


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of an output, and whether the other output has another one in its place."""

    text: str
    differs: bool


@dataclass(frozen=True, kw_only=True)
class Side:
    """The expected output, or the written one, around the first difference."""

    name: str
    lines: list[Line]


@dataclass(frozen=True, kw_only=True)
class Text:
    """The input or an output of a case; `cut` if the page shows only its beginning."""

    name: str
    text: str
    cut: bool


@dataclass(frozen=True, kw_only=True)
class Row:
    """One ended case. `sides` are empty unless its output was wrong, and is text."""

    number: int
    result: Mapping[str, Any]
    passed: bool
    said: str  # the verdict, or the state
    first: int  # the number of the first line that differs
    sides: list[Side]
    texts: list[Text]


@dataclass(frozen=True, kw_only=True)
class Cases:
    """All cases; `left` counts passed ones that the page leaves out."""

    passed: int
    failed: int
    total: int
    not_run: int
    compare: str
    rows: list[Row]
    left: int


def cases(execution: Execution) -> Cases | None:
    """Return the cases; None without them. Of more than MAX_CASES the failed ones come first."""
    found = present_cases(execution)
    if found is None or execution.cases is None:
        return None
    numbered = list(enumerate(found["items"], 1))
    shown = numbered
    if len(numbered) > MAX_CASES:
        shown = sorted(sorted(numbered, key=lambda each: _passed(each[1]))[:MAX_CASES])
    rows, left = [], MAX_ALL
    for number, result in shown:
        made = _row(number, result, execution, left)
        left -= sum(len(text.text) for text in made.texts)
        rows.append(made)
    return Cases(
        passed=found["passed"],
        failed=found["failed"],
        total=found["total"],
        not_run=found["total"] - len(numbered) if execution.finished else 0,
        compare=_compare(execution.cases["compare"]),
        rows=rows,
        left=len(numbered) - len(shown),
    )


def _passed(result: Mapping[str, Any]) -> bool:
    return bool(result["state"] == "succeeded" and result["verdict"] != "wrong_output")


def _row(number: int, result: Mapping[str, Any], execution: Execution, left: int) -> Row:
    assert execution.cases is not None  # noqa: S101 - the caller has looked
    asked = execution.cases["items"][number - 1]
    first = 0
    sides: list[Side] = []
    if result["verdict"] == "wrong_output" and result["stdout_encoding"] == "utf8":
        first, sides = difference(asked["expected_stdout"], result["stdout"])
    return Row(
        number=number,
        result=result,
        passed=_passed(result),
        said=result["verdict"] or result["state"],
        first=first,
        sides=sides,
        texts=list(_texts(asked, result, execution, left)),
    )


def _texts(
    asked: Mapping[str, Any], result: Mapping[str, Any], execution: Execution, left: int
) -> Iterator[Text]:
    given = {
        "arguments": "\n".join(asked.get("args", execution.args)),
        "stdin": asked.get("stdin", execution.stdin),
        "expected stdout": asked.get("expected_stdout", ""),
        **{_name(name, result): result[name] for name in ("stdout", "stderr")},
    }
    for name, text in given.items():
        most = max(0, min(left, MAX_TEXT))
        if text:
            yield Text(name=name, text=text[:most], cut=len(text) > most)
            left -= min(most, len(text))


def _name(name: str, result: Mapping[str, Any]) -> str:
    binary = result[f"{name}_encoding"] == "base64"
    return f"{name}, not UTF-8, shown as base64" if binary else name


def difference(expected: str, written: str) -> tuple[int, list[Side]]:
    """Return the number of the first line that differs, and both sides around it."""
    wanted, got = expected.split("\n"), written.split("\n")
    pairs = enumerate(zip_longest(wanted, got))
    first = next((at for at, (mine, theirs) in pairs if mine != theirs), 0)
    start = max(0, first - LINES_BEFORE)
    return first + 1, [
        Side(name="expected", lines=_lines(wanted, got, start)),
        Side(name="written", lines=_lines(got, wanted, start)),
    ]


def _lines(mine: list[str], theirs: list[str], start: int) -> list[Line]:
    return [
        Line(text=line[:500], differs=at >= len(theirs) or theirs[at] != line)
        for at, line in islice(enumerate(mine), start, start + MAX_LINES)
    ]


def _compare(compare: str | Mapping[str, float]) -> str:
    return compare if isinstance(compare, str) else f"float, tolerance {compare['float']:g}"
