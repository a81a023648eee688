"""Manifests: what a sealed tree holds, to the byte, and how a tree differs from one.

An entry is path, kind, normalised mode, size and content hash or link target. Times, owners and
inode numbers have no part in it, so the digest depends on nothing but what a program can see.
"""

import gzip
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from templatemgr.hashing import Hasher, hash_all, look_at_all

FORMAT = 1
# No package needs more, and every path stays far from what the kernel takes (4,096 bytes).
MAX_DEPTH, MAX_PATH_BYTES = 128, 2048
FILE_MODE, PROGRAM_MODE, FOLDER_MODE = 0o444, 0o555, 0o555

Kind = Literal["file", "folder", "link"]
Inode = tuple[int, int]  # device, number
Reading = tuple[int, int, int]  # the same, with the time of the last change in nanoseconds


class ManifestError(Exception):
    """A tree holds what cannot be sealed, or a manifest cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One path of a tree. `digest` (hex SHA-256) and `size` are a file's, `target` a link's."""

    path: str
    kind: Kind
    mode: int
    size: int = 0
    digest: str = ""
    target: str = ""

    @property
    def key(self) -> str:
        """Return the name of the stored object: content and the executable bit."""
        return object_key(self.digest, executable=bool(self.mode & 0o100))


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Every entry of a tree but its root, sorted by the bytes of the path."""

    entries: tuple[Entry, ...]

    @property
    def files(self) -> tuple[Entry, ...]:
        """Return the entries that are files."""
        return tuple(entry for entry in self.entries if entry.kind == "file")

    @property
    def size(self) -> int:
        """Return the sum of the files' sizes in bytes."""
        return sum(entry.size for entry in self.files)

    def digest(self) -> str:
        """Return the hex SHA-256 over every entry."""
        total = hashlib.sha256(b"stencil-tree-1\n")
        for entry in self.entries:
            total.update(_canonical(asdict(entry)) + b"\n")
        return total.hexdigest()


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One way a tree differs: "changed", "missing", "added", "mode" or "link"."""

    path: str
    problem: str
    inode: Inode | None = None  # the file that has the wrong bytes


def object_key(digest: str, *, executable: bool) -> str:
    """Return the name an object has in the store."""
    return f"{digest}.x" if executable else digest


def scan(root: Path) -> Manifest:
    """Read a tree and hash its files, on as many threads as there are cores.

    Modes are given as sealing will set them. Raises ManifestError for a special file, for a link
    that is absolute or leaves the tree, and for what lies too deep.
    """
    found = list(_walk(root))
    for path, _info in found:
        _check_place(path)
    files = [path for path, info in found if stat.S_ISREG(info.st_mode)]
    digests = hash_all(root, files)
    entries = [_entry(root, path, info, digests.get(path, "")) for path, info in found]
    return Manifest(entries=tuple(sorted(entries, key=lambda entry: os.fsencode(entry.path))))


def compare(
    manifest: Manifest,
    root: Path,
    hashed: dict[Reading, str] | None = None,
    hasher: Hasher = look_at_all,
) -> list[Problem]:
    """Return every difference between a tree and its manifest, in the order of paths.

    `hashed` remembers inodes between calls, so that a file shared by versions is read once. A file
    that cannot be read has changed.
    """
    known = {} if hashed is None else hashed
    try:
        present = dict(_walk(root))
    except FileNotFoundError:
        return [Problem(path=".", problem="missing")]
    _hash_inodes(root, present, known, hasher)
    wanted = {entry.path: entry for entry in manifest.entries}
    problems = [
        found
        for path, entry in wanted.items()
        for found in _differences(root, entry, present.get(path), known)
    ]
    problems += [Problem(path=path, problem="added") for path in present if path not in wanted]
    return sorted(problems, key=lambda problem: os.fsencode(problem.path))


def dump(manifest: Manifest) -> bytes:
    """Return the manifest as gzip'd JSON, the same bytes for the same manifest."""
    body = {"format": FORMAT, "entries": [asdict(entry) for entry in manifest.entries]}
    return gzip.compress(_canonical(body), mtime=0)


def load(data: bytes) -> Manifest:
    """Read what `dump` wrote. Raises ManifestError."""
    try:
        body = json.loads(gzip.decompress(data))
        if body["format"] != FORMAT:
            message = f"The manifest has format {body['format']!r}, this release reads {FORMAT}."
            raise ManifestError(message)
        return Manifest(entries=tuple(Entry(**entry) for entry in body["entries"]))
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        message = f"The manifest cannot be read: {error}"
        raise ManifestError(message) from error


def contents(root: Path) -> tuple[int, int]:
    """Return how many files `compare` would read in a tree, each inode once, and their bytes."""
    try:
        infos = [info for _, info in _walk(root) if stat.S_ISREG(info.st_mode)]
    except FileNotFoundError:
        return 0, 0
    sizes = {(info.st_dev, info.st_ino): info.st_size for info in infos}
    return len(sizes), sum(sizes.values())


def _check_place(path: str) -> None:
    if _too_deep(path):
        message = (
            f"{path[:100]}… lies too deep: a tree has at most {MAX_DEPTH} levels of folders, and "
            f"paths of {MAX_PATH_BYTES} bytes. See which package makes it."
        )
        raise ManifestError(message)


def _too_deep(path: str) -> bool:
    return path.count("/") >= MAX_DEPTH or len(os.fsencode(path)) > MAX_PATH_BYTES


def _walk(root: Path) -> Iterable[tuple[str, os.stat_result]]:
    """Yield every path below root with its lstat; no order, no link followed.

    What lies too deep is yielded, but not walked into.
    """
    pending = [""]
    while pending:
        folder = pending.pop()
        with os.scandir(root / folder) as entries:
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                info = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(info.st_mode) and not _too_deep(path):
                    pending.append(path)
                yield path, info


def _entry(root: Path, path: str, info: os.stat_result, digest: str) -> Entry:
    if stat.S_ISREG(info.st_mode):
        mode = PROGRAM_MODE if info.st_mode & 0o100 else FILE_MODE
        return Entry(path=path, kind="file", mode=mode, size=info.st_size, digest=digest)
    if stat.S_ISDIR(info.st_mode):
        return Entry(path=path, kind="folder", mode=FOLDER_MODE)
    if not stat.S_ISLNK(info.st_mode):
        message = f"{path} is neither a file, a folder nor a link."
        raise ManifestError(message)
    target = str((root / path).readlink())
    # Resolved by name alone: the target need not exist, but it must not lead out of the tree.
    landing = os.path.normpath(os.path.join(os.path.dirname(path), target))  # noqa: PTH118, PTH120
    if target.startswith("/") or landing == ".." or landing.startswith("../"):
        message = f"{path} is a link that leaves the tree: {target}"
        raise ManifestError(message)
    return Entry(path=path, kind="link", mode=0o777, target=target)


def _reading(info: os.stat_result) -> Reading:
    # With the time: a number is given again to another file, and what was written to is another.
    return info.st_dev, info.st_ino, info.st_ctime_ns


def _hash_inodes(
    root: Path,
    present: Mapping[str, os.stat_result],
    known: dict[Reading, str],
    hasher: Hasher,
) -> None:
    unread: dict[Reading, str] = {}
    for path, info in present.items():
        if stat.S_ISREG(info.st_mode) and _reading(info) not in known:
            unread.setdefault(_reading(info), path)
    digests = hasher(root, list(unread.values()))
    known.update({reading: digests[path] for reading, path in unread.items()})


def _differences(
    root: Path, entry: Entry, info: os.stat_result | None, known: Mapping[Reading, str]
) -> Iterable[Problem]:
    if info is None:
        yield Problem(path=entry.path, problem="missing")
    elif _kind(info) != entry.kind:
        yield Problem(path=entry.path, problem="changed")
    elif entry.kind == "link":
        if str((root / entry.path).readlink()) != entry.target:
            yield Problem(path=entry.path, problem="link")
    else:
        if entry.kind == "file" and known[_reading(info)] != entry.digest:
            yield Problem(path=entry.path, problem="changed", inode=(info.st_dev, info.st_ino))
        if stat.S_IMODE(info.st_mode) != entry.mode:
            yield Problem(path=entry.path, problem="mode")


def _kind(info: os.stat_result) -> str:
    if stat.S_ISREG(info.st_mode):
        return "file"
    if stat.S_ISDIR(info.st_mode):
        return "folder"
    return "link" if stat.S_ISLNK(info.st_mode) else "special"


def _canonical(value: Any) -> bytes:
    # ASCII only: a name that is no UTF-8 travels as a lone surrogate, escaped.
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
