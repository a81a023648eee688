"""The difference between two versions: packages, programs, files and configuration.

The functions are pure. Lists of files and texts are limited, and the omitted items are counted: a
tree may hold a hundred thousand files.
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
    """One of the two versions, as read from its kept files."""

    label: str  # "typescript@7"
    packages: tuple[Locked, ...]
    programs: Mapping[str, str]  # link in the tree → package and version of its target
    manifest: Manifest
    inputs: Mapping[str, bytes]  # configuration by path, without lockfiles
    origins: Mapping[str, str] = field(default_factory=dict)  # host:port by "name version"
    registries: frozenset[str] = frozenset()  # the registries that were configured for its build


@dataclass(frozen=True, kw_only=True)
class PackageChange:
    """A changed package. `before` and `after` list its versions in the tree, lowest first."""

    name: str
    what: What
    before: tuple[str, ...]
    after: tuple[str, ...]
    direct: bool
    chain: tuple[str, ...]  # of dependencies, in the new version; in the old if removed
    distance: Distance  # between the highest versions; "" if added or removed
    down: bool  # the highest version is lower than before
    origin: str = ""  # the hosts of its downloads in the new version; "" if unknown


@dataclass(frozen=True, kw_only=True)
class Script:
    """A package at a version whose code newly runs in a build.

    The code is an install script, which runs only if the definition names the package, or, if
    `built` is true, the build of a source distribution.
    """

    name: str
    version: str
    known: bool  # another version of the package had such code before
    built: bool


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A named value on both sides; "" on a side without it."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class Deprecation:
    """A deprecated package of the new version, with the message of its maintainer."""

    name: str
    version: str
    message: str
    new: bool


@dataclass(frozen=True, kw_only=True)
class FileChange:
    """A changed path of the tree. `before` and `after` are sizes in bytes, None if absent."""

    path: str
    what: What
    before: int | None
    after: int | None
    why: str = ""  # of a changed path: "content", "mode", "link" or "kind"


@dataclass(frozen=True, kw_only=True)
class Files:
    """The difference of the trees: counts, sizes in bytes, and the first changes by path."""

    added: int
    removed: int
    changed: int
    size_before: int
    size_after: int
    shown: tuple[FileChange, ...]
    left_out: int


@dataclass(frozen=True, kw_only=True)
class Text:
    """A changed configuration file with the lines of its unified diff.

    `note` is "binary" or "too large" if there is no diff, or tells how many lines were cut off.
    """

    path: str
    what: What
    lines: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """All differences between the versions labelled `before` and `after`."""

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
    # Packages whose host changed, or is not one of the configured registries.
    origins: tuple[Pair, ...] = ()


def compare(before: Side, after: Side) -> Difference:
    """Return the differences between two versions."""
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
    """Return the files that differ, sorted by path, each with its unified diff."""
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
    """Return the hosts of all versions of a package, joined by ", ".

    Look up the name as given and normalized by PEP 503, for packages of pip.
    """
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
    """Describe one change.

    `places` are the entries of the package in the new version, or in the old one if it was removed.
    """
    before, after = change.before, change.after
    moved = bool(before and after)
    what: What = "changed" if moved else ("added" if after else "removed")
    # Prefer new entries: their chain explains the change.
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
    """Return whether each package with build code was built from source, by (name, version)."""
    return {
        (package.name, package.version): package.built
        for package in packages
        if package.install_script or package.built
    }


def _licences(before: Iterable[Locked], after: Iterable[Locked]) -> tuple[Pair, ...]:
    """Compare licences by package; ignore removed packages."""
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
    # An entry includes its path, mode and digest, so `!=` finds every change.
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
    # difflib takes more than linear time in the number of lines.
    if any(len(side) > MAX_TEXT_BYTES or side.count(b"\n") > MAX_DIFF_LINES for side in sides):
        return Text(path=path, what=what, lines=(), note="too large")
    try:
        left, right = (side.decode("utf-8") for side in sides)
    except UnicodeDecodeError:
        return Text(path=path, what=what, lines=(), note="binary")
    if "\0" in left + right:
        return Text(path=path, what=what, lines=(), note="binary")
    # Split only at line feeds: other line breaks of `splitlines` may be part of a string.
    lines = list(
        difflib.unified_diff(
            left.split("\n"), right.split("\n"), f"a/{path}", f"b/{path}", lineterm=""
        )
    )
    cut = len(lines) - MAX_TEXT_LINES
    note = f"{cut} more lines" if cut > 0 else ""
    return Text(path=path, what=what, lines=tuple(lines[:MAX_TEXT_LINES]), note=note)
