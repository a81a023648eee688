"""Follow a build while it runs: its steps and log lines, then its end."""

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from django.utils import timezone

from core.database.connections import release_between_waits
from templatemgr.build import builds
from templatemgr.models import Build, BuildLogLine

POLL_SECONDS = 0.4
STREAM_SECONDS = 60.0  # then the client connects again, so that no thread serves a client that left
SETTLED = timedelta(seconds=1)  # the last lines are written shortly after the end
PAGE = 500


@dataclass(frozen=True, kw_only=True)
class BuildEvent:
    """An event of a build. `sequence` is the number of the last line that was sent.

    "step": an entry of the build's steps that is new or has changed; at the beginning, each entry.
    "line": a log line. "end": the build has ended. "keepalive": nothing is new; ask again after
    POLL_SECONDS.
    """

    kind: Literal["step", "line", "end", "keepalive"]
    sequence: int
    build: Build
    line: BuildLogLine | None = None
    step: dict[str, Any] | None = None


def follow(*, build_id: uuid.UUID, after: int) -> Iterator[BuildEvent]:
    """Yield every event after line `after`, then the end; stop when STREAM_SECONDS are over.

    No lock or connection is held between two events, and each may be read by another thread. Raises
    UnknownBuildError.
    """
    deadline = time.monotonic() + STREAM_SECONDS
    reported: dict[str, dict[str, Any]] = {}
    while time.monotonic() < deadline:
        # Read the state first: a build that has ended has written all lines but the last batch.
        build = builds.get(build_id=build_id)
        lines = builds.log_lines(build=build, after=after, limit=PAGE)
        for step in build.steps:
            if reported.get(step["name"]) != step:
                reported[step["name"]] = step
                yield BuildEvent(kind="step", sequence=after, build=build, step=step)
        for line in lines:
            after = line.sequence
            yield BuildEvent(kind="line", sequence=after, build=build, line=line)
        if len(lines) == PAGE:
            continue
        if not lines and settled(build):
            yield BuildEvent(kind="end", sequence=after, build=build)
            return
        yield BuildEvent(kind="keepalive", sequence=after, build=build)


def all_lines(*, build: Build) -> Iterator[list[BuildLogLine]]:
    """Yield every line that exists now, in batches."""
    after = 0
    while lines := builds.log_lines(build=build, after=after, limit=PAGE):
        after = lines[-1].sequence
        yield lines
    release_between_waits()


def settled(build: Build) -> bool:
    """Return whether a build ended long enough ago for its last lines to be written."""
    return build.finished and (
        build.finished_at is None or timezone.now() - build.finished_at > SETTLED
    )
