"""List a folder: every path with its facts, read by name and without following a link.

Nothing here raises for errors of a damaged disk: a path that could not be read is listed with the
reason, because a part that was not seen must not count as seen.
"""

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from templatemgr.trees import foreign

# No package needs more, and every path stays far below the kernel's limit (4,096 bytes).
MAX_DEPTH, MAX_PATH_BYTES = 128, 2048
# Labels that a system puts on every file by itself. All others were set on purpose.
IGNORED_ATTRIBUTES = frozenset({
    "security.selinux", "security.ima", "security.evm", "security.SMACK64", "security.apparmor",
    "system.nfs4_acl", "btrfs.compression", "system.ntfs_acl", "system.cifs_acl",
})  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Owners:
    """Who may own served files: users and groups by number."""

    users: frozenset[int]
    groups: frozenset[int]

    def include(self, info: os.stat_result) -> bool:
        """Return whether an entry belongs to one of these owners."""
        return info.st_uid in self.users and info.st_gid in self.groups


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One path as it is on disk. `attributes` are unexpected extended attributes, sorted."""

    info: os.stat_result
    target: str = ""  # of a link
    attributes: tuple[str, ...] = ()
    trouble: str = ""  # why it could not be read completely

    @property
    def kind(self) -> str:
        """Return "file", "folder", "link" or "special"."""
        return kind(self.info)


@dataclass(frozen=True, kw_only=True)
class Walk:
    """A folder's contents by relative path; `blind` are folders that could not be listed."""

    found: Mapping[str, Seen]
    blind: Mapping[str, str] = field(default_factory=dict)  # path ("." for the root) → why


def owners(*places: Path) -> Owners:
    """Return who may own entries: root, this process, and the owners of these places."""
    users, groups = {0, os.geteuid()}, {0, os.getegid()}
    for place in places:
        try:
            info = place.stat()
        except OSError:
            continue
        users.add(info.st_uid)
        groups.add(info.st_gid)
    return Owners(users=frozenset(users), groups=frozenset(groups))


def kind(info: os.stat_result) -> str:
    """Return "file", "folder", "link" or "special"."""
    if stat.S_ISREG(info.st_mode):
        return "file"
    if stat.S_ISDIR(info.st_mode):
        return "folder"
    return "link" if stat.S_ISLNK(info.st_mode) else "special"


def too_deep(path: str) -> bool:
    """Return whether a relative path is deeper or longer than the limit of sealed paths."""
    return path.count("/") >= MAX_DEPTH or len(os.fsencode(path)) > MAX_PATH_BYTES


def walk(root: Path) -> Walk:
    """List every path below root. A folder that is too deep is listed, but not entered.

    A root that is no folder, or is a link, is `blind` as a whole.
    """
    found: dict[str, Seen] = {}
    blind: dict[str, str] = {}
    pending = [""]
    while pending:
        folder = pending.pop()
        try:
            for path, seen in _list(root, folder):
                found[path] = seen
                if seen.kind == "folder" and not too_deep(path):
                    pending.append(path)
        except Exception as error:  # noqa: BLE001 - after any error the folder is not listed
            blind[folder or "."] = foreign.reason(error)
    return Walk(found=found, blind=blind)


def look(place: Path) -> Seen | None:
    """Return one path as it is on disk, or None if it is missing. Raises no OSError."""
    try:
        info = place.lstat()
    except FileNotFoundError:
        return None
    except OSError as error:
        return Seen(info=os.stat_result([0] * 10), trouble=foreign.reason(error))
    return _seen(str(place), info)


def mounts_below(place: Path) -> list[str]:
    """Return the mounts at a place or below it, by full path (mountinfo's fifth field)."""
    home = os.fsencode(os.path.realpath(place))
    try:
        lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    except OSError:
        return []
    points = (_unescaped(line.split(b" ")[4]) for line in lines)
    return sorted(
        os.fsdecode(point) for point in points if point == home or point.startswith(home + b"/")
    )


def mounts_at(place: Path) -> bool:
    """Return whether something is mounted at a place itself."""
    home = os.path.join(os.path.realpath(place.parent), place.name)  # noqa: PTH118 - as realpath
    return home in mounts_below(place)


def fingerprint(home: Path, names: Iterable[str]) -> str:
    """Return a hex SHA-256 over kind, size, times, inode, mode and owner of every path.

    Links count with their target, folders without a size. The time of the last inode change is left
    out, because a new hard link to the file moves it. Return "" if a path could not be read.
    """
    total = sha256(b"stencil-record-1\n")
    for name in sorted(names):
        top = look(home / name)
        if top is None or top.trouble:
            return ""
        found = {name: top}
        if top.kind == "folder":
            walked = walk(home / name)
            if walked.blind:
                return ""
            found |= {f"{name}/{path}": seen for path, seen in walked.found.items()}
        for path in sorted(found, key=os.fsencode):
            total.update(os.fsencode(path) + b"\0" + _facts(found[path]) + b"\n")
    return total.hexdigest()


def _facts(seen: Seen) -> bytes:
    info = seen.info
    size = 0 if seen.kind == "folder" else info.st_size
    numbers = (info.st_mode, info.st_uid, info.st_gid, info.st_ino, size, info.st_mtime_ns)
    words = f"{numbers} {seen.attributes} {seen.trouble}"
    return words.encode("utf-8", "surrogateescape") + os.fsencode(seen.target)


def _list(root: Path, folder: str) -> Iterable[tuple[str, Seen]]:
    place = root / folder
    if kind(place.lstat()) != "folder":  # the root; other folders are known to be folders
        message = f"it is a {kind(place.lstat())}, not a folder"
        raise NotADirectoryError(message)
    with os.scandir(place) as entries:
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            yield path, _seen(entry.path, entry.stat(follow_symlinks=False))


def _seen(place: str, info: os.stat_result) -> Seen:
    try:
        target = os.readlink(place) if stat.S_ISLNK(info.st_mode) else ""  # noqa: PTH115 - many
        return Seen(info=info, target=target, attributes=attributes(place))
    except OSError as error:
        return Seen(info=info, trouble=foreign.reason(error))


def attributes(place: str | int) -> tuple[str, ...]:
    """Return the names of unexpected extended attributes: capabilities, ACLs, user attributes."""
    try:
        if isinstance(place, int):
            names = os.listxattr(place)
        else:
            names = os.listxattr(place, follow_symlinks=False)
    except OSError:  # a filesystem without them; a vanished file is reported elsewhere
        return ()
    kept = (name for name in names if name not in IGNORED_ATTRIBUTES)
    return tuple(sorted(name for name in kept if not name.startswith("trusted.overlay.")))


def _unescaped(path: bytes) -> bytes:
    for code in (b"\\040", b"\\011", b"\\012"):
        path = path.replace(code, bytes([int(code[1:], 8)]))
    return path.replace(b"\\134", b"\\")
