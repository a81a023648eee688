"""Exit status of a process that is the child of another process.

bubblewrap is the parent of a sandbox's command. It reports a death by signal as the exit status
128 + signal, so `exit(137)` looks like a SIGKILL. Linux 6.15 and later give the real wait status
to the holder of a pidfd (PIDFD_GET_INFO, see pidfd_open(2) and linux/pidfd.h).
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
    """Return a pidfd of the only child of `pid`, or None if it has no child or several."""
    table = Path(f"/proc/{pid}/task/{pid}/children")
    with suppress(OSError, ValueError):
        [child] = table.read_text(encoding="ascii").split()
        descriptor = os.pidfd_open(int(child))
        if table.read_text(encoding="ascii").split() == [child]:
            return descriptor
        os.close(descriptor)  # another process has the number now
    return None


def read_pidfd_status(pidfd: int) -> int | None:
    """Return the exit status of a dead process, or minus its signal; None on an older kernel."""
    info = bytearray(_INFO.size)
    struct.pack_into("=Q", info, 0, _EXIT)
    try:
        fcntl.ioctl(pidfd, _GET_INFO, info)
    except OSError:  # before Linux 6.13
        return None
    mask, *_, status = _INFO.unpack(info)
    return os.waitstatus_to_exitcode(status) if mask & _EXIT else None


def guess_status(status: int) -> int:
    """Return the same from bubblewrap's exit status, by the likelier of its two meanings."""
    number = status - _SIGNAL_BASE
    return -number if 1 <= number <= _LAST_SIGNAL else status
