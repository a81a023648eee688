"""Follow an execution while it runs: its states, output and tests, then its end.

The data of a running execution comes from its executor, the data of an ended one from its row; a
position means the same in both. Decision 0040.
"""

import time
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from core.database.prepared import Param, Prepared
from core.engine import get_engine
from core.engine.live import LivePart, Offsets
from execapp import reports
from execapp.cases import results
from execapp.models import FINAL_STATES, Execution, ExecutionState
from execapp.output import text_piece
from execapp.services import positions, submissions
from execapp.services.positions import Mark, Position

HEARTBEAT_SECONDS = 10.0
PACE_SECONDS = 0.02  # between two reads of a program that writes always
STREAM_SECONDS = 3600.0  # then the client connects again
PIECE = 32 * 1024  # bytes of output in one event
_STATE = Prepared(
    lambda: Execution.objects.filter(id=Param(Execution, "id")).values_list("state", "attempt")[:1]
)


@dataclass(frozen=True, kw_only=True)
class Event:
    """An event: "state", "stdout", "stderr", "test" or "case" with its data, or "result".

    "result" has the row instead.
    """

    kind: str
    position: Position
    data: Mapping[str, Any]
    execution: Execution | None = None


@dataclass(frozen=True, kw_only=True)
class Wait:
    """Nothing is new: ask again after these seconds, or when the live data has another version.

    Without `version`, after the seconds only.
    """

    seconds: float
    version: int | None = None


def follow(*, execution_id: uuid.UUID, after: Position) -> Iterator[Event | Wait]:
    """Yield every event after a position, and the waits between; the last one is "result".

    No lock is held between two items. Raises UnknownExecutionError if the row is removed.
    """
    reader, until = _Reader(after), time.monotonic() + STREAM_SECONDS
    while time.monotonic() < until:
        part = get_engine().read_live(execution_id, reader.offsets, run=reader.run)
        if part is not None:
            yield from reader.live(part)
            if part.more or reader.run != part.run or reader.began:
                continue
            if reader.moved:
                yield Wait(seconds=PACE_SECONDS)
            yield Wait(seconds=HEARTBEAT_SECONDS, version=part.version)
            continue
        state, attempt = _STATE.first(id=execution_id) or (None, 0)
        if state is None or state in FINAL_STATES:
            yield from reader.end(submissions.wait(execution_id=execution_id, seconds=0))
            return
        yield from reader.open(state, attempt)
        yield Wait(seconds=HEARTBEAT_SECONDS, version=0)


class _Reader:
    """One reader: its position, and the run whose output it receives."""

    def __init__(self, position: Position) -> None:
        self._at = position
        self.run = 0  # not known: the executor compares the checksums
        self.moved = False  # the last part had data
        self.began = False  # the last part was of another run: read again from its beginning

    @property
    def offsets(self) -> Offsets:
        """Return how much the reader has."""
        stdout, stderr, tests = (mark.count for mark in self._at.marks)
        return Offsets(stdout=stdout, stderr=stderr, tests=tests)

    def live(self, part: LivePart) -> Iterator[Event]:
        """Yield the events of a part of a running execution."""
        self.moved = self.began = False
        if part.run != self.run:
            self.run = part.run
            at = self._at
            if part.attempt != at.attempt or part.checksums != at.checksums:
                self.began = True
                yield self._running(part.attempt, anew=True)
                return
        if self._at.told != positions.RUNNING:
            yield self._running(part.attempt, anew=False)
        before = self._at
        yield from self._output("stdout", part.stdout, ended=False, truncated=False)
        yield from self._output("stderr", part.stderr, ended=False, truncated=False)
        yield from self._tests(part.tests)
        self.moved = self._at != before

    def open(self, state: str, attempt: int) -> Iterator[Event]:
        """Yield the state of an execution that has not ended and runs in no executor here."""
        if state == ExecutionState.QUEUED and self._at.told != positions.QUEUED:
            self._at = replace(self._at, told=positions.QUEUED)
            yield self._state(state, attempt, restarted=False)
        if state == ExecutionState.RUNNING:
            anew = attempt != self._at.attempt
            if anew or self._at.told != positions.RUNNING:
                yield self._running(attempt, anew=anew)

    def end(self, execution: Execution) -> Iterator[Event]:
        """Yield everything that the reader lacks of an execution that has ended."""
        stdout, stderr, cases = _data(execution)
        same = self._at.attempt in (0, execution.attempt) and self._has(stdout, stderr, cases)
        final = replace(self._at if same else Position(), attempt=execution.attempt)
        if not same:  # the output of this attempt begins anew
            self._at = replace(final, told=positions.FINAL)
            yield self._state(execution.state, execution.attempt, restarted=True)
        self._at = replace(final, told=self._at.told)
        for name, data, cut in (
            ("stdout", stdout, execution.stdout_truncated),
            ("stderr", stderr, execution.stderr_truncated),
        ):
            start = getattr(self._at, name).count
            yield from self._output(name, data[start:], ended=True, truncated=cut)
        yield from self._tests(cases[self._at.tests.count :])
        if self._at.told != positions.FINAL:
            self._at = replace(self._at, told=positions.FINAL)
            yield self._state(execution.state, execution.attempt, restarted=False)
        self._at = replace(self._at, told=positions.RESULT)
        yield Event(kind="result", position=self._at, data={}, execution=execution)

    def _has(self, stdout: bytes, stderr: bytes, cases: Sequence[Mapping[str, Any]]) -> bool:
        """Return whether what the reader has is the beginning of these."""
        counts = [mark.count for mark in self._at.marks]
        if any(
            count > len(whole) for count, whole in zip(counts, (stdout, stderr, cases), strict=True)
        ):
            return False
        found = (
            zlib.crc32(stdout[: counts[0]]),
            zlib.crc32(stderr[: counts[1]]),
            reports.checksum(cases[: counts[2]]),
        )
        return found == self._at.checksums

    def _running(self, attempt: int, *, anew: bool) -> Event:
        """Return the state "running"; `anew`: the output begins anew with it."""
        restarted = anew and (self._at.attempt not in (0, attempt) or not self._at.empty)
        self._at = replace(
            Position() if anew else self._at, attempt=attempt, told=positions.RUNNING
        )
        return self._state(ExecutionState.RUNNING, attempt, restarted=restarted)

    def _state(self, state: str, attempt: int, *, restarted: bool) -> Event:
        data = {"state": state, "attempt": attempt, "restarted": restarted}
        return Event(kind="state", position=self._at, data=data)

    def _output(self, name: str, data: bytes, *, ended: bool, truncated: bool) -> Iterator[Event]:
        start = 0
        while start < len(data):
            last = start + PIECE >= len(data)
            piece = data[start : start + PIECE]
            size, content, encoding = text_piece(piece, last=ended and last, truncated=truncated)
            if not size:
                return
            start += size
            mark: Mark = getattr(self._at, name)
            checksum = zlib.crc32(piece[:size], mark.checksum)
            moved = Mark(count=mark.count + size, checksum=checksum)
            self._at = replace(self._at, **{name: moved})  # type: ignore[arg-type]
            yield Event(
                kind=name, position=self._at, data={"content": content, "encoding": encoding}
            )

    def _tests(self, cases: Sequence[Mapping[str, Any]]) -> Iterator[Event]:
        for case in cases:
            mark = self._at.tests
            checksum = reports.checksum([case], mark.checksum)
            self._at = replace(self._at, tests=Mark(count=mark.count + 1, checksum=checksum))
            # Of one execution all are tests, or all are cases (`execapp.cases.results.event`).
            kind = "test" if "file" in case else "case"
            yield Event(kind=kind, position=self._at, data=case)


def _data(execution: Execution) -> tuple[bytes, bytes, list[dict[str, Any]]]:
    """Return what the events of an ended execution carry: both streams, and tests or cases.

    The output of cases is in the result alone, where each case has its own.
    """
    if execution.cases is not None:
        return b"", b"", results.events(execution.cases, execution.case_results)
    cases = reports.complete(execution.tests)["cases"] if execution.tests else []
    return bytes(execution.stdout), bytes(execution.stderr), cases
