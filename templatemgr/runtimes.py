"""How to run submissions on a tree: by the definition, within this machine's limits."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sandbox.limits import Limits
from sandbox.session.sessions import Submission, Tree
from sandbox.session.variables import Variables
from templatemgr import operator_rules
from templatemgr.definitions.definition import Definition
from templatemgr.definitions.readers import environment
from templatemgr.definitions.readers.rules import Ceilings
from templatemgr.definitions.smoke import SmokeCase

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """How to run submissions on one version, read from the version's own kept inputs."""

    name: str
    modes: tuple[str, ...]
    default: Limits
    maximum: Limits
    entry: str | None
    pattern: str | None
    variables: Variables
    trees: Mapping[str, Tree]
    smoke: tuple[SmokeCase, ...]

    @property
    def examples(self) -> tuple[SmokeCase, ...]:
        """Return the smoke cases that the pages offer to new users."""
        return tuple(case for case in self.smoke if case.title)

    def smoke_of(self, mode: str) -> tuple[SmokeCase, ...]:
        """Return the smoke cases of a mode, complete with the default entry and pattern."""
        return tuple(
            replace(
                case,
                submission=replace(
                    case.submission,
                    entry=case.submission.entry or self.entry,
                    pattern=case.submission.pattern or self.pattern,
                ),
            )
            for case in self.smoke
            if case.submission.mode == mode
        )

    def tree(self, mode: str) -> Tree:
        """Return the tree that the sandbox mounts and starts in a mode. Raises KeyError."""
        return self.trees[mode]

    def limits(self, asked: Mapping[str, int]) -> Limits:
        """Return the limits in force for requested limits; none exceeds the maximum."""
        return operator_rules.lowered(replace(self.default, **asked), self.maximum)


# Decision 0001: an execution links into a prepared tree; nothing is installed for it.
def make_runtime(definition: Definition, home: Path) -> Runtime:
    """Return how to run on the tree and cache of a folder, by a definition."""
    modes = definition.modes
    trees = {
        name: Tree(
            root=home / "tree",
            cache=home / "cache",
            links=definition.links,
            command=mode.command,
            env=definition.env,
            variables=definition.variables,
            forks=name in definition.forks,
        )
        for name, mode in modes.items()
    }
    return Runtime(
        name=definition.name,
        modes=tuple(modes),
        default=definition.default,
        maximum=definition.maximum,
        entry=modes["run"].entry if "run" in modes else None,
        pattern=modes["test"].pattern if "test" in modes else None,
        variables=definition.variables,
        trees=trees,
        smoke=definition.smoke,
    )


def fill_in(definition: Definition, submission: Submission) -> Submission:
    """Return a submission with the default entry and pattern of the definition filled in."""
    mode = definition.modes[submission.mode]
    return replace(
        submission,
        entry=submission.entry or mode.entry,
        pattern=submission.pattern or mode.pattern,
    )


def writable_cache(tree: Tree) -> Tree:
    """Return the same tree with a writable cache, to fill the cache during a build."""
    return replace(tree, cache_writable=True)


def held(definition: Definition, ceilings: Ceilings) -> Definition:
    """Return a definition from an older build as it may be run today.

    Lower its limits to the ceilings and drop variables that act on Stencil's own programs.
    """
    left = [name for name in definition.env if environment.before_rights_are_dropped(name)]
    if left:
        names = ", ".join(left)[:300]
        logger.warning("%s runs without %s of its [env]", definition.root, names)
    return replace(
        definition,
        default=operator_rules.lowered(definition.default, ceilings),
        maximum=operator_rules.lowered(definition.maximum, ceilings),
        env={name: value for name, value in definition.env.items() if name not in left},
    )
