"""Fuzz the messages on descriptor 3: each is valid or a fault, and a fault ends the reading."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sandbox.limits import Limits
from sandbox.session import runner_messages, verdict
from sandbox.session.outcome import State
from sandbox.session.runner_messages import Collector, Exit, ReportedExit, ReportError, parse

TEXTS = st.one_of(st.text(max_size=30), st.sampled_from(["", "\0", "\ud800", "x" * 40_000]))
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)
CASE: dict[str, Any] = {
    "type": "case", "name": "a", "file": "b", "state": "passed", "duration_ms": 1.5,
    "message": None, "line": 1, "column": None,
}  # fmt: skip
RESULT: dict[str, Any] = {"type": "result", "errors": [], "exit_code": 0}
WHOLE: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [{"type": "ready"}, CASE, {**CASE, "state": "failed"}, RESULT, {"type": "exit", "code": 7}]
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Draw a valid message with one changed value, one changed key, or a few changed bytes."""
    message = dict(draw(WHOLE))
    match draw(st.integers(0, 4)):
        case 0:
            message[draw(st.sampled_from([*message, "score", "errors"]))] = draw(VALUES)
        case 1:
            message.pop(draw(st.sampled_from(list(message))))
        case 2:
            message["errors"] = draw(st.lists(VALUES, max_size=3))
    line = json.dumps(message).encode()
    if draw(st.booleans()):
        at = draw(st.integers(0, len(line)))
        line = line[:at] + draw(st.binary(max_size=6)) + line[at + draw(st.integers(0, 6)) :]
    return line


LINES = st.one_of(
    mutated(),
    st.binary(max_size=80),
    VALUES.map(lambda value: json.dumps(value).encode()),
    st.tuples(st.sampled_from([b"[", b'{"a":', b"9", b'{"type":[']), st.integers(1, 9_000)).map(
        lambda given: given[0] * given[1]
    ),
)


KEYED = b'{"type":"exit","code":7,"key":"k"}'


@given(line=LINES)
def test_a_line_is_a_message_or_a_fault(line: bytes) -> None:
    try:
        found = parse(line)
    except ReportError:
        return
    texts = [value for value in vars(found).values() if isinstance(value, str)]
    if isinstance(found, runner_messages.Result):
        texts += [text for error in found.errors for text in (error.file, error.message)]
        assert len(found.errors) <= runner_messages.MAX_ERRORS
    for text in texts:
        assert "\0" not in text
        assert len(text) <= runner_messages.MAX_MESSAGE
        text.encode("utf-8")
    json.dumps(vars(found), default=vars, allow_nan=False)


@given(
    lines=st.lists(LINES | WHOLE.map(lambda message: json.dumps(message).encode()), max_size=8),
    cuts=st.lists(st.integers(0, 60), max_size=12),
    status=st.integers(-64, 255),
)
def test_a_stream_is_believed_up_to_its_first_fault_however_it_is_cut(
    lines: list[bytes], cuts: list[int], status: int
) -> None:
    data = b"\n".join(lines)
    whole, pieces = Collector(), Collector()
    cases = whole.feed(data)
    rest, count = data, 0
    for cut in cuts:
        count += len(pieces.feed(rest[:cut]))
        rest = rest[cut:]
    count += len(pieces.feed(rest))
    whole.end()
    pieces.end()
    assert (whole.problem, whole.report()) == (pieces.problem, pieces.report())
    assert len(cases) == count == len(whole.cases)
    classification = verdict.classify(
        stop=None, status=status, limits=Limits(), cpu_ms=0, collected=whole
    )
    if classification.state == State.SUCCEEDED:
        report = whole.report()
        assert status == 0
        assert report.complete
        assert report.cases
        assert report.failed == 0
        assert not report.errors


@given(
    lines=st.lists(
        LINES
        | WHOLE.map(lambda message: json.dumps(message).encode())
        | st.integers(40, 150).map(lambda width: KEYED.ljust(width)),
        max_size=4,
    ),
    cuts=st.lists(st.integers(0, 60), max_size=12),
)
def test_only_a_first_line_that_says_exit_ends_a_program(
    lines: list[bytes], cuts: list[int]
) -> None:
    data = b"".join(line + b"\n" for line in lines)
    whole, pieces = ReportedExit(key="k"), ReportedExit(key="k")
    whole.feed(data)
    rest = data
    for cut in cuts:
        pieces.feed(rest[:cut])
        rest = rest[cut:]
    pieces.feed(rest)
    first = data.partition(b"\n")[0]
    try:
        message = parse(first)
    except ReportError:
        message = None
    ours = isinstance(message, Exit) and message.key == "k" and len(first) <= 96
    said = message.code if isinstance(message, Exit) and ours else None
    assert whole.code == pieces.code == said
