"""The output of running executions while they run, for web processes that follow them.

The sandbox's own buffers are private to its session, so the bytes are kept a second time, within
the execution's output limit, until its end is recorded. Decision 0040.
"""

import json
import time
import uuid
import zlib
from collections.abc import Callable
from itertools import islice
from typing import Any

from core.engine.live import MOST_BYTES, MOST_TEST_BYTES, LivePart, Offsets
from execapp import reports
from sandbox.session.runner_messages import TestCase


class LiveOutput:
    """The data of one attempt: one thread adds to it, any thread reads it."""

    def __init__(self, attempt: int, changed: Callable[[], None]) -> None:
        self._attempt, self._changed = attempt, changed
        self.version = time.time_ns()  # another one than those of earlier executors
        self.begin()

    def begin(self) -> None:
        """Begin the output anew: the program runs (again) in another sandbox."""
        self.version += 1
        streams = {"stdout": bytearray(), "stderr": bytearray()}
        cases: list[dict[str, Any]] = []
        self._data = self.version, streams, cases  # replaced as a whole: a read sees one run
        self._changed()

    def output(self, name: str, data: bytes) -> None:
        """Add bytes to the stream `name`."""
        self._data[1][name].extend(data)
        self.version += 1
        self._changed()

    def case(self, case: TestCase) -> None:
        """Add a test."""
        self.reported(reports.case_to_json(case))

    def reported(self, case: dict[str, Any]) -> None:
        """Add a test, or a case of the submission, as its event shows it."""
        self._data[2].append(case)
        self.version += 1
        self._changed()

    def read(self, offsets: Offsets, run: int) -> LivePart:
        """Return the data after `offsets`; see `LiveSource.read`."""
        version = self.version  # first: data that is added after it has another version
        present, streams, cases = self._data
        checksums = (0, 0, 0)
        if run != present:
            if not _reaches(streams, cases, offsets):
                offsets = Offsets()
            checksums = (
                zlib.crc32(streams["stdout"][: offsets.stdout]),
                zlib.crc32(streams["stderr"][: offsets.stderr]),
                reports.checksum(islice(cases, offsets.tests)),
            )
        parts = {
            name: bytes(streams[name][start : start + MOST_BYTES])
            for name, start in (("stdout", offsets.stdout), ("stderr", offsets.stderr))
        }
        tests = _some(cases, offsets.tests)
        return LivePart(
            attempt=self._attempt,
            run=present,
            version=version,
            more=any(len(part) == MOST_BYTES for part in parts.values())
            or offsets.tests + len(tests) < len(cases),
            stdout=parts["stdout"],
            stderr=parts["stderr"],
            tests=tests,
            checksums=checksums,
        )


class LiveOutputs:
    """The live output of every running execution of this executor. Thread-safe."""

    def __init__(self, changed: Callable[[uuid.UUID], None]) -> None:
        """Store the callback: an execution has new data."""
        self._changed = changed
        self._running: dict[uuid.UUID, LiveOutput] = {}

    def add(self, execution_id: uuid.UUID, attempt: int) -> LiveOutput:
        """Return the output of an attempt that begins."""
        made = LiveOutput(attempt, lambda: self._changed(execution_id))
        self._running[execution_id] = made
        self._changed(execution_id)
        return made

    def remove(self, execution_id: uuid.UUID) -> None:
        """Forget an attempt whose end is recorded."""
        self._running.pop(execution_id, None)

    def version(self, execution_id: uuid.UUID) -> int | None:
        """Return the version of an execution's data; None if it does not run here."""
        found = self._running.get(execution_id)
        return None if found is None else found.version

    def read(self, execution_id: uuid.UUID, offsets: Offsets, run: int) -> LivePart | None:
        """Return the data after `offsets`; None if the execution does not run here."""
        found = self._running.get(execution_id)
        return None if found is None else found.read(offsets, run)


def _reaches(streams: dict[str, bytearray], cases: list[dict[str, Any]], offsets: Offsets) -> bool:
    return (
        len(streams["stdout"]) >= offsets.stdout
        and len(streams["stderr"]) >= offsets.stderr
        and len(cases) >= offsets.tests
    )


def _some(cases: list[dict[str, Any]], start: int) -> list[dict[str, Any]]:
    """Return the next tests as JSON: at least one, if there is any."""
    found: list[dict[str, Any]] = []
    size = 0
    for shown in islice(cases, start, None):
        size += len(json.dumps(shown))
        if found and size > MOST_TEST_BYTES:
            break
        found.append(shown)
    return found
