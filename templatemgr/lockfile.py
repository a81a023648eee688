"""package-lock.json: the installed packages of a tree, their dependants and their metadata."""

import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

FOLDER = "node_modules/"
DEPENDENCY_FIELDS = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies")


class LockfileError(Exception):
    """The lockfile cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Package:
    """One installed package. `direct` is true if package.json names it."""

    name: str
    version: str
    direct: bool


@dataclass(frozen=True, kw_only=True)
class Locked:
    """One installed package with its metadata from the lockfile.

    `chain` is the shortest chain of dependencies, as package names, from a package that
    package.json names to this package; it is empty if no package depends on it. `built` is true if
    the package came as a source distribution, whose code ran in the build.
    """

    name: str
    version: str
    direct: bool
    path: str = ""
    chain: tuple[str, ...] = ()
    licence: str = ""
    deprecated: str = ""
    install_script: bool = False
    built: bool = False


def packages(lock: bytes, installed: Callable[[str], bool]) -> list[Package]:
    """Return the installed packages of a lockfile (format 2 or 3), sorted by name and version.

    `installed` tells whether a path of the lockfile exists in the tree: optional packages and
    packages for other platforms can be locked without being installed. Raises LockfileError.
    """
    places = entries(lock)
    direct_names = _direct_names(places)
    found = {
        Package(
            name=_name(path, entry), version=_version(entry), direct=_direct(path, direct_names)
        )
        for path, entry in places.items()
        if _is_package(path, entry) and installed(path)
    }
    return sorted(found, key=lambda package: (package.name, package.version, not package.direct))


def read(lock: bytes, installed: Callable[[str], bool]) -> list[Locked]:
    """Return the installed packages with their metadata, one item for each path in the tree.

    `installed` is as for `packages`. Items are sorted by name, version and path. Raises
    LockfileError.
    """
    places = entries(lock)
    direct_names, found_chains = _direct_names(places), chains(places)
    found = [
        Locked(
            name=_name(path, entry),
            version=_version(entry),
            direct=_direct(path, direct_names),
            path=path,
            chain=found_chains.get(path, ()),
            licence=_licence(entry.get("license")),
            deprecated=str(entry.get("deprecated") or ""),
            install_script=entry.get("hasInstallScript") is True,
        )
        for path, entry in places.items()
        if _is_package(path, entry) and installed(path)
    ]
    return sorted(found, key=lambda package: (package.name, package.version, package.path))


def entries(lock: bytes) -> dict[str, dict[str, Any]]:
    """Return the entries of a lockfile by path; "" is the root package. Raises LockfileError."""
    try:
        parsed = json.loads(lock)
        places = parsed["packages"]
    except (ValueError, KeyError, TypeError) as error:
        message = "package-lock.json has no `packages`: make it with npm 7 or later."
        raise LockfileError(message) from error
    if not isinstance(places, dict) or not all(isinstance(e, dict) for e in places.values()):
        message = "package-lock.json: `packages` is not a table of tables."
        raise LockfileError(message)
    return places


def _is_package(path: str, entry: Mapping[str, Any]) -> bool:
    return path.startswith(FOLDER) and not entry.get("link")


def _direct_names(entries: Mapping[str, Mapping[str, Any]]) -> frozenset[str]:
    return frozenset(_needs(entries.get("", {})))


def _needs(entry: Mapping[str, Any]) -> list[str]:
    """Return the sorted names that an entry depends on; ignore tables of an invalid type."""
    tables = (entry.get(key) for key in DEPENDENCY_FIELDS)
    return sorted({str(name) for table in tables if isinstance(table, dict) for name in table})


def _direct(path: str, direct_names: frozenset[str]) -> bool:
    return path.count(FOLDER) == 1 and path.removeprefix(FOLDER) in direct_names


def chains(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """Return the shortest chain of names from package.json to each path that it reaches.

    The search is breadth-first.
    """
    found: dict[str, tuple[str, ...]] = {"": ()}
    pending = deque([""])
    while pending:
        path = pending.popleft()
        for name in needs(entries, path):
            place = resolve(entries, path, name)
            if place is not None and place not in found:
                found[place] = (*found[path], name)
                pending.append(place)
    return found


def needs(entries: Mapping[str, Mapping[str, Any]], path: str) -> list[str]:
    """Return the names that npm installs for an entry: development ones for the root alone."""
    entry = entries.get(path, {})
    return _needs({**entry, "devDependencies": None} if path else entry)


def resolve(entries: Mapping[str, Any], path: str, name: str) -> str | None:
    """Resolve a package as Node does: in the node_modules of the folder, then of its parents."""
    while True:
        candidate = f"{path}/{FOLDER}{name}" if path else f"{FOLDER}{name}"
        if candidate in entries:
            return candidate
        if not path:
            return None
        path = path.rpartition(FOLDER)[0].rstrip("/")


def _name(path: str, entry: Mapping[str, Any]) -> str:
    """Return the real name of the package, which differs from its folder if it is an alias."""
    return str(entry.get("name") or path.rpartition(FOLDER)[2])


def _version(entry: Mapping[str, Any]) -> str:
    return str(entry.get("version", ""))


def _licence(value: object) -> str:
    """Return the licence as text; old packages have a table or a list of tables."""
    if isinstance(value, list):
        return " OR ".join(filter(None, map(_licence, value)))
    if isinstance(value, dict):
        return str(value.get("type") or "")
    return str(value or "")
