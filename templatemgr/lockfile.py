"""package-lock.json: which packages a tree holds, and which of them were asked for by name."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

FOLDER = "node_modules/"
ASKED = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies")


class LockfileError(Exception):
    """The lockfile cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Package:
    """One installed package. `direct`: package.json names it; else something needed it."""

    name: str
    version: str
    direct: bool


def packages(lock: bytes, installed: Callable[[str], bool]) -> list[Package]:
    """Return the packages of a lockfile (format 2 or 3) that are installed, sorted by name.

    `installed` says whether a path of the lockfile is in the tree: what is optional, or made for
    another platform, is locked without being there. Raises LockfileError.
    """
    entries = _entries(lock)
    asked = {name for key in ASKED for name in entries.get("", {}).get(key, {})}
    found = {
        Package(
            name=_name(path, entry),
            version=str(entry.get("version", "")),
            direct=path.count(FOLDER) == 1 and path.removeprefix(FOLDER) in asked,
        )
        for path, entry in entries.items()
        if path.startswith(FOLDER) and not entry.get("link") and installed(path)
    }
    return sorted(found, key=lambda package: (package.name, package.version, not package.direct))


def _entries(lock: bytes) -> dict[str, dict[str, Any]]:
    try:
        parsed = json.loads(lock)
        entries = parsed["packages"]
    except (ValueError, KeyError, TypeError) as error:
        message = "package-lock.json has no `packages`: make it with npm 7 or later."
        raise LockfileError(message) from error
    if not isinstance(entries, dict) or not all(isinstance(e, dict) for e in entries.values()):
        message = "package-lock.json: `packages` is not a table of tables."
        raise LockfileError(message)
    return entries


def _name(path: str, entry: dict[str, Any]) -> str:
    """Return the package's own name: an alias is installed under another one."""
    return str(entry.get("name") or path.rpartition(FOLDER)[2])
