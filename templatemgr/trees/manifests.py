"""Manifests: the exact content of a sealed tree, and how a tree differs from its manifest.

An entry has path, kind, normalised mode, size, and content hash or link target. Times, owners and
inode numbers are left out, so the digest depends only on what a program can see.
"""

import gzip
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

from templatemgr.trees import foreign, listing
from templatemgr.trees.hashing import UNREADABLE, Hasher, hash_all, look_at_all
from templatemgr.trees.listing import MAX_DEPTH, MAX_PATH_BYTES, Owners, Seen

FORMAT = 1
# What a tree can have is what a manifest may have: `scan` refuses more entries, too. A million
# entries take about 200 MB as text, a fifth of it packed, and 0.5 GB as values.
MAX_ENTRIES = 1_000_000
MAX_BYTES, MAX_PACKED_BYTES = 1 << 29, 1 << 27
MAX_ENTRY_BYTES = 1 << 16  # path and target have at most 4 KiB each, and an escaped byte takes six
FILE_MODE, PROGRAM_MODE, FOLDER_MODE = 0o444, 0o555, 0o555

DIGEST = re.compile("[0-9a-f]{64}")
# The text of a manifest as `dump` writes it, between and around its entries.
_HEAD, _OPEN, _CLOSE, _TAIL = b'{"entries":[', b'{"digest":"', b"}", b'],"format":1}'

Kind = Literal["file", "folder", "link"]
Inode = tuple[int, int]  # device, number
Reading = tuple[int, int, int]  # the same, with the time of the last change in nanoseconds


class ManifestError(Exception):
    """A tree has an entry that cannot be sealed, or a manifest cannot be read."""


@dataclass(frozen=True, kw_only=True, slots=True)
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
    """One difference of a tree, as a word of `PROBLEMS`. `detail` says why a read failed."""

    path: str
    problem: str
    inode: Inode | None = None  # the inode, which is wrong in every tree that links to it
    detail: str = ""


PROBLEMS = {
    "changed": "other bytes, or another kind of entry",
    "missing": "it is not there",
    "added": "it is not in the manifest",
    "mode": "another mode",
    "link": "a link that leads elsewhere",
    "owner": "it belongs to another user or group",
    "attributes": "extended attributes: capabilities, an access list, or others",
    "mounted": "something is mounted over it",
    "unreadable": "it could not be read",
}


def object_key(digest: str, *, executable: bool) -> str:
    """Return the name an object has in the store."""
    return f"{digest}.x" if executable else digest


def scan(root: Path) -> Manifest:
    """Read a tree and hash its files, on as many threads as there are cores.

    Modes are those that sealing will set. Raises ManifestError for a special file, for a link that
    is absolute or leaves the tree, for a path that is too deep, and for one that cannot be read.
    """
    walked = listing.walk(root)
    for path, why in walked.blind.items():
        message = f"{path} cannot be listed: {why}"
        raise ManifestError(message)
    if len(walked.found) > MAX_ENTRIES:
        message = f"The tree has more than {MAX_ENTRIES} files and folders."
        raise ManifestError(message)
    for path in walked.found:
        _check_place(path)
    files = [path for path, seen in walked.found.items() if seen.kind == "file"]
    digests = hash_all(root, files)
    entries = [_entry(path, seen, digests.get(path, "")) for path, seen in walked.found.items()]
    return Manifest(entries=tuple(sorted(entries, key=_order)))


def compare(
    manifest: Manifest,
    root: Path,
    hashed: dict[Reading, str] | None = None,
    hasher: Hasher = look_at_all,
    owners: Owners | None = None,
) -> list[Problem]:
    """Return every difference between a tree and its manifest, in the order of paths.

    `hashed` keeps inodes between calls, so that a file shared by versions is read once. A path that
    cannot be read is "unreadable", and nothing below it counts as present. Of the root only the
    kind is compared. Only files of the right size are hashed. Raises what the hasher raises.
    """
    allowed = owners or listing.owners()
    walked = listing.walk(root)
    if "." in walked.blind:
        return [_root_problem(root, walked.blind["."])]
    wanted = {entry.path: entry for entry in manifest.entries}
    # A file that does not belong, or has another size, is wrong whatever its bytes are.
    fitting = {path: seen for path, seen in walked.found.items() if _fits(wanted.get(path), seen)}
    known = _hash_inodes(root, fitting, {} if hashed is None else hashed, hasher)
    problems = [Problem(path=p, problem="unreadable", detail=d) for p, d in walked.blind.items()]
    for path, entry in wanted.items():
        seen = walked.found.get(path)
        if seen is None:
            if not _hidden(path, walked.blind):
                problems.append(Problem(path=path, problem="missing"))
        else:
            problems += _differences(root, entry, seen, known, allowed)
    problems += [Problem(path=p, problem="added") for p in walked.found if p not in wanted]
    return sorted(problems, key=lambda problem: os.fsencode(problem.path))


def dump(manifest: Manifest) -> bytes:
    """Return the manifest as gzip'd JSON, the same bytes for the same manifest."""
    body = {"format": FORMAT, "entries": [asdict(entry) for entry in manifest.entries]}
    return gzip.compress(_canonical(body), mtime=0)


def load(data: bytes, *, files: int | None = None) -> Manifest:
    """Read the output of `dump`. Raises only ManifestError, for any bytes.

    Stop at the first entry that `scan` cannot have written, and, if `files` is set, at the first
    file above this number: damaged bytes take little time and memory.
    """
    with foreign.reading("The manifest", ManifestError):
        parts = foreign.gunzip(data, most=MAX_BYTES)
        entries = (Entry(**json.loads(text)) for text in _texts(parts))
        return _checked(entries, MAX_ENTRIES if files is None else files)


def read(file: Path, *, files: int | None = None) -> Manifest:
    """Read the file of a manifest, which must be a regular file. Raises ManifestError only."""
    with foreign.reading("The manifest", ManifestError):
        return load(foreign.read_file(file, most=MAX_PACKED_BYTES), files=files)


def contents(root: Path) -> tuple[int, int]:
    """Return how many files `compare` would read in a tree, each inode once, and their bytes."""
    infos = [seen.info for seen in listing.walk(root).found.values() if seen.kind == "file"]
    sizes = {(info.st_dev, info.st_ino): info.st_size for info in infos}
    return len(sizes), sum(sizes.values())


def _texts(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the text of each entry, from the text of a manifest exactly as `dump` writes it.

    The separator cannot occur in an entry: JSON escapes a quote inside of a text.
    """
    rest, begun = b"", False
    for part in parts:
        rest += part
        if not begun and len(rest) >= len(_HEAD + _OPEN):
            if not rest.startswith(_HEAD + _OPEN):
                break
            rest, begun = rest[len(_HEAD + _OPEN) :], True
        *whole, rest = rest.split(_CLOSE + b"," + _OPEN)
        for text in whole:
            yield _OPEN + text + _CLOSE
        if len(rest) > MAX_ENTRY_BYTES:
            raise ManifestError("The manifest cannot be read: an entry is too long.")
    if not begun and rest == _HEAD + _TAIL:
        return
    if not begun or not rest.endswith(_CLOSE + _TAIL):
        message = f"The manifest cannot be read: it is not written in format {FORMAT}."
        raise ManifestError(message)
    yield _OPEN + rest.removesuffix(_TAIL)


def _checked(entries: Iterable[Entry], most_files: int) -> Manifest:
    """Accept only entries that `scan` can write: each path once, in order, inside the tree."""
    accepted: list[Entry] = []
    files = 0
    folders, before = {""}, b""
    for entry in entries:
        _check_entry(entry)
        accepted.append(entry)
        files += entry.kind == "file"
        if files > most_files or len(accepted) > MAX_ENTRIES:
            _refuse(entry.path, "is one entry more than the tree has")
        parent, _, name = entry.path.rpartition("/")
        inside = parent in folders and not entry.path.startswith("/")
        if name in ("", ".", "..") or not inside or listing.too_deep(entry.path):
            _refuse(entry.path, "is not a path in a tree")
        order = _order(entry)
        if order <= before:
            _refuse(entry.path, "is named twice, or out of order")
        before = order
        if entry.kind == "folder":
            folders.add(entry.path)
    return Manifest(entries=tuple(accepted))


def _check_entry(entry: Entry) -> None:
    texts = (entry.path, entry.kind, entry.digest, entry.target)
    if not all(type(text) is str for text in texts) or "\0" in entry.path + entry.target:
        _refuse(str(entry.path), "is not described by texts")
    if type(entry.mode) is not int or type(entry.size) is not int or not 0 <= entry.size < 1 << 62:
        _refuse(entry.path, "has an invalid mode or size")
    file, link = entry.kind == "file", entry.kind == "link"
    modes = {"file": (FILE_MODE, PROGRAM_MODE), "folder": (FOLDER_MODE,), "link": (0o777,)}
    if entry.mode not in modes.get(entry.kind, ()):
        _refuse(entry.path, "has a mode that is never sealed")
    if bool(DIGEST.fullmatch(entry.digest)) is not file or (entry.digest and not file):
        _refuse(entry.path, "has a digest that does not fit")
    if (entry.size and not file) or bool(entry.target) is not link:
        _refuse(entry.path, "has a size or target that does not fit")
    if link and _leaves(entry.path, entry.target):
        _refuse(entry.path, "is a link that leaves the tree")


def _refuse(path: str, reason: str) -> NoReturn:
    message = f"The manifest cannot be read: {path[:200]!r} {reason}."
    raise ManifestError(message)


def _check_place(path: str) -> None:
    if listing.too_deep(path):
        message = (
            f"{path[:100]}… lies too deep: a tree has at most {MAX_DEPTH} levels of folders, and "
            f"paths of {MAX_PATH_BYTES} bytes. See which package makes it."
        )
        raise ManifestError(message)


def _entry(path: str, seen: Seen, digest: str) -> Entry:
    if seen.trouble:
        message = f"{path} cannot be read: {seen.trouble}"
        raise ManifestError(message)
    if seen.kind == "file":
        mode = PROGRAM_MODE if seen.info.st_mode & 0o100 else FILE_MODE
        return Entry(path=path, kind="file", mode=mode, size=seen.info.st_size, digest=digest)
    if seen.kind == "folder":
        return Entry(path=path, kind="folder", mode=FOLDER_MODE)
    if seen.kind != "link":
        message = f"{path} is neither a file, a folder nor a link."
        raise ManifestError(message)
    if _leaves(path, seen.target):
        message = f"{path} is a link that leaves the tree: {seen.target}"
        raise ManifestError(message)
    return Entry(path=path, kind="link", mode=0o777, target=seen.target)


def _leaves(path: str, target: str) -> bool:
    # Resolved by name alone: the target need not exist, but it must not lead out of the tree.
    landing = os.path.normpath(os.path.join(os.path.dirname(path), target))  # noqa: PTH118, PTH120
    return target.startswith("/") or landing == ".." or landing.startswith("../")


def _order(entry: Entry) -> bytes:
    return os.fsencode(entry.path)


def _root_problem(root: Path, why: str) -> Problem:
    seen = listing.look(root)
    if seen is None:
        return Problem(path=".", problem="missing")
    if not seen.trouble and seen.kind != "folder":
        return Problem(path=".", problem="changed", detail=why)
    return Problem(path=".", problem="unreadable", detail=why)


def _hidden(path: str, blind: Mapping[str, str]) -> bool:
    """Return whether a path is in a folder that could not be listed and is already reported."""
    parts = path.split("/")
    return any("/".join(parts[:count]) in blind for count in range(1, len(parts)))


def _reading(info: os.stat_result) -> Reading:
    # With the time, because an inode number is reused and a written file counts as another.
    return info.st_dev, info.st_ino, info.st_ctime_ns


def _fits(entry: Entry | None, seen: Seen) -> bool:
    return entry is not None and entry.kind == "file" and seen.info.st_size == entry.size


def _hash_inodes(
    root: Path, present: Mapping[str, Seen], known: dict[Reading, str], hasher: Hasher
) -> Mapping[Reading, str]:
    """Return the digests of these files, and keep digests that were read in `known`."""
    unread: dict[Reading, str] = {}
    for path, seen in present.items():
        if seen.kind == "file" and _reading(seen.info) not in known:
            unread.setdefault(_reading(seen.info), path)
    digests = hasher(root, list(unread.values())) if unread else {}
    fresh = {reading: digests.get(path, UNREADABLE) for reading, path in unread.items()}
    # A file that could not be read is read again the next time.
    known.update({reading: found for reading, found in fresh.items() if found != UNREADABLE})
    return {**known, **fresh}


def _differences(
    root: Path, entry: Entry, seen: Seen, known: Mapping[Reading, str], owners: Owners
) -> Iterable[Problem]:
    info = seen.info
    inode = (info.st_dev, info.st_ino) if entry.kind == "file" else None
    if seen.trouble:
        yield Problem(path=entry.path, problem="unreadable", detail=seen.trouble)
    elif seen.kind != entry.kind:
        yield Problem(path=entry.path, problem="changed")
        return
    elif entry.kind == "link" and seen.target != entry.target:
        yield Problem(path=entry.path, problem="link")
    elif entry.kind == "file" and not _fits(entry, seen):
        yield Problem(path=entry.path, problem="changed", inode=inode)
    elif entry.kind == "file" and known[_reading(info)] == UNREADABLE:
        detail = _why_unreadable(root / entry.path)
        yield Problem(path=entry.path, problem="unreadable", inode=inode, detail=detail)
    elif entry.kind == "file" and known[_reading(info)] != entry.digest:
        yield Problem(path=entry.path, problem="changed", inode=inode)
    if entry.kind != "link" and stat.S_IMODE(info.st_mode) != entry.mode:
        yield Problem(path=entry.path, problem="mode", inode=inode)
    if not owners.include(info):
        yield Problem(path=entry.path, problem="owner", inode=inode)
    if seen.attributes:
        names = ", ".join(seen.attributes)
        yield Problem(path=entry.path, problem="attributes", inode=inode, detail=names)


def _why_unreadable(file: Path) -> str:
    try:
        with os.fdopen(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as opened:
            while opened.read(1 << 20):
                pass
    except OSError as error:
        return foreign.reason(error)
    return "it could not be read just now"


def _canonical(value: Any) -> bytes:
    # ASCII only: a name that is no UTF-8 travels as a lone surrogate, escaped.
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
