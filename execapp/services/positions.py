"""The position of a reader in the events of an execution, as the id of an event. Pure.

    <attempt>.<told>.<stdout>-<checksum>.<stderr>-<checksum>.<tests>-<checksum>

`told` is the last state that was sent: `-` none, `q` queued, `r` running, `f` the final one, `e`
the result. Checksums (hexadecimal) are those of the bytes and tests before the position: output of
another run of the same attempt does not continue it. Decision 0040.
"""

import re
from dataclasses import dataclass

from core import parsing

NONE, QUEUED, RUNNING, FINAL, RESULT = "-qrfe"
_MARK = r"(\d{1,10})-([0-9a-f]{1,8})"
_TEXT = re.compile(rf"(\d{{1,9}})\.([-qrfe])\.{_MARK}\.{_MARK}\.{_MARK}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Mark:
    """How much of one channel was sent, in bytes or tests, and its checksum."""

    count: int = 0
    checksum: int = 0


@dataclass(frozen=True, kw_only=True)
class Position:
    """What a reader has received."""

    attempt: int = 0
    told: str = NONE
    stdout: Mark = Mark()
    stderr: Mark = Mark()
    tests: Mark = Mark()

    @property
    def marks(self) -> tuple[Mark, Mark, Mark]:
        """Return the marks of the three channels."""
        return self.stdout, self.stderr, self.tests

    @property
    def checksums(self) -> tuple[int, int, int]:
        """Return the checksums of the three channels."""
        return self.stdout.checksum, self.stderr.checksum, self.tests.checksum

    @property
    def empty(self) -> bool:
        """Return whether the reader has neither output nor tests."""
        return not any(mark.count for mark in self.marks)

    def __str__(self) -> str:
        """Return the id of the event that leads here."""
        marks = ".".join(f"{mark.count}-{mark.checksum:x}" for mark in self.marks)
        return f"{self.attempt}.{self.told}.{marks}"


def parse(text: str) -> Position:
    """Return the position that an id names. Raises ParseError."""
    found = _TEXT.fullmatch(text)
    if found is None:
        raise parsing.ParseError("not the id of an event of an execution")
    attempt, told, *numbers = found.groups()
    stdout, stderr, tests = (
        Mark(count=int(count), checksum=int(checksum, 16))
        for count, checksum in zip(numbers[::2], numbers[1::2], strict=True)
    )
    return Position(attempt=int(attempt), told=told, stdout=stdout, stderr=stderr, tests=tests)
