"""The interface of a builder: its protocols, and the values that it takes and returns.

A builder is a module that implements `Builder`. It can also implement `Updater`. A module beside it
can implement `UpdateFinder`. This module imports no builder; `registry` lists the builders.
"""

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from sandbox.network.egress import Endpoint
from templatemgr.definitions.definition import Definition
from templatemgr.downloads import Content
from templatemgr.lockfile import Locked, Package

OnLine = Callable[[str, str], None]  # stream, text


@dataclass(frozen=True, kw_only=True)
class Job:
    """The input of a builder: a workspace whose `tree` already holds the definition's files.

    A step with network can write in the whole workspace. A step that runs foreign code can write
    only in the tree. `sources` are the kinds of sources that the operator allows besides the
    registry (see readers.rules). `fetch_hosts` ("host" or "host:port") can be reached besides the
    configured registries. A builder adds the configured registries to `configured` and the hosts of
    its connections to `reached`.
    """

    definition: Definition
    workspace: Path
    log: OnLine
    cancel: threading.Event = field(default_factory=threading.Event)
    disk_bytes: int = 8 * 1024**3  # limit of the bytes that a step writes
    sources: frozenset[str] = frozenset()
    fetch_hosts: tuple[str, ...] = ()
    start_files: tuple[str, ...] = ()  # packages that may run code at each start of Python
    configured: set[Endpoint] = field(default_factory=set)
    reached: set[Endpoint] = field(default_factory=set)
    origins: dict[str, str] = field(default_factory=dict)  # host:port by hexadecimal digest

    @property
    def tree(self) -> Path:
        """Return the folder that will be sealed."""
        return self.workspace / "tree"

    @property
    def downloads(self) -> Path:
        """Return the package manager's cache, which is deleted with the build."""
        return self.workspace / "downloads"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A package of the lock, with the versions that the package registry offers.

    `wanted` is the newest version that every range allows. `latest` is the version that the
    maintainer calls the newest, or else the newest version that is not a pre-release. Each equals
    `installed` if there is no newer version. A package that the manifest names is `direct`: a build
    of kind update can move it to a version.
    """

    name: str
    installed: str
    wanted: str
    latest: str
    direct: bool


class Builder(Protocol):
    """A module that fills trees. Each function raises BuildError."""

    @property
    def LOCKS(self) -> Sequence[str]:  # noqa: N802 - a module's constant
        """Name the files that `relock` writes, relative to the tree."""

    @property
    def PROGRAMS(self) -> Sequence[str]:  # noqa: N802 - a module's constant
        """Name the links to programs that the builder makes, besides the definition's toolchain."""

    def relock(self, job: Job) -> None:
        """Resolve the ranges again, with network. Run foreign code, if any, without network."""

    def contents(self, job: Job) -> Sequence[Content]:
        """Return the files that the lock names by their hashes."""

    def fetch(self, job: Job) -> None:
        """Fetch the locked packages, with network and without running foreign code."""

    def fetched(self, job: Job, wanted: Sequence[Content]) -> Sequence[Path]:
        """Return paths of fetched files; note the origins of `wanted` files in `job.origins`."""

    def came_from(self, job: Job) -> Mapping[str, str]:
        """Return the host:port from which each locked package came, by "name version"."""

    def install(self, job: Job) -> None:
        """Install without network; run the code of packages that the definition names."""

    def packages(self, tree: Path) -> Sequence[Package | Locked]:
        """Return the installed packages; `Locked` if the kept files do not have their details."""


class Updater(Protocol):
    """A builder that can also move single packages. Each function raises BuildError."""

    @property
    def MANIFEST(self) -> str:  # noqa: N802 - a module's constant
        """Name the file that lists the wanted packages, relative to the tree."""

    @property
    def PACKAGE(self) -> re.Pattern[str]:  # noqa: N802 - a module's constant
        """Match "name" and "name@version": groups `name` and `version`."""

    def update(self, job: Job, packages: Sequence[str]) -> None:
        """Move packages within their ranges ("name") or to a version ("name@1.2.3").

        Without packages, move all within their ranges.
        """

    def align(self, job: Job) -> None:
        """Make the lock satisfy the manifest with as few changes as possible."""


class UpdateFinder(Protocol):
    """A module that asks a package registry for newer versions."""

    def outdated(self, job: Job) -> Sequence[Candidate]:
        """Return every package of the job's lock, with network and without running foreign code.

        Raises BuildError, BuildCancelledError.
        """
