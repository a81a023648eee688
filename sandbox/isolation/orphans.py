"""Sandboxes that were being made when whoever made them was killed.

bubblewrap's inner process waits for its outer one, and asks to die with it only later: killed in
between, it waits for ever, in no group yet. So each bears the name of its slot in its environment,
which a program inside does not inherit; `sweep` finds it there.
"""

import os
import signal
from contextlib import suppress
from pathlib import Path

from sandbox import naming

MARK = "STENCIL_SLOT"


def environment(slot: str) -> dict[str, str]:
    """What bubblewrap itself is started with."""
    return {MARK: naming.full(slot)}


def sweep(prefix: str) -> list[int]:
    """Kill the bubblewraps whose slot starts with `prefix`; return their process ids.

    For whoever knows that the processes which made them are dead, and has made none since.
    """
    return [pid for pid in _marked(prefix) if _kill(pid, prefix)]


def _marked(prefix: str) -> list[int]:
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - names only
    return [pid for pid in pids if _bears(pid, prefix)]


def _bears(pid: int, prefix: str) -> bool:
    mark = f"{MARK}={prefix}".encode()
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it has ended, or is somebody else's
        return False
    return any(variable.startswith(mark) for variable in variables)


def _kill(pid: int, prefix: str) -> bool:
    with suppress(ProcessLookupError):
        held = os.pidfd_open(pid)
        try:
            if _bears(pid, prefix):  # still the same one, now that it cannot become another
                signal.pidfd_send_signal(held, signal.SIGKILL)
                return True
        finally:
            os.close(held)
    return False
