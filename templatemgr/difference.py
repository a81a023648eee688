"""What moved between two versions: packages, programs, files and configuration. Pure.

Everything that is listed is bounded, and what a list leaves out is counted: a tree may hold a
hundred thousand files.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from templatemgr.lockfile import Locked
from templatemgr.package_diff import (
    Distance,
    NameChange,
    Package,
    diff_packages,
    distance,
    is_downgrade,
)
from templatemgr.trees.manifests import Entry, Manifest

MAX_FILES = 500
MAX_TEXTS = 50
MAX_TEXT_BYTES = 256 * 1024
MAX_DIFF_LINES = 10_000
MAX_TEXT_LINES = 2_000

What = Literal["added", "removed", "changed"]


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two versions, as read from what it keeps."""

    label: str  # "typescript@7"
    packages: tuple[Locked, ...]
    programs: Mapping[str, str]  # link in the tree → package and version that it leads to
    manifest: Manifest
    inputs: Mapping[str, bytes]  # configuration by path, without lockfiles
    origins: Mapping[str, str] = field(default_factory=dict)  # host:port by "name version"
    registries: frozenset[str] = frozenset()  # those that were configured when it was built


@dataclass(frozen=True, kw_only=True)
class PackageChange:
    """One package by name. `before` and `after` list its versions in the tree, oldest first."""

    name: str
    what: What
    before: tuple[str, ...]
    after: tuple[str, ...]
    direct: bool
    chain: tuple[str, ...]  # what brings it in: in the new version, or in the old when removed
    distance: Distance  # between the highest versions; "" when added or removed
    down: bool  # moved to a lower version
    origin: str = ""  # the hosts that the new version's came from; "" when not on record


@dataclass(frozen=True, kw_only=True)
class Script:
    """A package at a version whose own code a build runs, and did not before.

    An install script, if the definition names it; or, when it was `built`, all of its build.
    """

    name: str
    version: str
    known: bool  # of an earlier version, too
    built: bool


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A value by name on either side; "" where it is not there."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class Deprecation:
    """A deprecated package of the new version, in its maintainer's words."""

    name: str
    version: str
    message: str
    new: bool


@dataclass(frozen=True, kw_only=True)
class FileChange:
    """One path of the tree. Sizes in bytes, None where it is not there; `why` for a change."""

    path: str
    what: What
    before: int | None
    after: int | None
    why: str = ""  # "content", "mode", "link" or "kind"


@dataclass(frozen=True, kw_only=True)
class Files:
    """The trees' difference: how many of each, and the first of them by path."""

    added: int
    removed: int
    changed: int
    size_before: int
    size_after: int
    shown: tuple[FileChange, ...]
    left_out: int


@dataclass(frozen=True, kw_only=True)
class Text:
    """One configuration file: its unified diff, or why there is none ("binary", "too large")."""

    path: str
    what: What
    lines: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Everything that moved from `before` to `after`."""

    before: str
    after: str
    packages: tuple[PackageChange, ...]
    programs: tuple[Pair, ...]
    scripts: tuple[Script, ...]
    licences: tuple[Pair, ...]
    deprecations: tuple[Deprecation, ...]
    files: Files
    texts: tuple[Text, ...]
    texts_left_out: int
    # Packages whose host is another one now, or none of the registries that were configured.
    origins: tuple[Pair, ...] = ()


def compare(before: Side, after: Side) -> Difference:
    """Return what moved between two versions."""
    texts = _texts(before.inputs, after.inputs)
    return Difference(
        before=before.label,
        after=after.label,
        packages=tuple(
            replace(change, origin=_hosts(after, change.name))
            for change in _packages(before.packages, after.packages)
        ),
        programs=_pairs(before.programs, after.programs),
        scripts=_scripts(before.packages, after.packages),
        licences=_licences(before.packages, after.packages),
        deprecations=_deprecations(before.packages, after.packages),
        files=_files(before.manifest, after.manifest),
        texts=tuple(_text(path, old, new) for path, old, new in texts[:MAX_TEXTS]),
        texts_left_out=max(0, len(texts) - MAX_TEXTS),
        origins=_origins(before, after),
    )


def texts(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> tuple[Text, ...]:
    """Return the files that differ, by path, each with its unified diff."""
    return tuple(_text(path, old, new) for path, old, new in _texts(before, after))


def _origins(before: Side, after: Side) -> tuple[Pair, ...]:
    names = sorted({package.name for package in after.packages})
    pairs = (Pair(name=n, before=_hosts(before, n), after=_hosts(after, n)) for n in names)
    return tuple(
        pair
        for pair in pairs
        if pair.after
        and (
            (pair.before and pair.before != pair.after)
            or not set(pair.after.split(", ")) <= after.registries
        )
    )


def _hosts(side: Side, name: str) -> str:
    """Return where all versions of a package came from; pip's names are compared as PEP 503's."""
    plain = re.sub(r"[-_.]+", "-", name).lower()
    keys = [f"{n} {p.version}" for p in side.packages if p.name == name for n in (name, plain)]
    found = {host for key in keys for host in side.origins.get(key, "").split(", ")}
    return ", ".join(sorted(found - {""}))


def _by_name(packages: Iterable[Locked]) -> dict[str, list[Locked]]:
    found: dict[str, list[Locked]] = {}
    for package in packages:
        found.setdefault(package.name, []).append(package)
    return found


def _packages(before: Iterable[Locked], after: Iterable[Locked]) -> tuple[PackageChange, ...]:
    old, new = _by_name(before), _by_name(after)
    found = diff_packages(_plain(before), _plain(after))
    changes = (
        _package(change, new.get(change.name) or old[change.name]) for change in found.changes
    )
    return tuple(sorted(changes, key=lambda change: (not change.direct, change.name)))


def _plain(packages: Iterable[Locked]) -> Iterator[Package]:
    return (Package(each.name, each.version, each.direct) for each in packages)


def _package(change: NameChange, places: list[Locked]) -> PackageChange:
    """Describe one change; `places` are where the package stands, in the new version if it does."""
    before, after = change.before, change.after
    moved = bool(before and after)
    what: What = "changed" if moved else ("added" if after else "removed")
    # The place that is new says more about why than one that stayed.
    fresh = [place for place in places if place.version not in before] or places
    return PackageChange(
        name=change.name,
        what=what,
        before=before,
        after=after,
        direct=change.direct,
        chain=min((place.chain for place in fresh), key=lambda chain: (len(chain), chain)),
        distance=distance(before[-1], after[-1]) if moved else "",
        down=moved and is_downgrade(before[-1], after[-1]),
    )


def _scripts(before: Iterable[Locked], after: Iterable[Locked]) -> tuple[Script, ...]:
    had = _with_code(before)
    names = {name for name, _ in had}
    return tuple(
        Script(name=name, version=version, known=name in names, built=built)
        for (name, version), built in sorted(_with_code(after).items())
        if (name, version) not in had
    )


def _with_code(packages: Iterable[Locked]) -> dict[tuple[str, str], bool]:
    """Return name and version of what has code for the build; whether it was built from source."""
    return {
        (package.name, package.version): package.built
        for package in packages
        if package.install_script or package.built
    }


def _licences(before: Iterable[Locked], after: Iterable[Locked]) -> tuple[Pair, ...]:
    """Compare licences by package; what went away with its package is not a change of licence."""
    old, new = _by_name(before), _by_name(after)
    return tuple(
        Pair(name=name, before=_licence(old.get(name, [])), after=_licence(new[name]))
        for name in sorted(new)
        if _licence(old.get(name, [])) != _licence(new[name])
    )


def _licence(packages: Iterable[Locked]) -> str:
    return ", ".join(sorted({package.licence for package in packages if package.licence}))


def _deprecations(before: Iterable[Locked], after: Iterable[Locked]) -> tuple[Deprecation, ...]:
    had = {(package.name, package.version) for package in before if package.deprecated}
    found = {
        (package.name, package.version): package.deprecated
        for package in after
        if package.deprecated
    }
    return tuple(
        Deprecation(name=name, version=version, message=text, new=(name, version) not in had)
        for (name, version), text in sorted(found.items())
    )


def _pairs(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Pair, ...]:
    return tuple(
        Pair(name=name, before=before.get(name, ""), after=after.get(name, ""))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    )


def _files(before: Manifest, after: Manifest) -> Files:
    old = {entry.path: entry for entry in before.entries if entry.kind != "folder"}
    new = {entry.path: entry for entry in after.entries if entry.kind != "folder"}
    # Entries carry their path, so equal ones are equal whole.
    moved = sorted(path for path in old.keys() | new.keys() if old.get(path) != new.get(path))
    added = sum(1 for path in moved if path not in old)
    removed = sum(1 for path in moved if path not in new)
    return Files(
        added=added,
        removed=removed,
        changed=len(moved) - added - removed,
        size_before=before.size,
        size_after=after.size,
        shown=tuple(_file(path, old.get(path), new.get(path)) for path in moved[:MAX_FILES]),
        left_out=max(0, len(moved) - MAX_FILES),
    )


def _file(path: str, old: Entry | None, new: Entry | None) -> FileChange:
    what: What = "added" if old is None else ("removed" if new is None else "changed")
    return FileChange(
        path=path,
        what=what,
        before=None if old is None else old.size,
        after=None if new is None else new.size,
        why=_why(old, new) if old is not None and new is not None else "",
    )


def _why(old: Entry, new: Entry) -> str:
    if old.kind != new.kind:
        return "kind"
    if old.target != new.target:
        return "link"
    return "content" if old.digest != new.digest else "mode"


def _texts(
    before: Mapping[str, bytes], after: Mapping[str, bytes]
) -> list[tuple[str, bytes | None, bytes | None]]:
    paths = sorted(before.keys() | after.keys())
    pairs = [(path, before.get(path), after.get(path)) for path in paths]
    return [(path, old, new) for path, old, new in pairs if old != new]


def _text(path: str, old: bytes | None, new: bytes | None) -> Text:
    what: What = "added" if old is None else ("removed" if new is None else "changed")
    sides = (old or b"", new or b"")
    # The time of a difference grows by more than the number of lines.
    if any(len(side) > MAX_TEXT_BYTES or side.count(b"\n") > MAX_DIFF_LINES for side in sides):
        return Text(path=path, what=what, lines=(), note="too large")
    try:
        left, right = (side.decode("utf-8") for side in sides)
    except UnicodeDecodeError:
        return Text(path=path, what=what, lines=(), note="binary")
    if "\0" in left + right:
        return Text(path=path, what=what, lines=(), note="binary")
    # Split at line feeds alone: what else counts as a line's end may stand inside of a string.
    lines = list(
        difflib.unified_diff(
            left.split("\n"), right.split("\n"), f"a/{path}", f"b/{path}", lineterm=""
        )
    )
    cut = len(lines) - MAX_TEXT_LINES
    note = f"{cut} more lines" if cut > 0 else ""
    return Text(path=path, what=what, lines=tuple(lines[:MAX_TEXT_LINES]), note=note)
