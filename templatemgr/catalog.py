"""Which templates there are, which version a reference means, and how to run on it."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.db import transaction

from core.database.prepared import Param, Prepared
from sandbox.limits import Limits
from sandbox.session.sessions import Submission, Tree
from sandbox.session.variables import Variables
from templatemgr import data_paths, operator_rules
from templatemgr.definitions import definition_file, source_files
from templatemgr.definitions.definition import Definition
from templatemgr.definitions.readers import environment
from templatemgr.definitions.readers.rules import Ceilings
from templatemgr.definitions.smoke import SmokeCase
from templatemgr.errors import (
    DefinitionError,
    NotBuiltError,
    UnavailableError,
    UnknownTemplateError,
    UnknownVersionError,
)
from templatemgr.integrity import sources
from templatemgr.models import Template, Version

logger = logging.getLogger(__name__)

REFERENCE = re.compile(
    r"(?P<name>[^@]+)(?:@(?:(?P<number>[0-9]{1,9})|sha256:(?P<hex>[0-9a-f]{64})))?"
)


_BY_NAME = Prepared(
    lambda: Template.objects.filter(name=Param(Template, "name")).select_related(
        "current__template", "current__health"
    )[:1]
)


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
    examples: tuple[SmokeCase, ...]

    def tree(self, mode: str) -> Tree:
        """Return what the sandbox mounts and starts for this mode. KeyError for an unknown one."""
        return self.trees[mode]

    def limits(self, asked: Mapping[str, int]) -> Limits:
        """Return the limits in force for what was asked for, none over the maximum."""
        return operator_rules.lowered(replace(self.default, **asked), self.maximum)


def sync_definitions() -> list[Template]:
    """Create or retitle a row for every definition; never removes one. Raises DefinitionError."""
    folder = Path(settings.STENCIL_DEFINITIONS)
    allowed = operator_rules.current()
    read = [
        definition_file.read(folder / name, allowed)
        for name in source_files.list_definitions(folder)
    ]
    with transaction.atomic():
        return [_sync(definition) for definition in read]


def get(*, name: str) -> Template:
    """Return a template, with its current version. Raises UnknownTemplateError."""
    found = _BY_NAME.first(name=name)
    if found is None:
        message = f"There is no template {name!r}."
        raise UnknownTemplateError(message, template=name)
    return found


def get_version(*, template: str, number: int) -> Version:
    """Return a version, healthy or not. Raises UnknownTemplateError, UnknownVersionError."""
    row = get(name=template)
    try:
        return Version.objects.select_related("template", "health", "build").get(
            template=row, number=number
        )
    except Version.DoesNotExist:
        message = f"{template} has no version {number}."
        raise UnknownVersionError(message, template=template, version=number) from None


def resolve(*, reference: str) -> Version:
    """Return the healthy version that "name", "name@7" or "name@sha256:<hex>" means.

    The hex is an identity or a tree digest. Raises UnknownTemplateError, UnknownVersionError,
    NotBuiltError (no version is current), UnavailableError (not healthy: never served).
    """
    match = REFERENCE.fullmatch(reference)
    if match is None:
        raise _unknown(reference)
    template = get(name=match["name"])
    if match["number"]:
        version = get_version(template=template.name, number=int(match["number"]))
    elif match["hex"]:
        version = _by_digest(template, match["hex"], reference)
    elif template.current is None:
        message = f"{template.name} has no current version: build it, then promote the build."
        raise NotBuiltError(message, template=template.name)
    else:
        version = template.current
    if not version.healthy:
        message = f"{version} is {version.health.state} and is not served."
        raise UnavailableError(message, template=template.name, version=version.number)
    return version


def runtime(version: Version) -> Runtime:
    """Return how to run submissions on this version, within what this machine allows today.

    While its kept inputs are in doubt they are read from a sound copy. Raises UnavailableError.
    """
    home = data_paths.version(version)
    ceilings = operator_rules.ceilings()
    epoch = version.health.epoch  # what was read before the inputs were doubted is not used
    try:
        if "inputs" not in version.health.parts:
            return _kept_runtime(home, home / "inputs", epoch, ceilings)
        reason = "its kept inputs are damaged, and no sound copy of them is left"
    except (DefinitionError, OSError) as error:
        reason = str(error)
    copy = sources.definition(version)
    if copy is None:
        message = f"{version} cannot be run: {reason}"
        raise UnavailableError(message, template=version.template.name)
    return _kept_runtime(home, copy, epoch, ceilings)


def make_runtime(definition: Definition, home: Path) -> Runtime:
    """Return how to run on the tree and cache in a folder, as the definition says."""
    modes = definition.modes
    trees = {
        name: Tree(
            root=home / "tree",
            cache=home / "cache",
            links=definition.links,
            command=mode.command,
            env=definition.env,
            variables=definition.variables,
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
        examples=tuple(case for case in definition.smoke if case.title),
    )


def fill_in(definition: Definition, submission: Submission) -> Submission:
    """Return a submission with the entry and pattern that the definition gives by default."""
    mode = definition.modes[submission.mode]
    return replace(
        submission,
        entry=submission.entry or mode.entry,
        pattern=submission.pattern or mode.pattern,
    )


def writable_cache(tree: Tree) -> Tree:
    """Return the same tree with its cache mounted writable: for filling it, during a build."""
    return replace(tree, cache_writable=True)


def held(definition: Definition, ceilings: Ceilings) -> Definition:
    """Return a definition that was built under other rules as it is run today.

    Within the ceilings, and without variables that act on Stencil's own programs.
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


@lru_cache(maxsize=256)
def _kept_runtime(home: Path, inputs: Path, _epoch: int, ceilings: Ceilings) -> Runtime:
    return make_runtime(held(definition_file.read_kept(inputs), ceilings), home)


def _sync(definition: Definition) -> Template:
    template, _ = Template.objects.update_or_create(
        name=definition.name, defaults={"title": definition.title}
    )
    return template


def _by_digest(template: Template, digest: str, reference: str) -> Version:
    rows = Version.objects.select_related("template", "health").filter(template=template)
    found = rows.filter(identity=digest).first()
    if found is not None:
        return found
    # Several versions can have one tree, with other runners' limits or smoke cases around it.
    same_tree = list(rows.filter(tree_digest=digest).order_by("-number"))
    if not same_tree:
        raise _unknown(reference)
    return next((version for version in same_tree if version.healthy), same_tree[0])


def _unknown(reference: str) -> UnknownVersionError:
    message = f"{reference!r} names no version: write name, name@7 or name@sha256:<64 hex digits>."
    return UnknownVersionError(message, reference=reference)
