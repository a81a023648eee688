"""The changes of packages between two versions, in the words of the pages. Pure.

`templatemgr.package_diff` finds them; this module pairs, ranks and counts them for a table.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import zip_longest
from typing import Any

from templatemgr import package_diff


class Distance(StrEnum):
    """The distance of an update by semantic versioning; the most important first."""

    MAJOR = "major"
    MINOR = "minor"
    PATCH = "patch"
    OTHER = "changed"  # not comparable: the version changed by an unknown distance
    ADDED = "added"
    REMOVED = "removed"


WORDS: Mapping[str, Distance] = {each.value: each for each in Distance}
RANK = {each: rank for rank, each in enumerate(Distance)}


@dataclass(frozen=True, kw_only=True)
class Change:
    """One changed version of a package; `old` or `new` is None on a side without it."""

    name: str
    old: str | None
    new: str | None
    distance: Distance
    direct: bool
    down: bool = False

    @property
    def word(self) -> str:
        """The distance; "down" is added for a downgrade."""
        return f"{self.distance}, down" if self.down else str(self.distance)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Every change, the farthest first, and the number of packages that stayed the same."""

    changes: tuple[Change, ...]
    same: int

    def count(self, *distances: Distance) -> int:
        """Return the number of changes of these distances."""
        return sum(change.distance in distances for change in self.changes)

    @property
    def major(self) -> int:
        """Changes that may break."""
        return self.count(Distance.MAJOR)

    @property
    def minor(self) -> int:
        """Changes that should not break, and changes of unknown distance."""
        return self.count(Distance.MINOR, Distance.PATCH, Distance.OTHER)

    @property
    def added(self) -> int:
        """Packages that are new."""
        return self.count(Distance.ADDED)

    @property
    def removed(self) -> int:
        """Packages that are gone."""
        return self.count(Distance.REMOVED)

    @property
    def first(self) -> tuple[Change, ...]:
        """The changes that a table's cell has room for."""
        return self.changes[:2]

    @property
    def more(self) -> int:
        """How many changes `first` leaves out."""
        return len(self.changes) - len(self.first)


def compare(old: Iterable[Mapping[str, Any]], new: Iterable[Mapping[str, Any]]) -> Comparison:
    """Present the difference between two `Version.packages`: items of `name`, `version`, `direct`.

    Versions of one name that stand on one side alone are paired from the lowest on.
    """
    found = package_diff.diff_packages(_packages(old), _packages(new))
    changes = [
        _change(each.name, before, after, direct=each.direct)
        for each in found.changes
        for before, after in zip_longest(each.removed, each.added)
    ]
    changes.sort(key=lambda c: (RANK[c.distance], not c.direct, c.name, c.new or ""))
    return Comparison(changes=tuple(changes), same=found.same)


def distance(old: str, new: str) -> Distance:
    """Return the word for the distance between two versions of a package."""
    far = package_diff.distance(old, new)
    if far == "prerelease":  # a change between pre-releases counts as a patch
        return Distance.PATCH
    return WORDS.get(far, Distance.OTHER)


def _packages(rows: Iterable[Mapping[str, Any]]) -> Iterator[package_diff.Package]:
    for row in rows:
        yield package_diff.Package(str(row["name"]), str(row["version"]), bool(row.get("direct")))


def _change(name: str, old: str | None, new: str | None, *, direct: bool) -> Change:
    if old is None or new is None:
        word = Distance.ADDED if old is None else Distance.REMOVED
        return Change(name=name, old=old, new=new, distance=word, direct=direct)
    return Change(
        name=name,
        old=old,
        new=new,
        distance=distance(old, new),
        direct=direct,
        down=package_diff.is_downgrade(old, new),
    )
