"""List and delete entries below a folder of ours by descriptors. No link on the way is followed.

Whoever can write in a folder can put a link, or another disk, in the place of a folder. A sweep
that follows it deletes the files of somebody else, so every sweep uses these functions.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox import tree_walk
from templatemgr.trees import listing, restoring

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def opened(root: Path, path: str) -> Iterator[int]:
    """Open the folder `path` below `root` and give its descriptor. `root` itself may be a link.

    Raises OSError if a component is missing, is no folder or is a link, belongs to a stranger, or
    if something is mounted on it.
    """
    users = listing.owners(root).users
    here = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        mount = tree_walk.mount_of(here)
        for name in path.split("/"):
            there = os.open(name, _FOLDER, dir_fd=here)
            os.close(here)
            here = there
            if tree_walk.mount_of(here) != mount:
                message = f"something is mounted over {name}"
                raise OSError(message)
            if os.fstat(here).st_uid not in users:
                message = f"{name} belongs to another user"
                raise PermissionError(message)
        yield here
    finally:
        os.close(here)


def names(root: Path, path: str) -> list[str]:
    """Return the names in the folder `path` below `root`, sorted; none if it cannot be opened."""
    try:
        with opened(root, path) as folder:
            return sorted(os.listdir(folder))  # noqa: PTH208 - by descriptor
    except OSError:
        return []


def remove(root: Path, path: str) -> None:
    """Delete the entry `path` below `root`, of any kind; do nothing if it is missing.

    Raises OSError if a folder above it cannot be opened, or if the entry cannot be deleted.
    """
    parent, _, name = path.rpartition("/")
    with opened(root, parent) as folder:
        delete(folder, name)


def delete(folder: int, name: str) -> None:
    """Delete an entry of an open folder, of any kind; do nothing if it is missing.

    Immutable entries are deleted as well, as far as we have the right to. Raises OSError.
    """
    try:
        info = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    act = os.unlink
    if stat.S_ISDIR(info.st_mode):
        tree_walk.clear(Path(f"/proc/self/fd/{folder}", name), on_refusal=restoring.unfix)
        act = os.rmdir
    try:
        act(name, dir_fd=folder)
    except PermissionError:
        restoring.unfix(name, folder)
        restoring.unfix(".", folder)
        act(name, dir_fd=folder)
