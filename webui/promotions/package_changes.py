"""What moved between two lists of packages, and how far. Pure: no models, no Django."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import zip_longest
from typing import Any

from templatemgr import difference


class Distance(StrEnum):
    """How far a package moved, by semantic versioning; in the order in which it matters."""

    MAJOR = "major"
    MINOR = "minor"
    PATCH = "patch"
    OTHER = "changed"  # not a semantic version: it moved, nobody can say how far
    ADDED = "added"
    REMOVED = "removed"


RANK = {each: rank for rank, each in enumerate(Distance)}


@dataclass(frozen=True, kw_only=True)
class Change:
    """One package that is not the same on both sides; `old` or `new` is None when it is absent."""

    name: str
    old: str | None
    new: str | None
    distance: Distance
    direct: bool
    down: bool = False

    @property
    def word(self) -> str:
        """The distance, and that it goes backwards when it does."""
        return f"{self.distance}, down" if self.down else str(self.distance)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Every change, the farthest first, and how many packages stayed as they were."""

    changes: tuple[Change, ...]
    same: int

    def count(self, *distances: Distance) -> int:
        """How many changes are of one of these distances."""
        return sum(change.distance in distances for change in self.changes)

    @property
    def major(self) -> int:
        """Changes that may break."""
        return self.count(Distance.MAJOR)

    @property
    def minor(self) -> int:
        """Changes that should not break, and those that nobody can measure."""
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
        """What a table's cell has room for."""
        return self.changes[:2]

    @property
    def more(self) -> int:
        """How many changes `first` leaves out."""
        return len(self.changes) - len(self.first)


def compare(old: Iterable[Mapping[str, Any]], new: Iterable[Mapping[str, Any]]) -> Comparison:
    """Compare two `Version.packages`: items with `name`, `version` and `direct`.

    A name may stand there several times, at several versions: only those that are not on both
    sides count, paired from the oldest on.
    """
    before, after = _by_name(old), _by_name(new)
    changes: list[Change] = []
    same = 0
    for name in before.keys() | after.keys():
        left, right = before.get(name, {}), after.get(name, {})
        same += len(left.keys() & right.keys())
        gone = _ordered(left.keys() - right.keys())
        come = _ordered(right.keys() - left.keys())
        direct = any((right or left).values())
        for a, b in zip_longest(gone, come):
            changes.append(_change(name, a, b, direct=direct))
    changes.sort(key=lambda c: (RANK[c.distance], not c.direct, c.name, c.new or ""))
    return Comparison(changes=tuple(changes), same=same)


@lru_cache(maxsize=16_384)  # a page of versions asks for the same few pairs over and over
def distance(old: str, new: str) -> Distance:
    """How far apart two versions of a package are."""
    far = difference.distance(old, new)
    if far == "prerelease":  # what leads to a release is a part of its patch
        return Distance.PATCH
    return Distance(far) if far in set(Distance) else Distance.OTHER


@lru_cache(maxsize=16_384)
def is_down(old: str, new: str) -> bool:
    """Whether a package went backwards."""
    return difference.order(new) < difference.order(old)


def _ordered(versions: set[str]) -> list[str]:
    return sorted(versions, key=difference.order) if len(versions) > 1 else list(versions)


def _by_name(packages: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, bool]]:
    found: dict[str, dict[str, bool]] = {}
    for package in packages:
        versions = found.setdefault(str(package["name"]), {})
        version = str(package["version"])
        versions[version] = versions.get(version, False) or bool(package.get("direct"))
    return found


def _change(name: str, old: str | None, new: str | None, *, direct: bool) -> Change:
    if old is None or new is None:
        moved = Distance.ADDED if old is None else Distance.REMOVED
        return Change(name=name, old=old, new=new, distance=moved, direct=direct)
    return Change(
        name=name,
        old=old,
        new=new,
        distance=distance(old, new),
        direct=direct,
        down=is_down(old, new),
    )
