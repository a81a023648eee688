"""Close the data directory to other users of the machine.

The database holds sessions, second factors and submissions. The directory is closed to others, and
each entry in it as well, in case the directory is opened again.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

OTHERS = 0o077  # the permission bits of group and others


@dataclass(frozen=True, kw_only=True)
class Opened:
    """An entry that others could read or write: `repaired`, or why not in `trouble`."""

    path: Path
    mode: int
    repaired: bool
    trouble: str = ""


def close_to_others(data: Path) -> list[Opened]:
    """Remove the permissions of group and others from the directory and each entry in it.

    Follow no link; deeper entries are protected by the directory. A missing directory has none.
    """
    try:
        folder = os.open(data, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return []
    except OSError as error:
        trouble = error.strerror or "it cannot be opened"
        return [Opened(path=data, mode=0, repaired=False, trouble=trouble)]
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 - by descriptor
        found = [_close(data, folder, "")]
        found += [_close(data, folder, name) for name in names]
    finally:
        os.close(folder)
    return [opened for opened in found if opened is not None]


def _close(data: Path, folder: int, name: str) -> Opened | None:
    try:
        info = os.stat(name, dir_fd=folder, follow_symlinks=False) if name else os.fstat(folder)
    except FileNotFoundError:  # it vanished, as a database's journal does
        return None
    mode = stat.S_IMODE(info.st_mode)
    # A file with a second name may be a sealed one: do not change its mode here.
    shared = stat.S_ISREG(info.st_mode) and info.st_nlink > 1
    if stat.S_ISLNK(info.st_mode) or shared or not mode & OTHERS:
        return None
    path = data / name if name else data
    try:
        if name:
            os.chmod(name, mode & ~OTHERS, dir_fd=folder)
        else:
            os.fchmod(folder, mode & ~OTHERS)
    except FileNotFoundError:
        return None
    except OSError as error:
        trouble = error.strerror or "its mode cannot be changed"
        return Opened(path=path, mode=mode, repaired=False, trouble=trouble)
    return Opened(path=path, mode=mode, repaired=True)
