import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.session import runner_messages
from sandbox.session.runner_messages import Collector, Ready, ReportError, Result, TestCase, parse

CASE: dict[str, Any] = {
    "type": "case",
    "name": "outer > title",
    "file": "a.test.ts",
    "state": "failed",
    "duration_ms": 1.5,
    "message": "no",
    "line": 4,
    "column": 2,
}
RESULT: dict[str, Any] = {"type": "result", "errors": [], "exit_code": 1}


def line(message: object) -> bytes:
    return json.dumps(message).encode()


def test_the_three_messages_are_parsed() -> None:
    assert parse(b'{"type":"ready"}') == Ready()
    assert parse(line(CASE)) == TestCase(
        name="outer > title", file="a.test.ts", state="failed", duration_ms=1.5, message="no",
        line=4, column=2,
    )  # fmt: skip
    errors = [{"file": "b.ts", "message": "cannot load"}]
    result = parse(line({**RESULT, "errors": errors}))
    assert isinstance(result, Result)
    assert (result.exit_code, result.errors[0].file) == (1, "b.ts")


def test_optional_fields_may_be_null_or_missing() -> None:
    case = {"type": "case", "name": "t", "file": "a", "state": "passed", "line": None}
    assert parse(line(case)) == TestCase(name="t", file="a", state="passed")


CASE_FAULTS: list[dict[str, Any]] = [
    {"state": "ok"},
    {"state": ["passed"]},
    {"name": 7},
    {"name": None},
    {"file": None},
    {"duration_ms": "1"},
    {"duration_ms": True},
    {"duration_ms": -1},
    {"duration_ms": float("nan")},
    {"duration_ms": float("inf")},
    {"duration_ms": 10**400},
    {"message": 1},
    {"message": False},
    {"line": 1.5},
    {"line": -1},
    {"line": 2**31},
    {"line": True},
    {"stdout": 1},
    {"stdout": None},
    {"stderr": ["a"]},
    {"truncated": 1},
    {"truncated": "true"},
    {"truncated": None},
    {"extra": 1},
]
RESULT_FAULTS: list[dict[str, Any]] = [
    {"exit_code": 256},
    {"exit_code": -1},
    {"exit_code": True},
    {"exit_code": None},
    {"exit_code": "0"},
    {"errors": None},
    {"errors": {}},
    {"errors": [1]},
    {"errors": [{"file": "a"}]},
    {"errors": [{"file": "a", "message": "b", "c": 1}]},
    {"errors": [{"file": "a", "message": "b"}] * 1_001},
    {"extra": 1},
]
WRONG = [
    b"",
    b"null",
    b"[]",
    b"{",
    b'"ready"',
    b'{"type":"ready"} {}',
    b"\xff\xfe",
    b'{"type":"ready","type":"ready"}',
    b'{"type":"ready","more":1}',
    b'{"type":"done"}',
    b"{}",
    b"[" * 100_000,
    b'{"type":' * 50_000,
    b'{"type":"case","duration_ms":' + b"1" * 5_000 + b"}",
    *(line({**CASE, **change}) for change in CASE_FAULTS),
    *(line({**RESULT, **change}) for change in RESULT_FAULTS),
]


@pytest.mark.parametrize("message", WRONG, ids=range(len(WRONG)))
def test_all_other_messages_are_refused(message: bytes) -> None:
    with pytest.raises(ReportError):
        parse(message)


def test_long_texts_are_cut_and_unstorable_characters_replaced() -> None:
    case = parse(line({**CASE, "name": "x" * 5_000, "message": "a\0b\ud800c\U0001f600"}))
    assert isinstance(case, TestCase)
    assert len(case.name) == runner_messages.MAX_NAME
    assert case.name.endswith("…")
    assert case.message == "a\ufffdb\ufffdc\U0001f600"


def test_output_of_a_case_is_kept_as_it_was_written() -> None:
    case = parse(line({**CASE, "stdout": "a\n\x1b[31mb", "stderr": "c\0\ud800"}))
    assert isinstance(case, TestCase)
    assert (case.stdout, case.stderr, case.truncated) == ("a\n\x1b[31mb", "c\ufffd\ufffd", False)
    said = parse(line({**CASE, "truncated": True}))
    assert isinstance(said, TestCase)
    assert (said.stdout, said.truncated) == ("", True)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_of_a_case_is_cut_by_bytes_and_flagged(stream: str) -> None:
    whole = parse(line({**CASE, stream: "x" * runner_messages.MAX_OUTPUT_BYTES}))
    more = parse(line({**CASE, stream: "\u20ac" * runner_messages.MAX_OUTPUT_BYTES}))
    assert isinstance(whole, TestCase)
    assert isinstance(more, TestCase)
    assert not whole.truncated
    assert more.truncated
    assert len(getattr(whole, stream)) == runner_messages.MAX_OUTPUT_BYTES
    assert getattr(more, stream) == "\u20ac" * (runner_messages.MAX_OUTPUT_BYTES // 3)


def test_output_of_all_cases_together_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_messages, "MAX_OUTPUTS_BYTES", 10)
    collector = Collector()
    for _ in range(3):
        collector.feed(line({**CASE, "stdout": "abcd", "stderr": "ef"}) + b"\n")
    collector.feed(line(CASE) + b"\n")
    got = [(case.stdout, case.stderr, case.truncated) for case in collector.cases]
    assert got == [
        ("abcd", "ef", False), ("abcd", "", True), ("", "", True), ("", "", False),
    ]  # fmt: skip
    assert collector.problem is None


def test_a_collector_returns_each_case_when_its_line_is_complete() -> None:
    collector = Collector()
    whole = line(CASE) + b"\n"
    assert collector.feed(whole[:10]) == []
    assert [case.name for case in collector.feed(whole[10:] + whole)] == ["outer > title"] * 2
    collector.feed(line(RESULT) + b"\n")
    collector.end()
    report = collector.report()
    assert (report.complete, report.failed, report.total) == (True, 2, 2)
    assert (report.passed, report.skipped) == (0, 0)


@pytest.mark.parametrize(
    "wrong",
    [b"nonsense\n", line(RESULT) + b"\n" + line(RESULT) + b"\n", b'{"type":"ready"}\n', b"half"],
)
def test_a_wrong_message_spoils_the_report_but_keeps_the_cases(wrong: bytes) -> None:
    collector = Collector()
    collector.feed(line(CASE) + b"\n" + wrong)
    assert collector.feed(line(CASE) + b"\n") == [] or wrong == b"half"
    collector.end()
    assert collector.problem
    assert not collector.report().complete
    assert collector.report().cases[0].name == "outer > title"


def test_a_line_without_end_is_not_kept() -> None:
    collector = Collector()
    for _ in range(20):
        collector.feed(b"x" * 65_536)
    assert "longer than" in str(collector.problem)
    assert not collector._pending


def test_the_number_of_cases_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_messages, "MAX_CASES", 3)
    collector = Collector()
    assert len(collector.feed((line(CASE) + b"\n") * 5)) == 3
    assert collector.problem == "more than 3 cases"


def test_the_length_of_a_report_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_messages, "MAX_TOTAL_BYTES", 100)
    collector = Collector()
    collector.feed(line(CASE) + b"\n")
    assert "longer than 100 bytes" in str(collector.problem)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
FIELDS = st.dictionaries(
    st.sampled_from([*CASE, "errors", "exit_code", "stdout", "stderr", "truncated", "other"]),
    JSON | st.sampled_from(["case", "result", "ready", "passed"]),
)


@given(st.binary() | FIELDS.map(line) | JSON.map(line))
def test_any_line_is_a_message_or_a_report_error(message: bytes) -> None:
    try:
        parsed = parse(message)
    except ReportError:
        return
    str(parsed).encode()


@given(st.binary(max_size=300), st.lists(st.integers(1, 20), max_size=30))
def test_the_boundaries_of_reads_make_no_difference(data: bytes, sizes: list[int]) -> None:
    data = line(CASE) + b"\n" + data
    whole, pieces = Collector(), Collector()
    whole.feed(data)
    rest = data
    for size in sizes:
        pieces.feed(rest[:size])
        rest = rest[size:]
    pieces.feed(rest)
    whole.end()
    pieces.end()
    assert (whole.problem, whole.report()) == (pieces.problem, pieces.report())
