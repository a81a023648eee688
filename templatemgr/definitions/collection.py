"""Definitions collected for production, as `collectstatic` does for static files.

A collection is a folder of its own, `templates-<12 hex of its digest>`, with a manifest and no
write bits; the target is a relative link to it, replaced by rename. A process that resolved the
link before keeps reading the old folder until it starts again.
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
    """One file of a collection."""

    sha256: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Collection:
    """Files by relative path, as they are in a source or were written down in a manifest."""

    files: Mapping[str, Item]

    @property
    def digest(self) -> str:
        """Return the hex SHA-256 over every path and content."""
        lines = "".join(f"{item.sha256} {path}\n" for path, item in sorted(self.files.items()))
        return hashlib.sha256(lines.encode()).hexdigest()


def collect(source: Path, rules: Rules | None = None) -> Collection:
    """Read and check every definition of a folder by these rules. Raises DefinitionError."""
    for name in source_files.list_definitions(source):
        definition_file.read(source / name, rules)
    return Collection(files={path: _item(file) for path, file in _sources(source).items()})


def differences(collection: Collection, target: Path) -> list[str]:
    """Return how a collected folder differs from what it should be; none when it does not."""
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
    """Copy a collection beside the target, close it, and point the target at it.

    Raises FileExistsError when the target is a folder that was not made here.
    """
    if target.exists() and not target.is_symlink():
        message = f"{target} is not a link made by collecttemplates: move it away first."
        raise FileExistsError(message)
    final = target.parent / f"{target.name}-{collection.digest[:12]}"
    if differences(collection, final):
        _write(collection, source, final)
    temporary = target.parent / f".{target.name}-{secrets.token_hex(4)}"
    temporary.symlink_to(final.name)
    os.replace(temporary, target)  # noqa: PTH105 - named in the design: atomic
    return final


def clear(target: Path) -> list[Path]:
    """Delete collections that the target does not point at."""
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
        store.remove(final)  # there only when somebody damaged it
        store.publish(staged, final)
    finally:
        store.remove(staged)


def _sources(source: Path) -> dict[str, Path]:
    """Where each file lies, by its path in the collection; what is included goes to each."""
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
