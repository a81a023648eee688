"""The live data of a running execution: what it has written so far, from a position on."""

import uuid
from dataclasses import dataclass, field
from typing import Any, Protocol

MOST_BYTES = 32 * 1024  # of one stream in one part
MOST_TEST_BYTES = 64 * 1024  # of the tests in one part, unless a single test is larger


@dataclass(frozen=True, kw_only=True)
class Offsets:
    """How much a reader has: bytes of both streams, and tests."""

    stdout: int = 0
    stderr: int = 0
    tests: int = 0


@dataclass(frozen=True, kw_only=True)
class LivePart:
    """The data of a run after some offsets, at most `MOST_BYTES` of each stream.

    `run` identifies the run: output of another run never continues this one. `version` grows with
    every change. `checksums` are those of the data before the offsets. `more`: there is more data.
    """

    attempt: int
    run: int
    version: int
    more: bool
    stdout: bytes = b""
    stderr: bytes = b""
    tests: list[dict[str, Any]] = field(default_factory=list)
    checksums: tuple[int, int, int] = (0, 0, 0)


class LiveSource(Protocol):
    """The running executions of an executor. Any thread may call it."""

    def version(self, execution_id: uuid.UUID) -> int | None:
        """Return the version of an execution's data; None if it does not run here."""

    def read(self, execution_id: uuid.UUID, offsets: Offsets, run: int) -> LivePart | None:
        """Return the data after `offsets`; None if the execution does not run here.

        If `run` is not the present run, `checksums` are computed, or the offsets are zero if the
        present run has less data.
        """
