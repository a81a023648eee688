"""Cleanup of sandboxes whose starting process was killed during their start.

bubblewrap's inner process waits for the outer one and only later asks to die with it. If the outer
process is killed in between, the inner one waits forever, outside of any control group. So each
bubblewrap has its slot's name in its environment, which a program inside does not inherit.
"""

import os
import signal
from contextlib import suppress
from pathlib import Path

from sandbox import naming

MARK = "STENCIL_SLOT"


def environment(slot: str) -> dict[str, str]:
    """Return the environment of bubblewrap itself."""
    return {MARK: naming.full(slot)}


def sweep(prefix: str) -> list[int]:
    """Kill the bubblewraps whose slot starts with `prefix`; return their process ids.

    The caller knows that the processes which started them are dead, and has started none since.
    """
    return [pid for pid in _marked(prefix) if _kill(pid, prefix)]


def _marked(prefix: str) -> list[int]:
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - names only
    return [pid for pid in pids if _bears(pid, prefix)]


def _bears(pid: int, prefix: str) -> bool:
    mark = f"{MARK}={prefix}".encode()
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it has ended, or belongs to another user
        return False
    return any(variable.startswith(mark) for variable in variables)


def _kill(pid: int, prefix: str) -> bool:
    with suppress(ProcessLookupError):
        held = os.pidfd_open(pid)
        try:
            if _bears(pid, prefix):  # check again: the pidfd now keeps the number from being reused
                signal.pidfd_send_signal(held, signal.SIGKILL)
                return True
        finally:
            os.close(held)
    return False
