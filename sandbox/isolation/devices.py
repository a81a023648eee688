"""Read-only mounts of devices, so that no process inside can change a device, not even as root.

bubblewrap cannot make such mounts: its read-only mounts also forbid to open a device. So the one
thread that starts bubblewraps has a mount namespace of its own. There each device is bound over
itself, read-only, and bubblewrap's binds of it stay read-only. The host's mounts do not change.
This is for a start as root only: other users cannot change the owner, mode or times of a device,
except set its times to now, as every local user may.
"""

import ctypes
import os
import select
from pathlib import Path

from sandbox.errors import IsolationUnavailableError

# All of /dev that is real: no terminal, no pseudo-terminals.
NAMES = ("full", "null", "random", "urandom", "zero")
_MS_RDONLY, _MS_NOSUID, _MS_REMOUNT, _MS_BIND = 1, 2, 32, 4096
_MS_REC, _MS_SLAVE = 16384, 1 << 19
_HOST = "/proc/self/ns/mnt"  # of the process: always that of its main thread


class Namespace:
    """The mount namespace of the spawning thread, made again when the host's mounts change."""

    def __init__(self) -> None:
        self._poll: select.poll | None = None
        self._mounts = self._host = -1
        self._entered = self._whole = False

    def enter(self) -> None:
        """Enter it with the host's current mounts. IsolationUnavailableError if this is refused."""
        try:
            if self._poll is None:
                self._watch()
            elif self._whole and not self._poll.poll(0):
                return
            self._whole = False
            if self._entered:
                os.setns(self._host, os.CLONE_NEWNS)
            os.unshare(os.CLONE_NEWNS)
            self._entered = True
            _mount(None, "/", _MS_REC | _MS_SLAVE)
            for name in NAMES:
                _read_only(f"/dev/{name}")
            self._whole = True
        except OSError as error:
            message = f"the devices cannot be made read-only: {error.strerror}"
            raise IsolationUnavailableError(message) from error

    def _watch(self) -> None:
        os.unshare(os.CLONE_FS)  # a namespace is entered by a thread that shares no working folder
        self._host = os.open(_HOST, os.O_RDONLY | os.O_CLOEXEC)
        self._mounts = os.open("/proc/self/mounts", os.O_RDONLY | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._mounts, select.POLLPRI)
        self._poll.poll(0)


def _read_only(place: str) -> None:
    if not Path(place).exists():
        return
    _mount(place, place, _MS_BIND)
    _mount(None, place, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID)


def _mount(source: str | None, target: str, flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    named = None if source is None else source.encode()
    if libc.mount(named, target.encode(), None, ctypes.c_ulong(flags), None) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
