"""Walk folders of any depth by descriptors.

A program can nest folders deeper than PATH_MAX and deeper than the limit of open files. So the
walk holds one descriptor, of the current folder, and returns over "..", checked by inode number.
Links are never followed.
"""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Visit:
    """A step of the walk into a folder, or back into it from the folder `left`.

    `descriptor` is open until the next step. Names are given on the way in only.
    """

    descriptor: int
    depth: int  # 0: the root
    folders: tuple[str, ...] = ()
    others: tuple[str, ...] = ()  # files, links and special files
    left: str | None = None


@dataclass(kw_only=True)
class _Level:
    identity: tuple[int, int]
    name: str
    pending: list[str] = field(default_factory=list)


def walk(root: Path, *, unlock: bool = False) -> Iterator[Visit]:
    """Visit every folder of a tree before and after its contents; the order is not sorted.

    With `unlock` each folder is first made accessible to its owner. OSError when the root is not a
    folder, or when a folder was moved away during the walk.
    """
    here = _open(root, None, unlock)
    try:
        trail = [_Level(identity=_identity(here), name="")]
        yield _arrived(here, trail)
        while True:
            if trail[-1].pending:
                name = trail[-1].pending[-1]
                here = _move(here, name, unlock)
                trail.append(_Level(identity=_identity(here), name=name))
                yield _arrived(here, trail)
                continue
            left = trail.pop().name
            if not trail:
                return
            here = _move(here, "..", unlock=False)
            if _identity(here) != trail[-1].identity:
                message = f"a folder in {root} was moved while it was walked through"
                raise OSError(message)
            trail[-1].pending.pop()
            yield Visit(descriptor=here, depth=len(trail) - 1, left=left)
    finally:
        os.close(here)


def clear(root: Path, *, on_refusal: Callable[[str, int], None] | None = None) -> None:
    """Delete the contents of a folder; change modes of folders only.

    OSError if another mount lies at the root or below it; its contents are not touched. An entry
    that cannot be deleted is passed to `on_refusal` by name and folder, then tried once more.
    """
    own: str | None = _mount_around(root)
    for visit in walk(root, unlock=True):
        if visit.left is not None:
            _delete(os.rmdir, visit.left, visit.descriptor, on_refusal)
        elif mount_of(visit.descriptor) != own:
            message = f"something is mounted in {root}: unmount it first"
            raise OSError(message)
        for name in visit.others:
            _delete(os.unlink, name, visit.descriptor, on_refusal)


def mount_of(descriptor: int) -> str:
    """Return the mount of an open file: its number in /proc/self/fdinfo."""
    lines = Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines()
    return next((line for line in lines if line.startswith("mnt_id:")), "")


def _mount_around(root: Path) -> str:
    descriptor = os.open(root.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return mount_of(descriptor)
    finally:
        os.close(descriptor)


def _delete(
    act: Callable[..., None],
    name: str,
    folder: int,
    on_refusal: Callable[[str, int], None] | None,
) -> None:
    try:
        act(name, dir_fd=folder)
    except PermissionError:
        if on_refusal is None:
            raise
        on_refusal(name, folder)
        on_refusal(".", folder)
        act(name, dir_fd=folder)


def _arrived(here: int, trail: list[_Level]) -> Visit:
    folders: list[str] = []
    others: list[str] = []
    with os.scandir(here) as entries:
        for entry in entries:
            (folders if entry.is_dir(follow_symlinks=False) else others).append(entry.name)
    trail[-1].pending = list(folders)
    return Visit(
        descriptor=here, depth=len(trail) - 1, folders=tuple(folders), others=tuple(others)
    )


def _move(here: int, name: str, unlock: bool) -> int:
    there = _open(name, here, unlock)
    os.close(here)
    return there


def _open(name: str | Path, here: int | None, unlock: bool) -> int:
    flags = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    if unlock:
        seen = os.open(name, flags | os.O_PATH, dir_fd=here)
        try:
            if stat.S_IMODE(os.fstat(seen).st_mode) & 0o700 != 0o700:
                # Use the descriptor: changing the mode by name would follow a link. If the change
                # is refused (an immutable folder), the folder may still be readable.
                with suppress(PermissionError):
                    Path(f"/proc/self/fd/{seen}").chmod(0o700)
        finally:
            os.close(seen)
    return os.open(name, flags | os.O_RDONLY, dir_fd=here)


def _identity(descriptor: int) -> tuple[int, int]:
    info = os.fstat(descriptor)
    return info.st_dev, info.st_ino
