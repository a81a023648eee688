"""Compare two versions of a template by their inputs, lockfiles and manifests.

No file is hashed and no tree is read. So the comparison is quick, and works for a removed version.
"""

import json
import posixpath
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from templatemgr import catalog, data_paths, difference, lockfile
from templatemgr.builders import native, registry
from templatemgr.builders.pip.pip_contents import LOCAL
from templatemgr.definitions import definition, definition_file, source_files
from templatemgr.difference import Difference, Side
from templatemgr.errors import DefinitionError, UnavailableError
from templatemgr.lockfile import Locked, LockfileError
from templatemgr.models import Version
from templatemgr.trees import manifests
from templatemgr.trees.manifests import Manifest, ManifestError

# Compared package by package, not line by line.
LOCKS = frozenset(lock for name in definition.BUILDERS for lock in registry.builder(name).LOCKS)
SHOWN_FILES = 40


def compare(*, template: str, old: int, new: int) -> Difference:
    """Return the differences between two versions, healthy or not.

    Raises UnknownTemplateError, UnknownVersionError, and UnavailableError if the files that a
    version keeps cannot be read.
    """
    before = catalog.get_version(template=template, number=old)
    after = catalog.get_version(template=template, number=new)
    return difference.compare(_side(before), _side(after))


def to_data(found: Difference) -> dict[str, Any]:
    """Return a difference as JSON values."""
    data: dict[str, Any] = json.loads(json.dumps(asdict(found)))
    return data


def to_text(found: Difference) -> Iterator[str]:
    """Yield a difference as lines for a terminal."""
    files = found.files
    yield f"{found.before} → {found.after}"
    yield from _section("Programs", [_pair(p.name, p.before, p.after) for p in found.programs])
    yield from _section("Packages", [_package(change) for change in found.packages])
    yield from _section("New install scripts", _scripts(found, built=False))
    yield from _section("Newly built from source", _scripts(found, built=True))
    yield from _section("Licences", [_pair(p.name, p.before, p.after) for p in found.licences])
    deprecated = [
        f"{'new: ' if item.new else ''}{item.name} {item.version}: {item.message}"
        for item in found.deprecations
    ]
    yield from _section("Deprecated", deprecated)
    yield from _section("Hosts", [_pair(p.name, p.before, p.after) for p in found.origins])
    shown = [f"{_sign(file.what)} {file.path}" for file in files.shown[:SHOWN_FILES]]
    left = len(files.shown) - len(shown) + files.left_out
    yield from _section("Files", [*shown, *([f"and {left} more"] if left else [])])
    yield (
        f"{files.added} files added, {files.removed} removed, {files.changed} changed; "
        f"{files.size_before:,} → {files.size_after:,} bytes"
    )
    for text in found.texts:
        yield from ("", *text.lines)
        if text.note:
            yield f"{_sign(text.what)} {text.path}: {text.note}"
    if found.texts_left_out:
        yield f"and {found.texts_left_out} more configuration files"


def _scripts(found: Difference, *, built: bool) -> list[str]:
    never = " (for the first time)" if built else " (never had one)"
    return [
        f"{script.name} {script.version}{'' if script.known else never}"
        for script in found.scripts
        if script.built == built
    ]


def _section(title: str, lines: list[str]) -> Iterator[str]:
    if lines:
        yield f"{title}:"
        yield from (f"  {line}" for line in lines)


def _package(change: difference.PackageChange) -> str:
    moved = _pair(change.name, ", ".join(change.before), ", ".join(change.after))
    size = f" {'down, ' if change.down else ''}{change.distance}" if change.distance else ""
    origin = " (direct)" if change.direct else ""
    if len(change.chain) > 1:
        origin = f" (by {' > '.join(change.chain[:-1])})"
    return f"{_sign(change.what)} {moved}{size}{origin}"


def _pair(name: str, before: str, after: str) -> str:
    return f"{name} {' → '.join(filter(None, (before, after)))}"


def _sign(what: str) -> str:
    return {"added": "+", "removed": "-"}.get(what, "~")


def _side(version: Version) -> Side:
    home = data_paths.version(version)
    try:
        manifest = manifests.read(home / "manifest.json.gz", files=version.file_count)
        paths = source_files.list_paths(home / "inputs")
        inputs = {path: _bounded(home / "inputs" / path) for path in paths if path not in LOCKS}
        packages = _packages(version, home / "inputs", manifest)
        programs = _programs(home / "inputs", manifest, packages)
    except (OSError, ManifestError, DefinitionError, LockfileError) as error:
        message = f"The kept files of {version} cannot be read: {error}"
        raise UnavailableError(message, version=version.number) from error
    return Side(
        label=str(version),
        packages=tuple(packages),
        programs=programs,
        manifest=manifest,
        inputs=inputs,
        origins=version.build.origins.get("packages", {}),
        registries=frozenset((*version.build.origins.get("configured", ()), LOCAL)),
    )


def _bounded(path: Path) -> bytes:
    """Return the beginning of a file, up to the size above which its lines are not compared."""
    return source_files.read(path, shown=path.name)[: difference.MAX_TEXT_BYTES + 1]


def _packages(version: Version, inputs: Path, manifest: Manifest) -> list[Locked]:
    """Return the packages from npm's lock, with all details, else those recorded in the row."""
    lock = inputs / "package-lock.json"
    if not lock.is_file():
        rows = ({**row, "chain": tuple(row.get("chain", ()))} for row in version.packages)
        return [Locked(**row) for row in rows]
    present = {entry.path for entry in manifest.entries}
    locked = lockfile.read(
        source_files.read(lock, shown=lock.name), lambda path: f"{path}/package.json" in present
    )
    return [*locked, *native.recorded(version.packages)]


def _programs(inputs: Path, manifest: Manifest, packages: list[Locked]) -> dict[str, str]:
    """Return the links to programs, each with the package and version that it leads to."""
    definition = definition_file.read_kept(inputs)
    targets = {
        entry.path: posixpath.normpath(posixpath.join(posixpath.dirname(entry.path), entry.target))
        for entry in manifest.entries
        if entry.kind == "link"
    }
    found: dict[str, str] = {}
    for link in (*definition.toolchain, *registry.builder(definition.builder).PROGRAMS):
        owners = [
            p for p in packages if p.path and f"{targets.get(link)}/".startswith(f"{p.path}/")
        ]
        if owners:
            owner = max(owners, key=lambda package: len(package.path))
            found[link] = f"{owner.name} {owner.version}"
    return found
