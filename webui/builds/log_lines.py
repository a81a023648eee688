"""The lines of a build's log as the page shows them: by step, with a tone and a level. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from templatemgr.models import Build, BuildLogLine, BuildState
from webui.builds.progress import STEPS

# The first words of messages of npm and pip.
ERRORS = ("npm error", "ERROR:")
WARNINGS = ("npm warn", "WARNING:", "DEPRECATION:")


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of the log. `tone` is a CSS class; `level` is "error", "warning" or ""."""

    row: BuildLogLine
    tone: str
    level: str


@dataclass(frozen=True, kw_only=True)
class Group:
    """The lines of one step, which fold together."""

    step: str
    title: str
    lines: tuple[Line, ...]
    open: bool
    failed: bool


def groups(build: Build, lines: Iterable[BuildLogLine]) -> list[Group]:
    """Return the lines by step, in order. Of a failed build only the failed step is open."""
    failed = build.state == BuildState.FAILED
    last_words = set(build.message.splitlines()) if failed else set()
    return [
        Group(
            step=step,
            title=_title(step),
            lines=tuple(
                Line(row=line, tone=tone(line), level=level(line, last_words)) for line in part
            ),
            open=not failed or step == build.step,
            failed=failed and step == build.step,
        )
        for step, part in groupby(lines, key=lambda line: line.step)
    ]


def as_event(line: BuildLogLine) -> dict[str, Any]:
    """Return a line as the page's script reads it from the stream of events."""
    return {
        "time": clock(line.time),
        "step": line.step,
        "tone": tone(line),
        "level": level(line, set()),
        "text": line.text,
    }


def tone(line: BuildLogLine) -> str:
    """Return the CSS class of a line. npm reports its requests on stderr; they get none."""
    return "stderr" if line.stream == "stderr" and not line.text.startswith("npm http") else ""


def level(line: BuildLogLine, last_words: set[str]) -> str:
    """Return "error", "warning" or "". `last_words`: the lines of a failed build's message."""
    if line.text.startswith(ERRORS) or (line.stream == "build" and line.text in last_words):
        return "error"
    return "warning" if line.text.startswith(WARNINGS) else ""


def clock(moment: datetime) -> str:
    """Return the time of day to the millisecond, in UTC."""
    return f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}"


def _title(step: str) -> str:
    return next((title for state, title in STEPS if state == step), step)
