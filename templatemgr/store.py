"""The store on disk: locks, sealed files by content, and folders published by rename.

Locks: sealing holds the store's lock shared; publishing and collection hold it exclusively. No code
asks for one mode while it holds the other, and no code holds the lock across npm or a sandbox, so
two builds cannot deadlock. Between sealing and publishing a build holds no lock: its objects are
safe, because the collector only deletes objects that no tree links to.
"""

import errno
import fcntl
import logging
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sandbox import tree_walk
from templatemgr.trees import beneath, hashing, listing, manifests, places
from templatemgr.trees.manifests import Entry, Manifest

logger = logging.getLogger(__name__)
# Names in the store: folders, objects, and files that a killed process left while it made one.
_SHARD, _OBJECT = re.compile("[0-9a-f]{2}"), re.compile(r"[0-9a-f]{64}(\.x)?")
_LEFTOVER = re.compile(r"\.(link|new)-[0-9a-f]{12}")
_NO_LINKS = (errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP, errno.EXDEV, errno.ENOSYS)
ASIDE = "aside"  # below the data directory: unexpected entries, kept for an admin


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """The result of sealing: the manifest, the bytes new to the store, and the files copied."""

    manifest: Manifest
    own_bytes: int
    copied: int  # files that could not be hard-linked: 0 on an ordinary filesystem


@dataclass(frozen=True, kw_only=True)
class Stored:
    """One file of a sealed tree: whether its content was new, and whether it could be linked."""

    new: bool
    linked: bool


@dataclass(frozen=True, kw_only=True)
class Freed:
    """What was freed on the disk: objects (or other files without a second name), and bytes."""

    files: int = 0
    bytes: int = 0

    def __add__(self, other: "Freed") -> "Freed":
        return Freed(files=self.files + other.files, bytes=self.bytes + other.bytes)


@contextmanager
def locked(path: Path, *, shared: bool = False, aside: Path | None = None) -> Iterator[None]:
    """Hold a file lock. The kernel releases it when the process dies.

    Whatever lies there and is no file is moved to `aside` first. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = places.open_lock(path, aside or path.parent / ASIDE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
            if not _lies_at(path, descriptor):  # it was moved aside while we waited for it
                continue
            yield
            return
        finally:
            os.close(descriptor)


def _lies_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


# Decision 0005: equal files are one inode, in the store and in every version.
def seal(tree: Path, objects: Path) -> Sealed:
    """Hash a tree, and replace each file by a link to the object with the same content.

    Files get their final modes here. Folders stay writable until `close`, since a read-only
    folder cannot be renamed to another parent. Raises ManifestError.
    """
    manifest = manifests.scan(tree)
    firsts: dict[str, Entry] = {}
    for entry in manifest.files:
        firsts.setdefault(entry.key, entry)
    with ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
        # Store each content once first, so that no two threads make the same object.
        first = list(pool.map(lambda entry: _store(tree, objects, entry), firsts.values()))
        others = [entry for entry in manifest.files if firsts[entry.key] is not entry]
        rest = list(pool.map(lambda entry: _store(tree, objects, entry, trusted=True), others))
    sizes = zip(firsts.values(), first, strict=True)
    return Sealed(
        manifest=manifest,
        own_bytes=sum(entry.size for entry, stored in sizes if stored.new),
        copied=sum(1 for stored in (*first, *rest) if not stored.linked),
    )


def object_path(objects: Path, entry: Entry) -> Path:
    """Return where the store keeps the content of a file."""
    return objects / entry.key[:2] / entry.key


def close(folder: Path) -> None:
    """Remove the write bits from a folder and everything in it. Links are not followed."""
    for path, folders, files in os.walk(folder, topdown=False):
        for name in files:
            file = Path(path, name)
            mode = file.lstat().st_mode
            if stat.S_ISREG(mode) and mode & 0o222:
                file.chmod(manifests.PROGRAM_MODE if mode & 0o100 else manifests.FILE_MODE)
        for name in folders:
            inner = Path(path, name)
            if not inner.is_symlink():
                inner.chmod(manifests.FOLDER_MODE)
    folder.chmod(manifests.FOLDER_MODE)


def remove(folder: Path) -> None:
    """Delete a folder of any depth and mode, a file or a link; do nothing if it is missing.

    Change the modes of folders only: files are shared with other trees. Raises OSError.
    """
    try:
        parent = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        beneath.delete(parent, folder.name)
    finally:
        os.close(parent)


def publish(staged: Path, final: Path) -> None:
    """Move a finished folder to its place by rename, and only then close it.

    The caller holds the store's lock exclusively.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    staged.rename(final)
    close(final)
    _sync(final.parent)


def can_link(folder: Path) -> bool:
    """Return whether hard links can be made in a folder, by trying it.

    A full disk, for instance, does not answer the question: then assume that they can.
    """
    mark = folder / f".link-{secrets.token_hex(6)}"
    other = mark.with_name(f"{mark.name}-2")
    try:
        mark.touch(0o600)
        os.link(mark, other)
    except OSError as error:
        return error.errno not in _NO_LINKS
    finally:
        for path in (mark, other):
            with suppress(OSError):
                path.unlink(missing_ok=True)
    return True


def set_aside(path: Path, aside: Path) -> Path:
    """Move an unexpected file or folder to `aside`, for an admin. Raises OSError."""
    return places.move_aside(path, aside)


def collect(objects: Path, needed: Callable[[], Set[str]]) -> Freed:
    """Delete every object that no tree links to. The caller holds the store's lock exclusively.

    `needed` returns the names of objects that must stay, because a tree that lost its link is
    healed from them. It is called only when there is something to delete. An entry that is not
    named like an object stays, and no link is followed.
    """
    lonely = [
        (shard, name)
        for shard in beneath.names(objects.parent, objects.name)
        if _SHARD.fullmatch(shard)
        for name in _lonely(objects, shard)
    ]
    kept = needed() if lonely else frozenset()
    freed = Freed()
    for shard, name in lonely:
        if name not in kept:
            freed += _collected(objects, shard, name)
    return freed


def _lonely(objects: Path, shard: str) -> list[str]:
    """Return the objects of one folder, and leftovers of ours, that have no second name."""
    try:
        with beneath.opened(objects.parent, f"{objects.name}/{shard}") as folder:
            with os.scandir(folder) as entries:
                found = [entry.name for entry in entries if _is_lonely(shard, entry)]
            return sorted(found)
    except OSError as error:
        logger.warning("%s/%s cannot be looked at: %s", objects, shard, error)
        return []


def _is_lonely(shard: str, entry: "os.DirEntry[str]") -> bool:
    is_object = entry.name.startswith(shard) and _OBJECT.fullmatch(entry.name)
    if not is_object and not _LEFTOVER.fullmatch(entry.name):
        return False
    try:
        info = entry.stat(follow_symlinks=False)
    except OSError:  # it vanished
        return False
    return stat.S_ISREG(info.st_mode) and info.st_nlink == 1


def _collected(objects: Path, shard: str, name: str) -> Freed:
    try:
        with beneath.opened(objects.parent, f"{objects.name}/{shard}") as folder:
            size = os.stat(name, dir_fd=folder, follow_symlinks=False).st_size
            beneath.delete(folder, name)
    except OSError as error:
        logger.warning("%s/%s/%s cannot be removed: %s", objects, shard, name, error)
        return Freed()
    return Freed(files=1, bytes=size)


def unshared(folder: Path) -> Freed:
    """Return the space that deleting a folder frees: its files without a second name."""
    freed = Freed()
    if not folder.is_dir():
        return freed
    for visit in tree_walk.walk(folder):
        for name in visit.others:
            info = os.stat(name, dir_fd=visit.descriptor, follow_symlinks=False)
            if stat.S_ISREG(info.st_mode) and info.st_nlink == 1:
                freed += Freed(files=1, bytes=info.st_size)
    return freed


def sole(folders: Iterable[Path]) -> Freed:
    """Return the space that deleting folders, then collecting objects, frees: unshared files."""
    links: dict[tuple[int, int], int] = {}
    sizes: dict[tuple[int, int], tuple[int, int]] = {}
    for folder in folders:
        for path, _folders, files in os.walk(folder):
            for name in files:
                info = Path(path, name).lstat()
                if stat.S_ISREG(info.st_mode):
                    inode = info.st_dev, info.st_ino
                    links[inode] = links.get(inode, 0) + 1
                    sizes[inode] = info.st_nlink, info.st_size
    # The object itself is one name more than the names in the folders.
    alone = [sizes[inode][1] for inode, count in links.items() if sizes[inode][0] <= count + 1]
    return Freed(files=len(alone), bytes=sum(alone))


def take_away(folder: Path, trash: Path) -> None:
    """Rename a folder out of a closed parent, so that it leaves its place in one step."""
    parent = folder.parent
    parent.chmod(0o755)
    try:
        if folder.is_dir() and not folder.is_symlink():
            folder.chmod(0o755)  # a read-only folder cannot be renamed to another parent
        folder.rename(trash)
    finally:
        parent.chmod(manifests.FOLDER_MODE)


def copy_files(source: Path, target: Path, paths: list[str]) -> None:
    """Copy files by relative path into a new folder, bytes and the executable bit only."""
    copy({path: source / path for path in paths}, target)


def copy(files: Mapping[str, Path], target: Path) -> None:
    """Copy files from anywhere into a folder: `files` maps the relative path to the file."""
    for path, file in files.items():
        place = target / path
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, place)
        place.chmod(0o755 if file.stat().st_mode & 0o100 else 0o644)


def _store(tree: Path, objects: Path, entry: Entry, *, trusted: bool = False) -> Stored:
    """Put one file into the store, or the store's file into the tree.

    An existing object is hashed again before it is used. A wrong object is replaced by a new inode;
    verification finds the trees that still link to the old one.
    """
    file, stored = tree / entry.path, object_path(objects, entry)
    file.chmod(entry.mode)
    for name in listing.attributes(str(file)):  # a default access list of the folder, for instance
        os.removexattr(file, name, follow_symlinks=False)
    if trusted or _sound(stored, entry):
        return Stored(new=False, linked=_link(stored, file))
    make_room(stored)
    return Stored(new=True, linked=_link(file, stored))


def make_room(stored: Path) -> None:
    """Make sure that an object can be put in its place: create its folder, clear the place.

    Move entries that are in the way aside, beside the store. Raises OSError.
    """
    objects = stored.parents[1]
    for folder in (objects, stored.parent):
        places.folder(folder, objects.parent / ASIDE)
    if stored.is_dir() and not stored.is_symlink():
        set_aside(stored, objects.parent / ASIDE)


def _sound(stored: Path, entry: Entry) -> bool:
    try:
        info = stored.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    if not stat.S_ISREG(info.st_mode) or info.st_size != entry.size:
        return False
    if hashing.hash_file(stored) != entry.digest:
        return False
    # Do not repair it here: the change would reach every tree that links to it.
    if stat.S_IMODE(info.st_mode) != entry.mode or listing.attributes(str(stored)):
        return False
    return listing.owners(stored.parents[2]).include(info)


def _link(source: Path, target: Path) -> bool:
    """Make target the same inode as source, by link and rename. Return False if it stays a copy."""
    temporary = target.parent / f".link-{secrets.token_hex(6)}"
    try:
        os.link(source, temporary, follow_symlinks=False)
    except FileNotFoundError:
        return False  # the object was never stored because no link could be made (see below)
    except OSError as error:
        if error.errno not in (errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP, errno.EXDEV):
            raise
        return False  # too many links, or a filesystem without: the file stays a copy
    temporary.replace(target)
    # Renaming one link over another of the same inode does nothing, and leaves both.
    temporary.unlink(missing_ok=True)
    return True


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
