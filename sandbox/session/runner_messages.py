"""Messages of the runner, read as foreign input and turned into results.

Each line is one JSON object in UTF-8. Types and keys are strict: an unexpected message is a
`ReportError`, and later messages are ignored. Long texts are cut. Characters that databases and
encoders refuse (NUL, lone surrogates) are replaced.
"""

import json
import math
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hmac import compare_digest
from typing import Any, Literal, NoReturn, cast

MAX_LINE_BYTES = 1024 * 1024
MAX_TOTAL_BYTES = 16 * 1024 * 1024
MAX_CASES = 10_000
MAX_ERRORS = 1_000
MAX_NAME = 2_000
MAX_FILE = 1_024
MAX_MESSAGE = 32_000
MAX_OUTPUT_BYTES = 64 * 1024  # of one stream of one case, in UTF-8
MAX_OUTPUTS_BYTES = 2 * 1024 * 1024  # of all cases of a run together
_EXIT_BYTES = 96
_KEY_LENGTH = 64
MAX_REASON = 300
_COLD_BYTES = 2_048
_MAX_POSITION = 2**31 - 1
_CUT = "…"

CaseState = Literal["passed", "failed", "skipped"]


class ReportError(ValueError):
    """A message that the protocol does not allow."""


@dataclass(frozen=True, kw_only=True)
class TestCase:
    """One finished test. `name` is "outer > inner > title", `file` relative to src/.

    `stdout` and `stderr` are the output that the tool attributes to this test, in order.
    `truncated` says that a part is missing.
    """

    __test__ = False  # pytest must not collect it

    name: str
    file: str
    state: CaseState
    duration_ms: float | None = None
    message: str | None = None
    line: int | None = None
    column: int | None = None
    stdout: str = ""
    stderr: str = ""
    truncated: bool = False


@dataclass(frozen=True, kw_only=True)
class FileError:
    """A failure in a file outside of its tests: the file did not load, or a hook threw."""

    file: str
    message: str


@dataclass(frozen=True, kw_only=True)
class TestReport:
    """All reported cases and errors; `complete` when the runner has sent its result."""

    __test__ = False

    cases: tuple[TestCase, ...] = ()
    errors: tuple[FileError, ...] = ()
    complete: bool = False

    @property
    def passed(self) -> int:
        """Return the number of passed tests."""
        return self._count("passed")

    @property
    def failed(self) -> int:
        """Return the number of failed tests."""
        return self._count("failed")

    @property
    def skipped(self) -> int:
        """Return the number of skipped tests."""
        return self._count("skipped")

    @property
    def total(self) -> int:
        """Return the number of tests."""
        return len(self.cases)

    def _count(self, state: CaseState) -> int:
        return sum(1 for case in self.cases if case.state == state)


@dataclass(frozen=True, kw_only=True)
class Ready:
    """The runner is loaded and waits for its job."""


@dataclass(frozen=True, kw_only=True)
class Exit:
    """Run mode: the program has ended with this status, and its output is complete.

    `key` is that of the job, which the program does not know.
    """

    code: int
    key: str


@dataclass(frozen=True, kw_only=True)
class Result:
    """Test mode: the last message of the runner."""

    errors: tuple[FileError, ...]
    exit_code: int


@dataclass(frozen=True, kw_only=True)
class Cold:
    """The preloaded runtime cannot run this job: the runner restarts, for this reason."""

    reason: str


Message = Ready | TestCase | Result | Exit | Cold


def parse(line: bytes) -> Message:
    """Parse one line without its newline. ReportError if it is no message of the protocol."""
    if len(line) > MAX_LINE_BYTES:
        raise ReportError(f"a message is longer than {MAX_LINE_BYTES} bytes")
    fields = _load(line)
    kind = fields.pop("type", None)
    if kind == "ready":
        _no_more(fields, kind)
        return Ready()
    if kind == "cold":
        cold = Cold(reason=_text(fields, "reason", MAX_REASON))
        _no_more(fields, kind)
        return cold
    if kind == "case":
        return _case(fields)
    if kind == "result":
        return _result(fields)
    if kind == "exit":
        return _exit(fields)
    raise ReportError("a message of an unknown type")


def _load(line: bytes) -> dict[str, Any]:
    try:
        loaded = json.loads(
            line.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant
        )
    except (ValueError, RecursionError) as error:
        raise ReportError(f"a message is not JSON: {str(error)[:200]}") from error
    if not isinstance(loaded, dict):
        raise ReportError("a message is not an object")
    return loaded


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ReportError("a key is given twice")
    return fields


def _constant(name: str) -> NoReturn:
    raise ReportError(f"{name} is not a number of JSON")


def _case(fields: dict[str, Any]) -> TestCase:
    state = fields.pop("state", None)
    if not isinstance(state, str) or state not in ("passed", "failed", "skipped"):
        raise ReportError("case.state is not passed, failed or skipped")
    stdout, more_stdout = _output(fields, "stdout")
    stderr, more_stderr = _output(fields, "stderr")
    case = TestCase(
        name=_text(fields, "name", MAX_NAME),
        file=_text(fields, "file", MAX_FILE),
        state=cast("CaseState", state),
        duration_ms=_duration(fields.pop("duration_ms", None)),
        message=_optional_text(fields, "message"),
        line=_position(fields, "line"),
        column=_position(fields, "column"),
        stdout=stdout,
        stderr=stderr,
        truncated=_flag(fields, "truncated") or more_stdout or more_stderr,
    )
    _no_more(fields, "case")
    return case


def _result(fields: dict[str, Any]) -> Result:
    errors = fields.pop("errors", None)
    exit_code = fields.pop("exit_code", None)
    if not isinstance(errors, list) or len(errors) > MAX_ERRORS:
        raise ReportError(f"result.errors is not a list of at most {MAX_ERRORS}")
    if type(exit_code) is not int or not 0 <= exit_code <= 255:
        raise ReportError("result.exit_code is not from 0 to 255")
    _no_more(fields, "result")
    return Result(errors=tuple(_file_error(item) for item in errors), exit_code=exit_code)


def _exit(fields: dict[str, Any]) -> Exit:
    code = fields.pop("code", None)
    if type(code) is not int or not 0 <= code <= 255:
        raise ReportError("exit.code is not from 0 to 255")
    key = _text(fields, "key", _KEY_LENGTH)
    _no_more(fields, "exit")
    return Exit(code=code, key=key)


def _file_error(item: object) -> FileError:
    if not isinstance(item, dict):
        raise ReportError("an item of result.errors is not an object")
    error = FileError(
        file=_text(item, "file", MAX_FILE), message=_text(item, "message", MAX_MESSAGE)
    )
    _no_more(item, "error")
    return error


def _no_more(fields: dict[str, Any], kind: str) -> None:
    if fields:
        raise ReportError(f"{kind} has an unknown key")


def _text(fields: dict[str, Any], key: str, longest: int) -> str:
    value = fields.pop(key, None)
    if not isinstance(value, str):
        raise ReportError(f"{key} is not a text")
    return clean(value, longest)


def _optional_text(fields: dict[str, Any], key: str) -> str | None:
    return (
        None
        if fields.get(key) is None and not fields.pop(key, None)
        else _text(fields, key, MAX_MESSAGE)
    )


def _output(fields: dict[str, Any], key: str) -> tuple[str, bool]:
    """Return an output stream of a case, and whether it was cut."""
    value = fields.pop(key, "")
    if not isinstance(value, str):
        raise ReportError(f"{key} is not a text")
    return cut(clean(value, len(value)), MAX_OUTPUT_BYTES)


def cut(text: str, most: int) -> tuple[str, bool]:
    """Return the first `most` UTF-8 bytes of `text`, and whether a part was cut."""
    if len(text) * 4 <= most or len(data := text.encode()) <= most:
        return text, False
    return data[:most].decode("utf-8", "ignore"), True


def _flag(fields: dict[str, Any], key: str) -> bool:
    value = fields.pop(key, False)
    if type(value) is not bool:
        raise ReportError(f"{key} is not true or false")
    return value


def clean(text: str, longest: int) -> str:
    """Return `text` cut to `longest` characters, without NUL and lone surrogates."""
    if len(text) > longest:
        text = text[: longest - 1] + _CUT
    return (
        text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    )


def _duration(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ReportError("duration_ms is not a number")
    if not 0 <= value <= 1e12 or not math.isfinite(value):
        raise ReportError("duration_ms is out of range")
    return float(value)


def _position(fields: dict[str, Any], key: str) -> int | None:
    value = fields.pop(key, None)
    if value is None:
        return None
    if type(value) is not int or not 0 <= value <= _MAX_POSITION:
        raise ReportError(f"{key} is not a position")
    return value


@dataclass
class Collector:
    """Collect the messages of one test run from a stream of bytes, up to the first wrong one.

    `problem` describes the wrong message; earlier cases are kept.
    """

    cases: list[TestCase] = field(default_factory=list)
    result: Result | None = None
    problem: str | None = None
    cold: str | None = None  # why the runner started anew
    _pending: bytearray = field(default_factory=bytearray)
    _seen: int = 0
    _outputs: int = 0

    def feed(self, data: bytes) -> list[TestCase]:
        """Take more bytes; return the test cases that they completed."""
        if self.problem is not None:
            return []
        before = len(self.cases)
        self._seen += len(data)
        try:
            if self._seen > MAX_TOTAL_BYTES:
                raise ReportError(f"the report is longer than {MAX_TOTAL_BYTES} bytes")
            self._take_lines(data)
        except ReportError as error:
            self.problem = str(error)
            self._pending.clear()
        return self.cases[before:]

    def end(self) -> None:
        """Handle the end of the stream: an incomplete line is a fault."""
        if self._pending and self.problem is None:
            self.problem = "the last message is cut off"

    def report(self) -> TestReport:
        """Return the report so far."""
        return TestReport(
            cases=tuple(self.cases),
            errors=self.result.errors if self.result else (),
            complete=self.result is not None and self.problem is None,
        )

    def _take_lines(self, data: bytes) -> None:
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._pending += line
            whole = bytes(self._pending)
            self._pending.clear()
            self._take(parse(whole))
        self._pending += rest
        if len(self._pending) > MAX_LINE_BYTES:
            raise ReportError(f"a message is longer than {MAX_LINE_BYTES} bytes")

    def _take(self, message: Message) -> None:
        if self.result is not None:
            raise ReportError("a message after the result")
        if isinstance(message, Result):
            self.result = message
        elif isinstance(message, TestCase):
            if len(self.cases) >= MAX_CASES:
                raise ReportError(f"more than {MAX_CASES} cases")
            self.cases.append(self._within(message))
        elif isinstance(message, Cold) and self.cold is None and not self.cases:
            self.cold = message.reason
        else:
            raise ReportError("a message that has no place in a test run")

    def _within(self, case: TestCase) -> TestCase:
        """Return the case with its output cut to the rest of the budget that all cases share."""
        if not case.stdout and not case.stderr:
            return case
        stdout, more_stdout = cut(case.stdout, MAX_OUTPUTS_BYTES - self._outputs)
        self._outputs += len(stdout.encode())
        stderr, more_stderr = cut(case.stderr, MAX_OUTPUTS_BYTES - self._outputs)
        self._outputs += len(stderr.encode())
        truncated = case.truncated or more_stdout or more_stderr
        return replace(case, stdout=stdout, stderr=stderr, truncated=truncated)


@dataclass
class ReportedExit:
    """Wait in a stream of bytes for the message that the program has ended.

    A submission may write to this stream, too. It does not know the key, so it can only delay its
    own answer or claim a restart of its runner.
    """

    key: str
    code: int | None = None
    cold: str | None = None  # why the runner started anew
    _pending: bytearray = field(default_factory=bytearray)
    _deaf: bool = False

    def feed(self, data: bytes) -> None:
        """Take more bytes. Ignore them after an `Exit` or a wrong message."""
        while not self._deaf and (data or b"\n" in self._pending):
            self._pending += data[: _COLD_BYTES + 1]
            data = data[_COLD_BYTES + 1 :]
            line, newline, rest = self._pending.partition(b"\n")
            if newline:
                self._pending = rest
                self._take(bytes(line))
            elif len(self._pending) > _COLD_BYTES:
                self._deaf = True
        if self._deaf:
            self._pending.clear()

    def _take(self, line: bytes) -> None:
        message: Message | None = None
        with suppress(ReportError):
            message = parse(line)
        if isinstance(message, Cold) and self.cold is None:
            self.cold = message.reason
            return
        self._deaf = True
        if isinstance(message, Exit) and len(line) <= _EXIT_BYTES and self._is_ours(message.key):
            self.code = message.code

    def _is_ours(self, key: str) -> bool:
        return compare_digest(key.encode(), self.key.encode())
