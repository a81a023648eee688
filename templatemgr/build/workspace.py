"""The folder and state of one build, and its steps while this process holds the lease."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.utils import timezone

from sandbox.errors import SandboxError
from templatemgr.build.log_writer import LogWriter
from templatemgr.definitions.definition import Definition
from templatemgr.errors import BuildCancelledError, BuildError, DefinitionError, LeaseLostError
from templatemgr.models import Build, BuildState
from templatemgr.queues import BUILDS
from templatemgr.store import Sealed
from templatemgr.trees.manifests import Manifest, ManifestError

FULL = "Free some space, for instance by removing unused versions, and build again."


@dataclass(kw_only=True)
class BuildWorkspace:
    """The folder of one build, and its results so far."""

    build: Build
    log_writer: LogWriter
    home: Path  # staging/<build>, renamed as a whole when it is published
    definition: Definition | None = None
    sealed: Sealed | None = None
    cache: Manifest | None = None
    smoke: list[dict[str, Any]] = field(default_factory=list)

    @property
    def inputs(self) -> Path:
        """The folder of the inputs."""
        return self.home / "inputs"

    @property
    def work(self) -> Path:
        """The folder that cages may write."""
        return self.home / "work"

    @property
    def tree(self) -> Path:
        """The folder of the new tree."""
        return self.home / "tree"


@contextmanager
def step(workspace: BuildWorkspace, state: BuildState) -> Iterator[None]:
    """Record a step's start and end. An error inside becomes a BuildError with the step."""
    check(workspace.log_writer)
    # The log writer sees a cancellation a moment later, when a short build may have ended.
    if Build.objects.filter(pk=workspace.build.pk, cancel_requested=True).exists():
        raise BuildCancelledError
    workspace.log_writer.step = state
    entry: dict[str, Any] = {
        "name": str(state),
        "started_at": timezone.now().isoformat(),
        "finished_at": None,
        "state": "active",
    }
    workspace.build.steps = [*workspace.build.steps, entry]
    advance(workspace.build, state=state, step=state, steps=workspace.build.steps)
    try:
        yield
    except (ManifestError, SandboxError, DefinitionError, OSError) as error:
        if _is_full(error):
            message = f"The disk is full: {str(error)[:500]}"
            raise BuildError(message, step=state, remedy=FULL) from error
        raise BuildError(str(error), step=state) from error


def _is_full(error: Exception) -> bool:
    if not isinstance(error, OSError):
        return False
    # shutil.Error of a copy of many files lists the failures and has no errno.
    many = isinstance(error, shutil.Error) and os.strerror(errno.ENOSPC) in str(error)
    return many or error.errno in (errno.ENOSPC, errno.EDQUOT)


def advance(build: Build, **values: Any) -> None:
    """Set columns of a running build, also in the object; `state` only to the next running state.

    Raises LeaseLostError if this process lost its lease.
    """
    now = timezone.now()
    steps = values.setdefault("steps", build.steps)
    for entry in steps[:-1]:
        if entry["state"] == "active":
            entry.update(state="done", finished_at=now.isoformat())
    if not BUILDS.update(build, **values):
        raise LeaseLostError
    for name, value in values.items():
        setattr(build, name, value)


def check(log_writer: LogWriter) -> None:
    """Raise BuildCancelledError or LeaseLostError if the build was cancelled or taken over."""
    if log_writer.lost:
        raise LeaseLostError
    if log_writer.cancel.is_set():
        raise BuildCancelledError


def definition_of(workspace: BuildWorkspace) -> Definition:
    """Return the definition that is built. Raises BuildError before the first step."""
    if workspace.definition is None:
        message = "The build's inputs were not copied."
        raise BuildError(message, step=workspace.build.step)
    return workspace.definition
