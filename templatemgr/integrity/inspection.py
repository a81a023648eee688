"""Inspect a version on disk without changing it.

There are two severities. A problem in the tree, which programs can see, makes a version unsafe. A
doubt about the cache, the manifest, the inputs or the objects does not: these prove a version or
serve to make it again. A file that cannot be read counts as wrong, never as sound.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from templatemgr import data_paths, store
from templatemgr.integrity import sources, spares
from templatemgr.models import HealthState, Version
from templatemgr.trees import foreign, hashing, listing, manifests
from templatemgr.trees.hashing import Hasher, look_at_all
from templatemgr.trees.listing import Owners
from templatemgr.trees.manifests import Entry, Inode, Manifest, ManifestError, Problem, Reading

Part = Literal["cache", "manifest", "inputs", "objects"]
EMPTY = Manifest(entries=())
DROPPED = "it was damaged and removed: executions run without it until it is filled again"
STUCK = "it is damaged and cannot be removed: executions run without it"
UNPROVEN = "its manifest is lost, and the tree is not the one that was sealed"
MISPLACED = (
    "its row in the database names another folder than its own: restore the row from a backup"
)
NO_DEFINITION = (
    "its inputs are damaged, and no sound copy of them is left to run it with: restore them from a "
    "backup, or build and promote another version"
)
HOME_MODES = (manifests.FOLDER_MODE, 0o755)  # the second while it is being repaired


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """One finding that prevents a version from being proven or made again, as in `Problem`."""

    part: Part
    path: str
    problem: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """The findings on a version, and the inodes that are bad in every tree that links to them."""

    problems: tuple[Problem, ...]  # of the tree
    doubts: tuple[Doubt, ...] = ()
    bad: Mapping[str, frozenset[Inode]]  # content hash → inodes that should hold it
    manifest: Manifest | None = None  # the sealed manifest, from any sound copy
    fingerprint: str = ""  # taken before the files were read


@dataclass(frozen=True, kw_only=True)
class Reader:
    """How files are read: the hasher, and the digests that are known already.

    Keep it for minutes only: a bit that flips on the disk does not change the time of a file.
    """

    hasher: Hasher = look_at_all
    known: dict[Reading, str] = field(default_factory=dict)


def inspect(version: Version, reader: Reader | None = None) -> Inspection:
    """Compare a version on disk with its row and its manifests.

    Raises HashingError if the reader's process ended; every other error is a finding.
    """
    reader = reader or Reader()
    home = data_paths.version(version)
    retired = version.health.state == HealthState.RETIRED
    if retired and not os.path.lexists(home / "tree"):
        return Inspection(problems=(), bad={})  # removed on purpose
    fingerprint = listing.fingerprint(home, RECORDED)
    mounted, doubted = _mounts(home)
    problems = [*mounted, *_roots(home)]
    if version.directory != version.folder:
        problems.append(Problem(path=".", problem="changed", detail=MISPLACED))
    manifest, doubts = _manifest(version, home)
    doubts += doubted
    bad: dict[str, set[Inode]] = {}
    if manifest is None:
        problems.append(Problem(path=".", problem="changed", detail=UNPROVEN))
    else:
        problems += _compared(manifest, home / "tree", reader)
        doubts += _objects(manifest, home / "tree", reader)
        hashes = {entry.path: entry.digest for entry in manifest.files}
        for problem in problems:
            if problem.inode is not None:
                bad.setdefault(hashes[problem.path], set()).add(problem.inode)
    inputs = _inputs(version, home)
    if not inputs:
        doubts += _modes(home / "inputs", manifest)
    if inputs and not retired and sources.definition(version) is None:
        problems.append(Problem(path="inputs", problem="unreadable", detail=NO_DEFINITION))
    doubts += [*_cache(version, home, reader), *inputs]
    return Inspection(
        problems=tuple({(p.path, p.problem): p for p in reversed(problems)}.values())[::-1],
        doubts=tuple(doubts),
        bad={digest: frozenset(inodes) for digest, inodes in bad.items()},
        manifest=manifest,
        fingerprint=fingerprint,
    )


RECORDED = ("tree", "cache", "inputs", sources.MANIFEST, sources.CACHE_MANIFEST)


def of_tree(found: Inspection) -> tuple[Problem, ...]:
    """Return the problems that a repair of the tree can end."""
    return tuple(problem for problem in found.problems if problem.detail != NO_DEFINITION)


def owners() -> Owners:
    """Return who may own entries below the data directory."""
    return listing.owners(data_paths.data())


_PARTS: Mapping[str, Part] = {
    "cache": "cache",
    "inputs": "inputs",
    sources.MANIFEST: "manifest",
    sources.CACHE_MANIFEST: "cache",
}


def _mounts(home: Path) -> tuple[list[Problem], list[Doubt]]:
    """Return what is mounted over the tree or the version, and over the parts beside the tree."""
    root = os.path.realpath(home)
    problems, doubts = list[Problem](), list[Doubt]()
    for point in listing.mounts_below(home):
        path = os.path.relpath(point, root)
        top = path.partition("/")[0]
        if top in _PARTS:
            doubts.append(Doubt(part=_PARTS[top], path=path, problem="mounted", detail=point))
        elif top in ("tree", "."):
            inner = "." if path == "tree" else path.removeprefix("tree/")
            problems.append(Problem(path=inner, problem="mounted", detail=point))
    return problems, doubts


def _roots(home: Path) -> Iterable[Problem]:
    """Return problems of the version's folder and the tree's root: kind, mode, owner, …."""
    for place in (home, home / "tree"):
        seen = listing.look(place)
        if seen is None or seen.trouble or seen.kind != "folder":
            why = seen.trouble or f"{place.name} is a {seen.kind}" if seen else ""
            word = "missing" if seen is None else "unreadable" if seen.trouble else "changed"
            yield Problem(path=".", problem=word, detail=why)
            return
        mode = seen.info.st_mode & 0o7777
        if mode not in ((manifests.FOLDER_MODE,) if place != home else HOME_MODES):
            yield Problem(path=".", problem="mode")
        if not owners().include(seen.info):
            yield Problem(path=".", problem="owner")
        if seen.attributes:
            names = ", ".join(seen.attributes)
            yield Problem(path=".", problem="attributes", detail=names)


def _compared(manifest: Manifest, root: Path, reader: Reader) -> list[Problem]:
    try:
        return manifests.compare(manifest, root, reader.known, reader.hasher, owners())
    except hashing.HashingError:
        raise
    except Exception as error:  # noqa: BLE001 - after any error the tree counts as unread
        return [Problem(path=".", problem="unreadable", detail=foreign.reason(error))]


def _manifest(version: Version, home: Path) -> tuple[Manifest | None, list[Doubt]]:
    """Return the sealed manifest: its own, else a spare, else one scanned from a sound tree."""
    name = sources.MANIFEST
    try:
        return spares.prove_manifest(home / name, version.tree_digest, files=version.file_count), []
    except ManifestError as error:
        word = "changed" if os.path.lexists(home / name) else "missing"
        doubts = [Doubt(part="manifest", path=name, problem=word, detail=str(error))]
    found = sources.manifest(version) or _scanned(version, home / "tree")
    return found, doubts


def _scanned(version: Version, tree: Path) -> Manifest | None:
    """Return the manifest of a tree if it is the sealed one; hash nothing if sizes differ."""
    try:
        files = [seen for seen in listing.walk(tree).found.values() if seen.kind == "file"]
        size = sum(seen.info.st_size for seen in files)
        if (len(files), size) != (version.file_count, version.size_bytes):
            return None
        found = manifests.scan(tree)
    except Exception:  # noqa: BLE001 - what cannot be read whole proves nothing
        return None
    return found if found.digest() == version.tree_digest else None


def _cache(version: Version, home: Path, reader: Reader) -> list[Doubt]:
    digest = version.health.cache_digest or version.cache_digest
    name = sources.CACHE_MANIFEST
    try:
        manifest = spares.prove_manifest(home / name, digest)
    except ManifestError as error:
        return [Doubt(part="cache", path=name, problem="changed", detail=str(error))]
    seen = listing.look(home / "cache")
    if seen is None:
        return [Doubt(part="cache", path="cache", problem="missing")]
    if seen.trouble or seen.kind != "folder":
        detail = seen.trouble or f"it is a {seen.kind}"
        return [Doubt(part="cache", path="cache", problem="changed", detail=detail)]
    found = _compared(manifest, home / "cache", reader)
    mode = seen.info.st_mode & 0o7777
    if mode != manifests.FOLDER_MODE or not owners().include(seen.info) or seen.attributes:
        found.insert(0, Problem(path=".", problem="mode"))
    doubts = [
        Doubt(part="cache", path=f"cache/{p.path}", problem=p.problem, detail=p.detail)
        for p in found
    ]
    if not doubts and manifest == EMPTY and digest != version.cache_digest:
        return [Doubt(part="cache", path="cache", problem="missing", detail=DROPPED)]
    return doubts


def _inputs(version: Version, home: Path) -> list[Doubt]:
    try:
        spares.prove_inputs(home / "inputs", version.definition_digest)
    except spares.InputsError as error:
        return [Doubt(part="inputs", path="inputs", problem="changed", detail=str(error))]
    return []


def _objects(manifest: Manifest, tree: Path, reader: Reader) -> list[Doubt]:
    """Return doubts about the objects of a version's files; none where links are impossible."""
    root, allowed = data_paths.objects(), owners()
    words: dict[str, str] = {}
    unread: dict[str, Entry] = {}
    for entry in {entry.key: entry for entry in manifest.files}.values():
        stored, file = store.object_path(root, entry), listing.look(tree / entry.path)
        seen, name = listing.look(stored), stored.relative_to(root).as_posix()
        if seen is None:
            words[name] = "missing"
        elif seen.trouble or seen.kind != "file":
            words[name] = "missing" if seen.trouble and not _is_folder(stored.parent) else "changed"
        elif seen.info.st_size != entry.size:
            words[name] = "changed"
        elif file is None or (file.info.st_dev, file.info.st_ino) != _inode(seen):
            unread[name] = entry
            if seen.info.st_mode & 0o7777 != entry.mode:
                words[name] = "mode"
            elif not allowed.include(seen.info):
                words[name] = "owner"
            elif seen.attributes:
                words[name] = "attributes"
    digests = _hash_objects(root, list(unread), reader)
    words |= {n: "changed" for n, entry in unread.items() if digests.get(n) != entry.digest}
    if words and not store.can_link(data_paths.data()):
        words = {name: word for name, word in words.items() if word != "missing"}
    return [Doubt(part="objects", path=f"objects/{n}", problem=w) for n, w in words.items()]


def _is_folder(place: Path) -> bool:
    seen = listing.look(place)
    return seen is not None and not seen.trouble and seen.kind == "folder"


def _modes(folder: Path, manifest: Manifest | None) -> list[Doubt]:
    """Return doubts about mode, owner and attributes of inputs with the right content.

    Files that the tree has, too, are executable as there; other files may be or not.
    """
    known = {entry.path: entry.mode for entry in manifest.files} if manifest else {}
    top, allowed = listing.look(folder), owners()
    found = {".": top} if top else {}
    found |= listing.walk(folder).found
    doubts = []
    for path, seen in found.items():
        modes = {manifests.FILE_MODE, manifests.PROGRAM_MODE}
        if seen.kind == "folder":
            modes = {manifests.FOLDER_MODE}
        elif path in known:
            modes = {known[path]}
        word = "" if seen.info.st_mode & 0o7777 in modes else "mode"
        word = word or ("" if allowed.include(seen.info) else "owner")
        word = word or ("attributes" if seen.attributes else "")
        if word:
            doubts.append(Doubt(part="inputs", path=f"inputs/{path}", problem=word))
    return doubts


def _hash_objects(root: Path, names: list[str], reader: Reader) -> Mapping[str, str]:
    try:
        return reader.hasher(root, names) if names else {}
    except hashing.HashingError:
        raise
    except Exception:  # noqa: BLE001 - what could not be hashed is not as it should be
        return {}


def _inode(seen: listing.Seen) -> Inode:
    return seen.info.st_dev, seen.info.st_ino
