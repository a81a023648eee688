"""The check of a fork server from outside, before it may serve.

Its sandboxes are clones of it, so whatever it holds they would hold, too. A package of the template
could have prepared a way between them while it was loaded: another thread or process, memory that a
clone shares, an open file, socket or queue, a timer. A server with any such thing is refused.

A runtime with threads parks all but one for good (decision 0039, `_fork/threads.c`). Its clones
replace epolls, event counters and whole pipes by their own (`_fork/descriptors.c`).
"""

import os
import re
import time
from collections import Counter
from collections.abc import Iterator

from sandbox.errors import ConfinementError
from sandbox.isolation import confinement

_STREAMS = (0, 1, 2)
# /proc/<pid>/maps: permissions of a mapping that is shared with other processes and can be written.
_SHARED = re.compile(r"^\S+ .w.s ", re.MULTILINE)
# What a clone replaces, beside pipes of which the server holds both ends.
_REPLACED = {"anon_inode:[eventpoll]", "anon_inode:[eventfd]", "/dev/null"}
# /proc/<pid>/syscall of a parked thread, in futex(2): the address, FUTEX_WAIT | FUTEX_PRIVATE_FLAG,
# any value, no timeout.
_PARKED = re.compile(r"\d+ 0x[0-9a-f]+ 0x80 0x[0-9a-f]+ 0x0 ")
_PARKING_SECONDS = 2.0
_PAUSE = 0.001
_BOTH_ENDS = 2


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
    running = running_threads(pid)
    if running:
        yield f"it has {running} threads that are not parked"
    children = confinement.read(f"/proc/{pid}/task/{pid}/children").split()
    if children:
        yield f"it has {len(children)} child processes"
    if _SHARED.search(confinement.read(f"/proc/{pid}/maps")):
        yield "it has memory that its sandboxes would share"
    if confinement.read(f"/proc/{pid}/timers").strip():
        yield "it has set a timer"
    yield from _shared_descriptors(pid)


def running_threads(pid: int) -> int:
    """Return how many threads beside the first one are not parked; wait a moment for them."""
    deadline = time.monotonic() + _PARKING_SECONDS
    while True:
        threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - names only
        calls = [
            confinement.read(f"/proc/{pid}/task/{thread}/syscall")
            for thread in threads
            if int(thread) != pid
        ]
        parked = Counter(found.group() for call in calls if (found := _PARKED.match(call)))
        # All of them wait at one place, which nothing in the server ever wakes.
        running = len(calls) - max(parked.values(), default=0)
        if not running or time.monotonic() >= deadline:
            return running
        time.sleep(_PAUSE)


def _shared_descriptors(pid: int) -> Iterator[str]:
    numbers = sorted(map(int, os.listdir(f"/proc/{pid}/fd")))  # noqa: PTH208 - names only
    held = Counter(
        os.readlink(f"/proc/{pid}/fd/{n}")  # noqa: PTH115 - no path
        for n in numbers
        if n not in _STREAMS
    )
    sockets = sum(count for target, count in held.items() if target.startswith("socket:"))
    if sockets != 1:  # its end of the control socket
        yield f"it holds {sockets} sockets open, not 1"
    others = [
        target
        for target, count in held.items()
        if not (target.startswith("socket:") or target in _REPLACED)
        and not (target.startswith("pipe:") and count == _BOTH_ENDS)
    ]
    if others:
        yield f"it holds open {', '.join(others[:5])}"
