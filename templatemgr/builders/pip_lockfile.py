"""requirements.lock: every package at one version with its hashes, and how the built ones are made.

A package that is built stands there with the hash of its source distribution. What building it
takes, and what it needs when it is there, follows under markers that hold for nobody: pip reads the
same file, takes the source distribution that `--no-binary` names, and ignores the rest.

    --no-binary thing
    thing==1.2 --hash=sha256:…
    setuptools==80.9.0 ; extra == "build-of-thing" --hash=sha256:…
    base<2 ; extra == "needs-of-thing"
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from templatemgr.builders.requirements import plain

PIN = re.compile(r"([A-Za-z0-9][\w.-]*)==([^\s;\\]+)")
HASH = re.compile(r"--hash=sha256:([0-9A-Za-z]+)")
BUILT = re.compile(r"--no-binary[ =]([\w.,-]+)$")
OURS = re.compile(
    r"(?P<text>.+?) ; (\((?P<marker>.+)\) and )?"
    r'extra == "(?P<part>build|needs)-of-(?P<name>[\w.-]+)"(?P<rest>( .*)?)$'
)
JOINED = re.compile(r"\s*\\\n\s*")


@dataclass(frozen=True, kw_only=True)
class Pin:
    """A version, and the SHA-256 of each file that may be taken for it."""

    version: str
    hashes: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What building a package takes, and its own dependencies as PEP 508 writes them."""

    build: Mapping[str, Pin] = field(default_factory=dict)
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Lock:
    """What a lock says, by plain name. The packages with a recipe are built."""

    packages: Mapping[str, Pin] = field(default_factory=dict)
    recipes: Mapping[str, Recipe] = field(default_factory=dict)


def read(text: str) -> Lock:
    """Return what a lock says; lines that say something else are left out."""
    packages: dict[str, Pin] = {}
    built: list[str] = []
    build: dict[str, dict[str, Pin]] = {}
    needs: dict[str, list[str]] = {}
    for line in _lines(text):
        if found := BUILT.match(line):
            built += map(plain, found[1].split(","))
        elif found := OURS.match(line):
            if found["part"] == "build":
                build.setdefault(found["name"], {}).update(_pin(line))
            else:
                marker = f" ; {found['marker']}" if found["marker"] else ""
                needs.setdefault(found["name"], []).append(found["text"] + marker)
        else:
            packages |= _pin(line)
    recipes = {
        name: Recipe(build=build.get(name, {}), needs=tuple(needs.get(name, ()))) for name in built
    }
    return Lock(packages=packages, recipes=recipes)


def write(lock: Lock) -> str:
    """Return the text of a lock: the same for the same lock, and no address in it."""
    lines = [f"--no-binary {name}\n" for name in sorted(lock.recipes)]
    lines += [_entry(name, pin) for name, pin in sorted(lock.packages.items())]
    for name, recipe in sorted(lock.recipes.items()):
        marker = f' ; extra == "build-of-{name}"'
        lines += [_entry(tool, pin, marker) for tool, pin in sorted(recipe.build.items())]
        lines += [_need(name, text) for text in sorted(recipe.needs)]
    return "".join(lines)


def requirements(packages: Mapping[str, Pin]) -> str:
    """Return pins alone, as pip installs them."""
    return "".join(_entry(name, pin) for name, pin in sorted(packages.items()))


def wheels(text: str, built: Iterable[str]) -> str:
    """Return a lock as it is, without the packages that are built and without their recipes."""
    left_out = set(built)
    kept = [line for line in _lines(text) if not left_out & _pin(line).keys()]
    return "".join(f"{line}\n" for line in kept if not BUILT.match(line) and not OURS.match(line))


def _lines(text: str) -> Iterator[str]:
    return filter(None, (line.strip() for line in JOINED.sub(" ", text).splitlines()))


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
