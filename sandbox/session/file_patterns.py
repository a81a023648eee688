"""Patterns of files below src/: what they mean, and how they match. Pure; linear in a name.

A pattern is a relative path. In a part, `*` is any number of characters and `?` one character; all
others stand for themselves, also brackets and braces. A part `**` is any number of folders; as the
last part, it is every file below. A wildcard matches no leading dot: name the dot to match it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from sandbox.session.paths import check_paths

MAX_PATTERNS_BYTES = 4096  # of all patterns of a submission together
ANY_FOLDERS = "**"

# Places in patterns, as (pattern, part): the parts before are matched.
Places = frozenset[tuple[int, int]]


def check_patterns(patterns: Sequence[str], *, most: int) -> list[tuple[int | None, str]]:
    """Return the faults of patterns as (index or None for all, reason)."""
    if not 1 <= len(patterns) <= most:
        return [(None, f"give 1 to {most} patterns")]
    faults: list[tuple[int | None, str]] = list(check_paths(patterns, most=most))
    faults = [fault for fault in faults if "lies under" not in fault[1]]  # a rule for files only
    bad = {index for index, _ in faults}
    for index, pattern in enumerate(patterns):
        parts = pattern.split("/")
        if index not in bad and any(ANY_FOLDERS in part != ANY_FOLDERS for part in parts):
            faults.append((index, "'**' stands for folders: make it a part of its own"))
    if not faults and sum(len(pattern.encode()) for pattern in patterns) > MAX_PATTERNS_BYTES:
        faults.append((None, f"all patterns together have at most {MAX_PATTERNS_BYTES} bytes"))
    return faults


@dataclass(frozen=True)
class Part:
    """One part of a pattern. It is matched by a set of places, the bits of a number."""

    text: str

    @cached_property
    def literal(self) -> bool:
        """Return whether it stands for exactly one name."""
        return "*" not in self.text and "?" not in self.text

    @cached_property
    def _tables(self) -> tuple[int, int, int, dict[str, int]]:
        """Return the end, the stars, the question marks, and the places of each character."""
        stars = anything = place = 0
        letters: dict[str, int] = {}
        for letter in self.text:
            bit = 1 << place
            if letter == "*":
                stars |= bit  # it needs no place of its own: it stays where it is
                continue
            if letter == "?":
                anything |= bit
            else:
                letters[letter] = letters.get(letter, 0) | bit
            place += 1
        return 1 << place, stars, anything, letters

    def matches(self, name: str) -> bool:
        """Return whether it matches a whole name, in one step for each of its characters."""
        if self.literal:
            return self.text == name
        if name.startswith(".") and not self.text.startswith("."):
            return False
        end, stars, anything, letters = self._tables
        places = 1
        for letter in name:
            moved = (places & (anything | letters.get(letter, 0))) << 1
            places = moved | (places & stars)
            if not places:
                return False
        return bool(places & end)


class Patterns:
    """Patterns that have passed `check_patterns`, to match paths part by part."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._parts = [[Part(text) for text in pattern.split("/")] for pattern in patterns]
        for parts in self._parts:
            if parts[-1].text == ANY_FOLDERS:
                parts.append(Part("*"))

    def begin(self) -> Places:
        """Return the places before the first part of a path."""
        return self._spread((number, 0) for number in range(len(self._parts)))

    def step(self, places: Places, name: str) -> Places:
        """Return the places behind the part `name` of a path; none if no pattern goes on."""
        found = []
        for number, index in places:
            parts = self._parts[number]
            if index == len(parts):
                continue
            if parts[index].text == ANY_FOLDERS:
                if not name.startswith("."):
                    found.append((number, index))
            elif parts[index].matches(name):
                found.append((number, index + 1))
        return self._spread(found)

    def ended(self, places: Places) -> bool:
        """Return whether a pattern ends here: the path to here is one of a wanted file."""
        return any(index == len(self._parts[number]) for number, index in places)

    def goes_on(self, places: Places) -> bool:
        """Return whether a pattern has more parts: a folder here may have wanted files."""
        return any(index < len(self._parts[number]) for number, index in places)

    def names(self, places: Places) -> list[str] | None:
        """Return the only names that can come next, sorted; None if a wildcard comes next."""
        following = [
            self._parts[number][index]
            for number, index in places
            if index < len(self._parts[number])
        ]
        if not all(part.literal for part in following):
            return None
        return sorted({part.text for part in following})

    def match(self, path: str) -> bool:
        """Return whether a path is one of a wanted file."""
        places = self.begin()
        for name in path.split("/"):
            places = self.step(places, name)
            if not places:
                return False
        return self.ended(places)

    def _spread(self, places: Iterable[tuple[int, int]]) -> Places:
        """Add the places that are reached without a name: `**` may be no folder at all."""
        found: set[tuple[int, int]] = set()
        for number, index in places:
            parts = self._parts[number]
            found.add((number, index))
            after = index
            while after < len(parts) and parts[after].text == ANY_FOLDERS:
                after += 1
                found.add((number, after))
        return frozenset(found)
