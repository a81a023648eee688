"""What package managers downloaded, kept for later builds: within a bound, oldest use first out.

Every file here is one of a cache that checks what it reads, so that each can go by itself: npm
and pip fetch again what is missing.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sandbox import descent
from templatemgr.store import Freed


@dataclass(frozen=True, kw_only=True)
class _Kept:
    path: Path
    used_at: int  # nanoseconds
    size: int  # on disk


def forget_reads(folder: Path) -> None:
    """Make every file look as if it had never been read, so that `trim` sees which were.

    Filesystems note a read at least when the noted one is older than the last change. Where they
    note none at all (`noatime`), what was downloaded first goes first.
    """
    for kept in _files(folder):
        os.utime(kept.path, ns=(0, kept.used_at), follow_symlinks=False)


def trim(folder: Path, limit: int) -> Freed:
    """Remove files, those whose last use is longest ago first, until `limit` bytes are left."""
    files = sorted(_files(folder), key=lambda kept: (kept.used_at, str(kept.path)))
    total, freed = sum(kept.size for kept in files), Freed()
    for kept in files:
        if total <= limit:
            os.utime(kept.path, ns=(kept.used_at, kept.used_at), follow_symlinks=False)
            continue
        kept.path.unlink()
        total -= kept.size
        freed += Freed(files=1, bytes=kept.size)
    if freed.files:
        _remove_empty(folder)
    return freed


def _files(folder: Path) -> Iterator[_Kept]:
    for path, _folders, names in os.walk(folder):
        for name in names:
            file = Path(path, name)
            info = file.lstat()
            if stat.S_ISREG(info.st_mode):
                used = max(info.st_atime_ns, info.st_mtime_ns)
                yield _Kept(path=file, used_at=used, size=info.st_blocks * 512)


def _remove_empty(folder: Path) -> None:
    for visit in descent.descend(folder):
        if visit.left is not None:
            try:
                os.rmdir(visit.left, dir_fd=visit.descriptor)
            except OSError:  # it holds something
                continue
