"""Which templates there are, and which version a reference means."""

from dataclasses import dataclass

from sandbox.limits import Limits
from sandbox.runner import Tree
from templatemgr.models import Template, Version


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """How to run submissions on one version, read from the version's own kept inputs."""

    name: str
    modes: tuple[str, ...]
    default: Limits
    maximum: Limits
    entry: str | None
    pattern: str | None
    trees: "dict[str, Tree]"

    def tree(self, mode: str) -> Tree:
        """Return what the sandbox mounts and starts for this mode. KeyError for an unknown one."""
        return self.trees[mode]


def sync_definitions() -> list[Template]:
    """Create or update a row for every definition; never removes one."""
    raise NotImplementedError


def resolve(*, reference: str) -> Version:
    """Return the healthy version that "name", "name@7" or "name@sha256:<hex>" means."""
    raise NotImplementedError


def runtime(version: Version) -> Runtime:
    """Return how to run submissions on this version."""
    raise NotImplementedError
