"""Collect definitions for production, as `collectstatic` collects static files.

A collection is a read-only folder with a manifest, named `<target>-<12 hex digits of its digest>`.
The target is a relative symlink to the folder and is replaced by an atomic rename. A process that
resolved the link earlier reads the old folder until the process restarts.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from templatemgr import store
from templatemgr.definitions import definition_file, source_files
from templatemgr.definitions.readers import Rules
from templatemgr.trees import hashing

FORMAT = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class Item:
    """One file of a collection: its hex SHA-256 and its size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Collection:
    """The files of a collection by relative path."""

    files: Mapping[str, Item]

    @property
    def digest(self) -> str:
        """Return the hex SHA-256 over every path and the hash of its content."""
        lines = "".join(f"{item.sha256} {path}\n" for path, item in sorted(self.files.items()))
        return hashlib.sha256(lines.encode()).hexdigest()


def collect(source: Path, rules: Rules | None = None) -> Collection:
    """Check every definition of a folder by `rules` and list its files. Raises DefinitionError."""
    for name in source_files.list_definitions(source):
        definition_file.read(source / name, rules)
    return Collection(files={path: _item(file) for path, file in _sources(source).items()})


def differences(collection: Collection, target: Path) -> list[str]:
    """Return one sentence for each difference of a folder from a collection; empty if equal."""
    try:
        written = json.loads((target / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return [f"{MANIFEST} is missing or unreadable"]
    if written != _manifest(collection):
        return [f"{MANIFEST} is not of these definitions"]
    found: list[str] = []
    for path, item in collection.files.items():
        file = target / path
        if not file.is_file():
            found.append(f"{path} is missing")
        elif _item(file) != item:
            found.append(f"{path} differs")
    present = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    return found + [f"{path} is extra" for path in sorted(present - {*collection.files, MANIFEST})]


def publish(collection: Collection, source: Path, target: Path) -> Path:
    """Copy a collection beside the target, make it read-only, and point the target at it.

    Return the folder of the collection. Raises FileExistsError if the target exists and is not a
    symlink.
    """
    if target.exists() and not target.is_symlink():
        message = f"{target} is not a link made by collecttemplates: move it away first."
        raise FileExistsError(message)
    final = target.parent / f"{target.name}-{collection.digest[:12]}"
    if differences(collection, final):
        _write(collection, source, final)
    temporary = target.parent / f".{target.name}-{secrets.token_hex(4)}"
    temporary.symlink_to(final.name)
    os.replace(temporary, target)  # noqa: PTH105 - the atomic replacement is deliberate
    return final


def clear(target: Path) -> list[Path]:
    """Delete collections that the target does not point at, and return their folders."""
    current = target.resolve()
    others = [path for path in target.parent.glob(f"{target.name}-*") if path != current]
    for path in others:
        store.remove(path)
    return others


def _write(collection: Collection, source: Path, final: Path) -> None:
    staged = final.with_name(f".{final.name}-{secrets.token_hex(4)}")
    staged.mkdir(parents=True)
    try:
        store.copy(_sources(source), staged)
        text = json.dumps(_manifest(collection), indent=1, sort_keys=True)
        (staged / MANIFEST).write_text(text + "\n", encoding="utf-8")
        store.remove(final)  # exists only if it is damaged
        store.publish(staged, final)
    finally:
        store.remove(staged)


def _sources(source: Path) -> dict[str, Path]:
    """Return the location of each file by its path in the collection.

    Files of a shared folder appear in each definition that includes the folder.
    """
    return {
        f"{name}/{path}": file
        for name in source_files.list_definitions(source)
        for path, file in source_files.locate(source / name).items()
    }


def _manifest(collection: Collection) -> dict[str, Any]:
    files = {path: asdict(item) for path, item in collection.files.items()}
    return {"format": FORMAT, "digest": collection.digest, "files": files}


def _item(path: Path) -> Item:
    return Item(sha256=hashing.hash_file(path), size=path.stat().st_size)
