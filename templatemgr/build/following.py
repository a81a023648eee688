"""Follow a build while it runs: its steps and lines as they come, then its end."""

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
STREAM_SECONDS = 60.0  # then the client comes back: no thread is held for one that forgot us
SETTLED = timedelta(seconds=1)  # the last lines reach the database shortly after the end
PAGE = 500


@dataclass(frozen=True, kw_only=True)
class BuildEvent:
    """What is new. `sequence` is the last line told: who was cut off goes on after it.

    "step": an entry of the build's steps that is new or has changed; all of them at the
    beginning. "keepalive": nothing more at the moment: who follows asks again after POLL_SECONDS.
    """

    kind: Literal["step", "line", "end", "keepalive"]
    sequence: int
    build: Build
    line: BuildLogLine | None = None
    step: dict[str, Any] | None = None


def follow(*, build_id: uuid.UUID, after: int) -> Iterator[BuildEvent]:
    """Everything after line `after`, then the end; nothing more when STREAM_SECONDS are over.

    Nothing is held between two steps, and each may be taken by another thread. Raises
    UnknownBuildError.
    """
    deadline = time.monotonic() + STREAM_SECONDS
    told: dict[str, dict[str, Any]] = {}
    while time.monotonic() < deadline:
        # The state first: what it says has ended has written all its lines but the last batch.
        build = builds.get(build_id=build_id)
        lines = builds.log_lines(build=build, after=after, limit=PAGE)
        for step in build.steps:
            if told.get(step["name"]) != step:
                told[step["name"]] = step
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
    """Every line that is there now, in batches."""
    after = 0
    while lines := builds.log_lines(build=build, after=after, limit=PAGE):
        after = lines[-1].sequence
        yield lines
    release_between_waits()


def settled(build: Build) -> bool:
    """Whether it has ended, and long enough ago for its last lines to be there."""
    return build.finished and (
        build.finished_at is None or timezone.now() - build.finished_at > SETTLED
    )
