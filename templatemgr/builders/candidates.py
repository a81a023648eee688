"""What could move: the newest versions that a registry has of the packages that a lock names."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from templatemgr.builders import Job


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A package that the registry was asked for.

    `wanted` is the newest version that every range on it allows, `latest` what its maintainer
    calls the newest, or the newest that is no pre-release; each is `installed` when there is
    nothing newer. `direct`: the manifest names it, so it can be moved to a version by name.
    """

    name: str
    installed: str
    wanted: str
    latest: str
    direct: bool


class Scout(Protocol):
    """A module that asks a registry. Raises BuildError, BuildCancelledError."""

    def outdated(self, job: Job) -> Sequence[Candidate]:
        """Return every package of the job's lock, with network and without running its code."""


def scout(builder: str) -> Scout | None:
    """Return what asks the registry of this builder, or None: not every one has such a question."""
    from templatemgr.builders import npm_outdated, pip_outdated  # they import Candidate from here

    scouts: dict[str, Scout] = {"npm": npm_outdated, "pip": pip_outdated}
    return scouts.get(builder)
