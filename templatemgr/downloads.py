"""Downloads of package managers, kept for later builds by their hash.

    <algorithm>/<digest>/<name>      the bytes, which have that digest
    <algorithm>/<digest>/.origin     host and port that they first came from

A build gets copies of the files that its lock names. Each is hashed while it is copied, so a file
that another build stored under a false digest reaches no build. Indexes, pages and metadata of a
registry are not kept. When the folder exceeds its bound, the longest unused files are removed.
"""

import base64
import binascii
import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox import tree_walk
from templatemgr.store import Freed
from templatemgr.trees import beneath

LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}  # hexadecimal digits
ORIGIN = ".origin"
CHUNK = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!~-]{0,254}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Content:
    """A file that a lock names, and where its package manager expects it, below the workspace.

    `name` is the file's name there; None: the name under which it was kept.
    """

    algorithm: str
    digest: str  # lower case, hexadecimal
    folder: str
    name: str | None = None


def from_integrity(text: str) -> tuple[str, str] | None:
    """Return algorithm and digest of "sha512-…" (W3C subresource integrity), or None."""
    algorithm, _, encoded = text.partition("-")
    try:
        digest = base64.b64decode(encoded.partition("?")[0], validate=True).hex()
    except (binascii.Error, ValueError):
        return None
    return (algorithm, digest) if is_digest(algorithm, digest) else None


def is_digest(algorithm: str, digest: str) -> bool:
    """Return whether files are kept under this digest: its hash has no known collisions."""
    return len(digest) == LENGTHS.get(algorithm) and re.fullmatch("[0-9a-f]+", digest) is not None


# Decision 0017: builds share only files that a lock names by hash.
def take(kept: Path, wanted: Iterable[Content], workspace: Path) -> dict[str, str]:
    """Copy the kept files among the wanted ones to their places; return origins by digest.

    A file that does not have its digest is removed instead.
    """
    origins: dict[str, str] = {}
    for content in wanted:
        home = kept / content.algorithm / content.digest
        if not is_digest(content.algorithm, content.digest) or not home.is_dir():
            continue
        for file in sorted(home.iterdir()):
            if file.name == ORIGIN:
                continue
            target = workspace / content.folder / (content.name or file.name)
            target.parent.mkdir(parents=True, exist_ok=True)
            if not _copy(file, target, content.algorithm, content.digest):
                _remove(file, kept)
                continue
            os.utime(file)  # record the use
            origins[content.digest] = _read(home / ORIGIN)
    return origins


def keep(
    kept: Path, wanted: Iterable[Content], files: Iterable[Path], origins: Mapping[str, str]
) -> None:
    """Keep those files whose content the lock names; leave the others.

    Files of an earlier layout, which were kept by address, are removed.
    """
    _forget_addresses(kept)
    known = {(content.algorithm, content.digest): content for content in wanted}
    algorithms = {algorithm for algorithm, _ in known}
    for file in files:
        for algorithm in algorithms:
            digest = _digest(file, algorithm)
            content = known.get((algorithm, digest))
            name = "content" if content is not None and content.name else file.name
            if content is None or not _NAME.fullmatch(name):
                continue
            home = kept / algorithm / digest
            home.mkdir(parents=True, exist_ok=True)
            if not (home / name).exists():
                _copy(file, home / name, algorithm, digest)
            if digest in origins and not (home / ORIGIN).exists():
                (home / ORIGIN).write_text(origins[digest][:300], encoding="utf-8")


def trim(folder: Path, limit: int) -> Freed:
    """Remove the longest unused files until at most `limit` bytes are left."""
    files = sorted(_files(folder), key=lambda kept: (kept.used_at, str(kept.path)))
    total, freed = sum(kept.size for kept in files), Freed()
    for kept in files:
        if total <= limit:
            break
        _remove(kept.path, folder)
        total -= kept.size
        freed += Freed(files=1, bytes=kept.size)
        _remove(kept.path.parent / ORIGIN, folder)
    if freed.files:
        _remove_empty(folder)
    return freed


@dataclass(frozen=True, kw_only=True)
class _Kept:
    path: Path
    used_at: int  # nanoseconds
    size: int  # on disk


def _files(folder: Path) -> Iterator[_Kept]:
    """Give every kept file. Other files below the folder are not ours, and no link is followed."""
    for algorithm in filter(LENGTHS.__contains__, _names(folder, "")):
        for digest in _names(folder, algorithm):
            if not is_digest(algorithm, digest):
                continue
            for name in _names(folder, f"{algorithm}/{digest}"):
                file = folder / algorithm / digest / name
                info = file.lstat()
                if stat.S_ISREG(info.st_mode) and name != ORIGIN:
                    yield _Kept(path=file, used_at=info.st_mtime_ns, size=info.st_blocks * 512)


def _names(kept: Path, path: str) -> list[str]:
    return beneath.names(kept.parents[1], f"{kept.parent.name}/{kept.name}/{path}".rstrip("/"))


def _remove(file: Path, kept: Path) -> None:
    beneath.remove(kept.parents[1], file.relative_to(kept.parents[1]).as_posix())


def _copy(source: Path, target: Path, algorithm: str, digest: str) -> bool:
    """Copy a plain file; return whether it has this digest. Remove the copy if it has not."""
    part = target.with_name(f"{target.name}.part")
    found = hashlib.new(algorithm)
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    with open(descriptor, "rb") as file, part.open("wb") as copy:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            while data := file.read(CHUNK):
                found.update(data)
                copy.write(data)
    if found.hexdigest() != digest:
        part.unlink()
        return False
    part.chmod(0o644)  # as root, the cage's user is another one
    part.replace(target)
    return True


def _digest(file: Path, algorithm: str) -> str:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with open(descriptor, "rb") as opened:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return ""
        return hashlib.file_digest(opened, algorithm).hexdigest()


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")[:300]
    except OSError:
        return ""


def _forget_addresses(kept: Path) -> None:
    for name in _names(kept, ""):
        if name not in LENGTHS:
            _remove(kept / name, kept)


def _remove_empty(folder: Path) -> None:
    for visit in tree_walk.walk(folder):
        if visit.left is not None:
            try:
                os.rmdir(visit.left, dir_fd=visit.descriptor)
            except OSError:  # it is not empty
                continue
