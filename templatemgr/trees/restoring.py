"""Restore a tree to its manifest: a pass from the top down, one entry at a time.

Every step uses descriptors of folders that were opened without following a link, so nothing outside
of the tree can be reached. An entry is checked just before it is replaced. Neither the bytes nor
the mode of a file are changed in place: the file gets a new inode by rename, because the old inode
may have other names. An entry that cannot be repaired is reported and skipped.
"""

import array
import fcntl
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from sandbox import tree_walk
from templatemgr.trees import foreign, listing, manifests
from templatemgr.trees.listing import Owners
from templatemgr.trees.manifests import Entry, Manifest

Supply = Callable[[Entry], Path | None]  # a file with the checked content of the entry, or None

_FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
# linux/fs.h: flags of an inode, and those that forbid a change.
_GET_FLAGS, _SET_FLAGS, _FIXED = 0x80086601, 0x40086602, 0x10 | 0x20


@dataclass(kw_only=True)
class Pass:
    """The result of one pass: the number of steps, and the paths that failed with reasons."""

    steps: int = 0
    blocked: dict[str, str] = field(default_factory=dict)


@dataclass(kw_only=True)
class _Node:
    """An entry, with its children if it is a folder."""

    entry: Entry
    inner: "dict[str, _Node]" = field(default_factory=dict)


@dataclass(kw_only=True)
class _Folder:
    """An open folder: `descriptor` is valid until the pass leaves the folder."""

    descriptor: int
    path: str
    mount: str


@dataclass(kw_only=True)
class _Run:
    supply: Supply
    owners: Owners
    suspects: Collection[str] | None
    done: Pass = field(default_factory=Pass)


def restore(
    place: Path,
    manifest: Manifest,
    supply: Supply,
    owners: Owners,
    suspects: Collection[str] | None = None,
) -> Pass:
    """Make one pass over the tree at `place`, which may be missing or an entry of any kind.

    The bytes of files that are not in `suspects` are not read again; None means that all files are
    suspects. Raises OSError if the folder that holds the tree cannot be opened.
    """
    run = _Run(supply=supply, owners=owners, suspects=suspects)
    top = _Node(entry=Entry(path="", kind="folder", mode=manifests.FOLDER_MODE))
    nodes = {"": top}
    for entry in manifest.entries:
        node = nodes[entry.path] = _Node(entry=entry)
        parent, _, name = entry.path.rpartition("/")
        nodes[parent].inner[name] = node
    descriptor = os.open(place.parent, os.O_RDONLY | _FOLDER)
    try:
        outer = _Folder(descriptor=descriptor, path="", mount=tree_walk.mount_of(descriptor))
        before = stat.S_IMODE(os.fstat(descriptor).st_mode)
        _attempt(run, ".", lambda: _put(run, outer, place.name, top))
        if stat.S_IMODE(os.fstat(descriptor).st_mode) != before:
            with suppress(OSError):
                os.fchmod(descriptor, before)
    finally:
        os.close(descriptor)
    return run.done


def sound(descriptor: int, entry: Entry, owners: Owners) -> bool:
    """Return whether an open file equals an entry: bytes, mode, owner, no attributes."""
    return fit(descriptor, entry, owners) and same_bytes(descriptor, entry)


def fit(descriptor: int, entry: Entry, owners: Owners) -> bool:
    """Return whether the inode of an open file is right, apart from its bytes."""
    info = os.fstat(descriptor)
    if not stat.S_ISREG(info.st_mode) or stat.S_IMODE(info.st_mode) != entry.mode:
        return False
    return owners.include(info) and not listing.attributes(descriptor)


def same_bytes(descriptor: int, entry: Entry) -> bool:
    """Return whether an open file has the bytes of an entry."""
    info = os.fstat(descriptor)
    if not stat.S_ISREG(info.st_mode) or info.st_size != entry.size:
        return False
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest() == entry.digest


def open_beneath(root: Path, path: str, *, force: bool = False) -> int:
    """Open a file of a tree for reading; no component is a link. Raises OSError.

    With `force`, also open a file of this user whose mode forbids reading. The mode is restored.
    """
    *folders, name = path.split("/")
    here = os.open(root, os.O_RDONLY | _FOLDER)
    try:
        for folder in folders:
            there = os.open(folder, os.O_RDONLY | _FOLDER, dir_fd=here)
            os.close(here)
            here = there
        try:
            return os.open(name, _FILE, dir_fd=here)
        except PermissionError:
            if not force:
                raise
            return _open_closed(name, here)
    finally:
        os.close(here)


def _open_closed(name: str, folder: int) -> int:
    """Open a file that this user owns but may not read, by a descriptor that identifies it."""
    seen = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        info, here = os.fstat(seen), Path(f"/proc/self/fd/{seen}")
        if not stat.S_ISREG(info.st_mode):
            message = "it is not a regular file"
            raise OSError(message)
        here.chmod(stat.S_IMODE(info.st_mode) | 0o400)
        try:
            return os.open(here, os.O_RDONLY | os.O_CLOEXEC)
        finally:
            here.chmod(stat.S_IMODE(info.st_mode))
    finally:
        os.close(seen)


def unfix(name: str | Path, folder: int | None = None) -> None:
    """Clear the flags that forbid a change (`chattr +i`), if this process may."""
    with suppress(OSError):
        descriptor = os.open(name, _FILE, dir_fd=folder)
        try:
            flags = array.array("l", [0])
            fcntl.ioctl(descriptor, _GET_FLAGS, flags)
            if flags[0] & _FIXED:
                flags[0] &= ~_FIXED
                fcntl.ioctl(descriptor, _SET_FLAGS, flags)
        finally:
            os.close(descriptor)


def _attempt(run: _Run, path: str, step: Callable[[], object]) -> None:
    try:
        step()
    except Exception as error:  # noqa: BLE001 - one entry's trouble is its own
        run.done.blocked.setdefault(path, foreign.reason(error))


def _change(folder: _Folder, name: str, act: Callable[[], None]) -> None:
    """Change an entry of a folder; if it is refused, try again with the folder made writable."""
    try:
        act()
    except PermissionError:
        unfix(".", folder.descriptor)
        unfix(name, folder.descriptor)
        os.fchmod(folder.descriptor, 0o755)  # a folder has no second name
        act()


def _put(run: _Run, folder: _Folder, name: str, node: _Node) -> None:
    """Repair one entry and everything in it."""
    entry, seen = node.entry, _look(folder, name)
    if entry.kind == "folder":
        if seen is None or not stat.S_ISDIR(seen.st_mode):
            _remove(folder, name, seen)
            _change(folder, name, lambda: os.mkdir(name, 0o755, dir_fd=folder.descriptor))
            run.done.steps += 1
        _enter(run, folder, name, node)
    elif entry.kind == "link":
        if not _is_link(run, folder, name, entry, seen):
            _remove(folder, name, seen)
            _change(folder, name, lambda: os.symlink(entry.target, name, dir_fd=folder.descriptor))
            run.done.steps += 1
    elif not _is_file(run, folder, name, entry):
        _put_file(run, folder, name, entry)
        run.done.steps += 1


def _enter(run: _Run, outer: _Folder, name: str, node: _Node) -> None:
    """Enter a folder, remove foreign entries, repair the others, and set its mode."""
    with _opened(outer, name, node.entry.path) as folder:
        _own(run, folder)
        for found in os.listdir(folder.descriptor):  # noqa: PTH208 - by descriptor
            if found not in node.inner:
                path = f"{node.entry.path}/{found}".lstrip("/")
                _attempt(run, path, lambda found=found: _discard(run, folder, found))  # type: ignore[misc]
        for inner, child in node.inner.items():
            _attempt(
                run,
                child.entry.path,
                lambda inner=inner, child=child: _put(run, folder, inner, child),  # type: ignore[misc]
            )
        mode = stat.S_IMODE(os.fstat(folder.descriptor).st_mode)
        if mode != node.entry.mode:
            _close(folder, node.entry.mode)
            run.done.steps += 1


def _own(run: _Run, folder: _Folder) -> None:
    info = os.fstat(folder.descriptor)
    if not run.owners.include(info):
        os.fchown(folder.descriptor, os.geteuid(), os.getegid())
        run.done.steps += 1
    for name in listing.attributes(folder.descriptor):
        os.removexattr(folder.descriptor, name)
        run.done.steps += 1


def _close(folder: _Folder, mode: int) -> None:
    try:
        os.fchmod(folder.descriptor, mode)
    except PermissionError:
        unfix(".", folder.descriptor)
        os.fchmod(folder.descriptor, mode)


def _discard(run: _Run, folder: _Folder, name: str) -> None:
    _remove(folder, name, _look(folder, name))
    run.done.steps += 1


def _remove(folder: _Folder, name: str, seen: os.stat_result | None) -> None:
    """Remove an entry of any kind. Follow no link and enter no other mount."""
    if seen is None:
        return
    if not stat.S_ISDIR(seen.st_mode):
        _change(folder, name, lambda: os.unlink(name, dir_fd=folder.descriptor))
        return
    with _opened(folder, name, name):  # made accessible, and proven to be of this mount
        pass

    def clear() -> None:
        tree_walk.clear(Path(f"/proc/self/fd/{folder.descriptor}", name), on_refusal=unfix)
        os.rmdir(name, dir_fd=folder.descriptor)

    _change(folder, name, clear)


def _put_file(run: _Run, folder: _Folder, name: str, entry: Entry) -> None:
    stored = run.supply(entry)
    if stored is None:
        message = "no copy of its content exists"
        raise FileNotFoundError(message)
    seen = _look(folder, name)
    if seen is not None and stat.S_ISDIR(seen.st_mode):
        _remove(folder, name, seen)
    temporary = f".new-{secrets.token_hex(6)}"
    here = folder.descriptor
    try:
        _change(folder, temporary, lambda: _bring(stored, here, temporary, entry))
        _change(folder, name, lambda: os.rename(temporary, name, src_dir_fd=here, dst_dir_fd=here))
    finally:
        with suppress(FileNotFoundError):  # a rename onto the same inode leaves both names
            os.unlink(temporary, dir_fd=here)


def _bring(stored: Path, folder: int, name: str, entry: Entry) -> None:
    """Link a stored file into a folder, or copy it if a link is not possible."""
    try:
        os.link(stored, name, dst_dir_fd=folder, follow_symlinks=False)
    except (FileNotFoundError, FileExistsError):
        raise
    except OSError:  # too many names already, or a filesystem without
        reading = os.open(stored, _FILE)
        try:
            _copy(reading, folder, name, entry)
        finally:
            os.close(reading)


def share_or_copy(source: int, folder: int, name: str, entry: Entry, owners: Owners) -> None:
    """Put an open file's content into a folder, as the same inode if it is fit to be shared.

    Raises OSError, also if the bytes are not those of the entry.
    """
    if fit(source, entry, owners):
        try:
            os.link(f"/proc/self/fd/{source}", name, dst_dir_fd=folder, follow_symlinks=True)
        except OSError:  # no link can be made here
            pass
        else:
            return
    _copy(source, folder, name, entry)


def _copy(reading: int, folder: int, name: str, entry: Entry) -> None:
    """Write an open file's bytes into a new inode with the entry's mode, and check them."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    writing = os.open(name, flags, 0o600, dir_fd=folder)
    try:
        os.lseek(reading, 0, os.SEEK_SET)
        while chunk := os.read(reading, 1 << 20):
            while chunk:
                chunk = chunk[os.write(writing, chunk) :]
        for attribute in listing.attributes(writing):
            os.removexattr(writing, attribute)
        os.fchmod(writing, entry.mode)
        if not same_bytes(writing, entry):
            message = "it changed while it was copied"
            raise OSError(message)
    except BaseException:
        os.unlink(name, dir_fd=folder)
        raise
    finally:
        os.close(writing)


def _is_file(run: _Run, folder: _Folder, name: str, entry: Entry) -> bool:
    try:
        descriptor = os.open(name, _FILE, dir_fd=folder.descriptor)
    except OSError:
        return False
    try:
        if run.suspects is not None and entry.path not in run.suspects:
            return fit(descriptor, entry, run.owners)
        return sound(descriptor, entry, run.owners)
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _is_link(
    run: _Run, folder: _Folder, name: str, entry: Entry, seen: os.stat_result | None
) -> bool:
    if seen is None or not stat.S_ISLNK(seen.st_mode) or not run.owners.include(seen):
        return False
    return os.readlink(name, dir_fd=folder.descriptor) == entry.target


def _look(folder: _Folder, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder.descriptor, follow_symlinks=False)
    except FileNotFoundError:
        return None


@contextmanager
def _opened(outer: _Folder, name: str, path: str) -> Iterator[_Folder]:
    """Open a folder to list and change it. Raises OSError if something is mounted there."""
    seen = os.open(name, os.O_PATH | _FOLDER, dir_fd=outer.descriptor)
    try:
        if tree_walk.mount_of(seen) != outer.mount:
            message = "something is mounted over it"
            raise OSError(message)
        if stat.S_IMODE(os.fstat(seen).st_mode) & 0o500 != 0o500:
            Path(f"/proc/self/fd/{seen}").chmod(0o755)
    finally:
        os.close(seen)
    descriptor = os.open(name, os.O_RDONLY | _FOLDER, dir_fd=outer.descriptor)
    try:
        yield _Folder(descriptor=descriptor, path=path, mount=outer.mount)
    finally:
        os.close(descriptor)
