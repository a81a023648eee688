"""How a process that somebody else waits for has ended.

bubblewrap is the parent of a sandbox's command and passes its end on as an exit status, which for a
death by signal is 128 + signal: `exit(137)` looks like a SIGKILL. Linux 6.15 and later tell whoever
holds a pidfd what really happened.
"""

import fcntl
import os
import struct
from contextlib import suppress
from pathlib import Path

# struct pidfd_info as of its first version: mask, cgroup, eleven 32-bit ids, then the wait status.
_INFO = struct.Struct("=QQ11Ii")
_EXIT = 1 << 3  # PIDFD_INFO_EXIT
_GET_INFO = (3 << 30) | (_INFO.size << 16) | (0xFF << 8) | 11  # _IOWR(PIDFS_IOCTL_MAGIC, 11, …)
_SIGNAL_BASE = 128
# Real-time signals are left out: an exit status above 160 is a program's choice far more often.
_LAST_SIGNAL = 31


def only_child(pid: int) -> int | None:
    """A pidfd of the only child of a process; None if it has none or several, or is gone."""
    table = Path(f"/proc/{pid}/task/{pid}/children")
    with suppress(OSError, ValueError):
        [child] = table.read_text(encoding="ascii").split()
        descriptor = os.pidfd_open(int(child))
        if table.read_text(encoding="ascii").split() == [child]:
            return descriptor
        os.close(descriptor)  # another one has its number by now
    return None


def told_by(pidfd: int) -> int | None:
    """The exit status, or minus the signal, of a process that is gone. None: not to be known."""
    info = bytearray(_INFO.size)
    struct.pack_into("=Q", info, 0, _EXIT)
    try:
        fcntl.ioctl(pidfd, _GET_INFO, info)
    except OSError:  # before Linux 6.13
        return None
    mask, *_, status = _INFO.unpack(info)
    return os.waitstatus_to_exitcode(status) if mask & _EXIT else None


def guessed_from(status: int) -> int:
    """The same from bubblewrap's exit status, taking the likelier of two readings."""
    number = status - _SIGNAL_BASE
    return -number if 1 <= number <= _LAST_SIGNAL else status
