"""The difference between the packages of two versions, and the order of package versions.

The functions are pure. All comparisons of package lists use this module; `templatemgr.difference`
adds details from lockfiles and manifests, and the dashboard shows the result as a table.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

from packaging.version import InvalidVersion, Version

SEMVER = re.compile(
    r"(\d{1,18})\.(\d{1,18})\.(\d{1,18})(?:-([0-9A-Za-z.-]{1,100}))?(?:\+[0-9A-Za-z.-]+)?"
)

Distance = Literal["", "major", "minor", "patch", "prerelease", "other"]
type OrderKey = tuple[tuple[int, ...], bool, tuple[tuple[bool, int, str], ...], str]


class Package(NamedTuple):
    """A package at one version. `direct` is true if the definition names it."""

    name: str
    version: str
    direct: bool


@dataclass(frozen=True, kw_only=True)
class NameChange:
    """A package whose set of versions changed. Every tuple is sorted by `order`.

    `before` and `after` hold all versions; `removed` and `added` the versions of only one side.
    """

    name: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    removed: tuple[str, ...]
    added: tuple[str, ...]
    direct: bool  # after the change; before the change if the package was removed


@dataclass(frozen=True, kw_only=True)
class PackageDiff:
    """The changed packages, unsorted; `same` counts the versions that are on both sides."""

    changes: tuple[NameChange, ...]
    same: int


def diff_packages(before: Iterable[Package], after: Iterable[Package]) -> PackageDiff:
    """Return the packages whose versions differ. A package may have several versions per side."""
    old, new = _by_name(before), _by_name(after)
    changes: list[NameChange] = []
    same = 0
    for name in old.keys() | new.keys():
        left, right = old.get(name, {}), new.get(name, {})
        same += len(left.keys() & right.keys())
        if left.keys() == right.keys():
            continue
        changes.append(
            NameChange(
                name=name,
                before=_sorted(left),
                after=_sorted(right),
                removed=_sorted(left.keys() - right.keys()),
                added=_sorted(right.keys() - left.keys()),
                direct=any((right or left).values()),
            )
        )
    return PackageDiff(changes=tuple(changes), same=same)


@lru_cache(maxsize=16_384)  # a table of versions compares the same few pairs in every row
def distance(before: str, after: str) -> Distance:
    """Return the first part in which two versions differ; "other" if a version is unreadable."""
    old, new = order(before), order(after)
    if not old[0] or not new[0]:
        return "other"
    parts: tuple[Distance, ...] = ("major", "minor", "patch")
    for part, left, right in zip(parts, old[0], new[0], strict=False):
        if left != right:
            return part
    return "prerelease" if old[1:] != new[1:] else "other"


@lru_cache(maxsize=16_384)
def is_downgrade(before: str, after: str) -> bool:
    """Return whether `after` is lower than `before`."""
    return order(after) < order(before)


def order(version: str) -> OrderKey:
    """Return a key that sorts versions by their standard; unreadable versions sort first.

    Semantic versions follow semver.org 2.0, other versions PEP 440. The key holds the numbers (at
    least three), whether the version is a release, the pre-release identifiers, and the text of an
    unreadable version.
    """
    match = SEMVER.fullmatch(version)
    if match is None:
        return _python_order(version)
    numbers = tuple(int(part) for part in match.groups()[:3])
    pre = match[4]
    marks = tuple(
        (not part.isdigit(), int(part) if part.isdigit() else 0, part)
        for part in (pre.split(".") if pre else ())
    )
    return numbers, pre is None, marks, ""


def _python_order(version: str) -> OrderKey:
    try:
        read = Version(version)
    except InvalidVersion:
        return (), False, (), version
    numbers = (*read.release, 0, 0)[: max(3, len(read.release))]
    post = () if read.post is None else (read.post + 1,)
    # A development release sorts before its pre-release or release.
    letter, count = read.pre or ("a" if read.dev is not None else "z", 0)
    dev = (True, 0, "") if read.dev is None else (False, read.dev, "")
    marks = ((True, 0, letter), (False, count, ""), dev)
    released = read.pre is None and read.dev is None
    return (*numbers, *post), released, () if released else marks, ""


def _by_name(packages: Iterable[Package]) -> dict[str, dict[str, bool]]:
    """Return, by name and version, whether the package is direct."""
    found: dict[str, dict[str, bool]] = {}
    for name, version, direct in packages:
        versions = found.setdefault(name, {})
        versions[version] = versions.get(version, False) or direct
    return found


def _sorted(versions: Iterable[str]) -> tuple[str, ...]:
    found = tuple(versions)
    return tuple(sorted(found, key=order)) if len(found) > 1 else found
