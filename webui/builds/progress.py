"""The progress of a build: its steps, its time so far, and the time left. Pure."""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone

from templatemgr.models import Build, BuildState
from webui.templatetags.stencil import seconds

STEPS = (
    (BuildState.FETCHING, "Fetch"),
    (BuildState.INSTALLING, "Install"),
    (BuildState.SEALING, "Seal"),
    (BuildState.SMOKE, "Smoke"),
)


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step as the page shows it: done, now, next, or how it ended."""

    title: str
    state: str
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The time since the start, and the mean of the last five successful builds, in seconds."""

    elapsed: float
    estimate: float | None

    @property
    def left(self) -> str:
        """The time left, in whole seconds; empty when the build takes longer than the estimate."""
        left = math.ceil((self.estimate or 0.0) - self.elapsed)
        return "" if left <= 0 else f"{left} s" if left < 60 else seconds(left)

    @property
    def value(self) -> int:
        """The progress in percent; it stays at 97 while a build exceeds the estimate."""
        return min(97, round(100 * self.elapsed / self.estimate)) if self.estimate else 0


def step_list(build: Build) -> list[Step]:
    """Return every step in order, also the steps that have not begun."""
    known: dict[str, dict[str, Any]] = {entry["name"]: entry for entry in build.steps}
    return [_step(title, known.get(state), build) for state, title in STEPS]


def _step(title: str, entry: dict[str, Any] | None, build: Build) -> Step:
    if entry is None:
        return Step(title=title, state="not run" if build.finished else "next", seconds=None)
    state = "now" if entry["state"] == "active" else str(entry["state"])
    ended = entry["finished_at"]
    end = datetime.fromisoformat(ended) if ended else build.finished_at or timezone.now()
    started = datetime.fromisoformat(entry["started_at"])
    return Step(title=title, state=state, seconds=max(0.0, (end - started).total_seconds()))
