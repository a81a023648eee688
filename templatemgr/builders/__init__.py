"""Builders: how the packages of a definition come into a tree. One module a package manager."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from templatemgr.definition import Definition
from templatemgr.lockfile import Package

OnLine = Callable[[str, str], None]  # stream, text


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a builder works on: a bench/tree that already holds the definition's files.

    A step with network may write in the whole bench, one that runs foreign code in the tree alone.
    """

    definition: Definition
    bench: Path
    log: OnLine
    cancel: threading.Event = field(default_factory=threading.Event)

    @property
    def tree(self) -> Path:
        """Return what is going to be sealed."""
        return self.bench / "tree"

    @property
    def downloads(self) -> Path:
        """Return what the package manager may keep for later builds."""
        return self.bench / "downloads"


class Builder(Protocol):
    """A module that fills trees. Each function raises BuildError."""

    @property
    def LOCKS(self) -> Sequence[str]:  # noqa: N802 - a module's constant
        """Name the files that `relock` writes, relative to the tree."""

    def relock(self, job: Job) -> None:
        """Resolve the ranges anew, with network and without running foreign code."""

    def fetch(self, job: Job) -> None:
        """Bring the locked packages, with network and without running foreign code."""

    def install(self, job: Job) -> None:
        """Run the install scripts that the definition names, without network; tidy up."""

    def packages(self, tree: Path) -> list[Package]:
        """Return what is installed."""


def find(name: str) -> Builder:
    """Return the builder of this name. KeyError for an unknown one."""
    from templatemgr.builders import npm  # it imports Job from here

    return {"npm": npm}[name]
