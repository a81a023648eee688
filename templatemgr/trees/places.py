"""Make a place of the data directory what it must be: a folder, or the file of a lock.

Whatever else lies there is moved aside to a fresh name, and never deleted. An immutable attribute
is cleared, and a mode that locks its owner out is restored. Raises OSError if that is not possible.
"""

import logging
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from templatemgr.trees import listing, restoring

logger = logging.getLogger(__name__)
_LOCK = os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def folder(place: Path, aside: Path, *, linked: bool = False, writable: bool = True) -> Path:
    """Make `place` a folder that we can use, and return it.

    With `linked` it may also be a link to a folder. A folder in which we cannot write is moved
    aside, too, unless `writable` is false.
    """
    if linked and place.is_symlink() and place.exists() and place.is_dir():
        return place
    _be_folder(place, aside)
    if writable and not os.access(place, os.W_OK | os.X_OK):
        move_aside(place, aside)
        _be_folder(place, aside)
    return place


def open_lock(place: Path, aside: Path, *, mode: int = 0o644, writable: bool = False) -> int:
    """Make `place` a regular file, and return a descriptor of it that can be locked.

    A file that we may only read is enough, unless `writable`.
    """
    seen = _look(place)
    if seen is not None and not stat.S_ISREG(seen.st_mode):
        move_aside(place, aside)
    try:
        return os.open(place, os.O_RDWR | _LOCK, mode)
    except PermissionError:
        _unfix(place.parent)
        _unfix(place)
        with suppress(OSError):
            place.chmod(0o600 | stat.S_IMODE(place.lstat().st_mode))
    try:
        return os.open(place, os.O_RDWR | _LOCK, mode)
    except PermissionError:
        if _look(place) is None:
            raise
    if not writable:
        with suppress(PermissionError):
            return os.open(place, (os.O_RDONLY | _LOCK) & ~os.O_CREAT)
    move_aside(place, aside)
    return os.open(place, os.O_RDWR | _LOCK, mode)


def make_room_for_socket(place: Path, aside: Path) -> None:
    """Move whatever lies at `place` aside, unless it is a socket."""
    seen = _look(place)
    if seen is not None and not stat.S_ISSOCK(seen.st_mode):
        move_aside(place, aside)


def move_aside(place: Path, aside: Path) -> Path:
    """Move an entry of any kind to a fresh name, in `aside` or as near as possible; return it."""
    for entry in (place.parent, place):
        _unfix(entry)
    seen = _look(place)
    if seen is not None and stat.S_ISDIR(seen.st_mode) and seen.st_mode & 0o700 != 0o700:
        with suppress(OSError):  # a closed folder cannot be moved to another parent
            place.chmod(0o700 | stat.S_IMODE(seen.st_mode))
    trouble: OSError | None = None
    for target in _targets(place, aside):
        try:
            place.rename(target)
        except OSError as error:
            trouble = trouble or error
        else:
            logger.warning("%s was in the way: it is now %s", place, target)
            return target
    if listing.mounts_at(place):
        message = f"something is mounted over {place}: unmount it"
        raise OSError(message) from trouble
    raise trouble or FileNotFoundError(place)


def _targets(place: Path, aside: Path) -> Iterator[Path]:
    name = f"{place.name}-{secrets.token_hex(4)}"
    if place != aside:
        with suppress(OSError):
            yield folder(aside, aside) / name
    yield aside.parent / name
    if place.parent.name != "versions":  # there an unknown name is swept
        yield place.with_name(name)


def _be_folder(place: Path, aside: Path) -> None:
    seen = _look(place)
    if seen is not None and not stat.S_ISDIR(seen.st_mode):
        move_aside(place, aside)
        seen = None
    if seen is None:
        try:
            place.mkdir(parents=True, exist_ok=True)
        except PermissionError:
            _unfix(place.parent)
            place.mkdir(parents=True, exist_ok=True)
        return
    _unfix(place)
    if seen.st_mode & 0o700 != 0o700:
        with suppress(PermissionError):  # another user's: what we need of it decides
            place.chmod(0o700 | stat.S_IMODE(seen.st_mode))


def _unfix(entry: Path) -> None:
    seen = _look(entry)
    if seen is not None and (stat.S_ISREG(seen.st_mode) or stat.S_ISDIR(seen.st_mode)):
        restoring.unfix(entry)


def _look(entry: Path) -> os.stat_result | None:
    try:
        return entry.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
