"""Builds: asked for, claimed, run to a version, cancelled, reaped."""

import uuid

from templatemgr.models import Build, BuildLogLine


def request(*, template: str, kind: str, actor: str, from_version: int | None = None) -> Build:
    """Queue a build. Raises UnknownTemplateError, UnknownVersionError, InvalidBuildError."""
    raise NotImplementedError


def claim(*, worker: str) -> Build | None:
    """Take the oldest queued build for this worker, or None."""
    raise NotImplementedError


def run(*, build: Build, worker: str) -> Build:
    """Do every step of a claimed build; never raises for what is the build's own failure."""
    raise NotImplementedError


def cancel(*, build_id: uuid.UUID | str, actor: str) -> Build:
    """Ask a build to stop. A finished one stays as it is."""
    raise NotImplementedError


def reap() -> int:
    """Mark builds interrupted whose lease ran out, and sweep what they left. Returns how many."""
    raise NotImplementedError


def log_lines(*, build: Build, after: int = 0, limit: int = 500) -> list[BuildLogLine]:
    """Return log lines with a sequence greater than `after`, in order."""
    raise NotImplementedError


def estimate_seconds(template: str) -> float | None:
    """Return the mean duration of the last five builds that went through, or None."""
    raise NotImplementedError
