"""The check of a fork server from outside, before it may serve.

Its sandboxes are clones of it, so whatever it holds they would hold, too. A package of the template
could have prepared a way between them while it was loaded: another thread or process, memory that a
clone shares, an open file, socket or queue, a timer. A server with any such thing is refused.
"""

import os
import re
from collections.abc import Iterator

from sandbox.errors import ConfinementError
from sandbox.isolation import confinement

_STREAMS = (0, 1, 2)
# /proc/<pid>/maps: permissions of a mapping that is shared with other processes and can be written.
_SHARED = re.compile(r"^\S+ .w.s ", re.MULTILINE)


def check(pid: int, *, as_root: bool) -> None:
    """Check the server `pid`. ConfinementError names everything that its sandboxes would share."""
    wanted = confinement.expected_server(as_root=as_root)
    try:
        _, wrong = confinement.look(pid, wanted.first, wanted.filters)
        spaces = confinement.spaces_of(pid, wanted.namespaces)
        found = [*wrong, *confinement.shared_with_host(pid, spaces), *_faults(pid)]
    except OSError as error:
        raise ConfinementError(f"the fork server cannot be looked at: {error.strerror}") from error
    if found:
        raise ConfinementError("the fork server cannot serve: " + "; ".join(found))


def _faults(pid: int) -> Iterator[str]:
    threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - names only
    if len(threads) != 1:
        yield f"it has {len(threads)} threads, not 1"
    children = confinement.read(f"/proc/{pid}/task/{pid}/children").split()
    if children:
        yield f"it has {len(children)} child processes"
    if _SHARED.search(confinement.read(f"/proc/{pid}/maps")):
        yield "it has memory that its sandboxes would share"
    if confinement.read(f"/proc/{pid}/timers").strip():
        yield "it has set a timer"
    numbers = sorted(map(int, os.listdir(f"/proc/{pid}/fd")))  # noqa: PTH208 - names only
    held = [os.readlink(f"/proc/{pid}/fd/{n}") for n in numbers if n not in _STREAMS]  # noqa: PTH115
    sockets = [target for target in held if target.startswith("socket:")]
    others = [target for target in held if target not in sockets]
    if len(sockets) != 1:  # its end of the control socket
        yield f"it holds {len(sockets)} sockets open, not 1"
    if others:
        yield f"it holds open {', '.join(others[:5])}"
