"""Read and write requirements.lock: packages with versions and hashes, and recipes for builds.

A package that is built from source has the hash of its source distribution. Its recipe follows in
lines with a marker that is never true: first the packages that its build requires, then its own
dependencies. pip reads the same file: it takes the source distribution because of `--no-binary`,
and ignores the recipe.

    --no-binary thing
    thing==1.2 --hash=sha256:…
    setuptools==80.9.0 ; extra == "build-of-thing" --hash=sha256:…
    base<2 ; extra == "needs-of-thing"
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from templatemgr.builders.pip.requirements import plain

PIN = re.compile(r"([A-Za-z0-9][\w.-]*)==([^\s;\\]+)")
HASH = re.compile(r"--hash=sha256:([0-9A-Za-z]+)")
BUILT = re.compile(r"--no-binary[ =]([\w.,-]+)$")
COMMENT = re.compile(r"(?<=\S)\s+#.*")
PART = re.compile(r'extra == "(build|needs)-of-([\w.-]+)"( |$)')


@dataclass(frozen=True, kw_only=True)
class Pin:
    """A version, and the hexadecimal SHA-256 of each file that is accepted for it."""

    version: str
    hashes: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The packages that a build requires, and the dependencies of the built package.

    `build` has pins by normalised name. `needs` are requirements in the syntax of PEP 508.
    """

    build: Mapping[str, Pin] = field(default_factory=dict)
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Lock:
    """The content of a lock, by normalised name. Packages with a recipe are built from source."""

    packages: Mapping[str, Pin] = field(default_factory=dict)
    recipes: Mapping[str, Recipe] = field(default_factory=dict)


def read(text: str) -> Lock:
    """Return the content of a lock; ignore lines that are neither a pin nor part of a recipe."""
    packages: dict[str, Pin] = {}
    built: list[str] = []
    build: dict[str, dict[str, Pin]] = {}
    needs: dict[str, list[str]] = {}
    for line in _lines(text):
        if found := BUILT.match(line):
            built += map(plain, found[1].split(","))
        elif ours := _ours(line):
            if ours.part == "build":
                build.setdefault(ours.name, {}).update(_pin(line))
            else:
                marker = f" ; {ours.marker}" if ours.marker else ""
                needs.setdefault(ours.name, []).append(ours.text + marker)
        else:
            packages |= _pin(line)
    recipes = {
        name: Recipe(build=build.get(name, {}), needs=tuple(needs.get(name, ()))) for name in built
    }
    return Lock(packages=packages, recipes=recipes)


def write(lock: Lock) -> str:
    """Return the text of a lock. Equal locks give equal texts. The text has no address."""
    lines = [f"--no-binary {name}\n" for name in sorted(lock.recipes)]
    lines += [_entry(name, pin) for name, pin in sorted(lock.packages.items())]
    for name, recipe in sorted(lock.recipes.items()):
        marker = f' ; extra == "build-of-{name}"'
        lines += [_entry(tool, pin, marker) for tool, pin in sorted(recipe.build.items())]
        lines += [_need(name, text) for text in sorted(recipe.needs)]
    return "".join(lines)


def requirements(packages: Mapping[str, Pin]) -> str:
    """Return pins as the text of a requirements file with hashes."""
    return "".join(_entry(name, pin) for name, pin in sorted(packages.items()))


def wheels(text: str, built: Iterable[str]) -> str:
    """Return the text of a lock without the packages in `built` and without all recipes."""
    left_out = set(built)
    kept = [line for line in _lines(text) if not left_out & _pin(line).keys()]
    return "".join(f"{line}\n" for line in kept if not BUILT.match(line) and not _ours(line))


def _lines(text: str) -> Iterator[str]:
    """Yield the logical lines that are not empty, without the comments behind them.

    A backslash at the end continues a line.
    """
    parts: list[str] = []
    for line in text.splitlines():
        bare = COMMENT.sub("", line).strip()
        parts.append(bare.removesuffix("\\").rstrip())
        if not line.endswith("\\"):
            yield from filter(None, [" ".join(filter(None, parts))])
            parts = []
    yield from filter(None, [" ".join(filter(None, parts))])


class _Ours(NamedTuple):
    text: str
    marker: str
    part: str
    name: str


def _ours(line: str) -> _Ours | None:
    """Parse a line of a recipe by its last `extra == `; return None for any other line."""
    text, semicolon, rest = line.partition(" ; ")
    at = rest.rfind("extra == ")
    found = PART.match(rest, max(at, 0))
    before = rest[: max(at, 0)]
    if not (text and semicolon and found) or (before and not _bracketed(before)):
        return None
    return _Ours(text, before[1:-6], found[1], found[2])


def _bracketed(marker: str) -> bool:
    """Return whether a marker looks like `(python_version < "4") and `, with text in brackets."""
    return marker.startswith("(") and marker.endswith(") and ") and len(marker) > 7


def _pin(line: str) -> dict[str, Pin]:
    found = PIN.match(line)
    if found is None:
        return {}
    return {plain(found[1]): Pin(version=found[2], hashes=frozenset(HASH.findall(line)))}


def _entry(name: str, pin: Pin, marker: str = "") -> str:
    digests = (f"    --hash=sha256:{digest}" for digest in sorted(pin.hashes))
    return " \\\n".join([f"{name}=={pin.version}{marker}", *digests]) + "\n"


def _need(name: str, text: str) -> str:
    requirement, _, marker = (part.strip() for part in text.partition(";"))
    holds = f"({marker}) and " if marker else ""
    return f'{requirement} ; {holds}extra == "needs-of-{name}"\n'
