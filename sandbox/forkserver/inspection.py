"""The check of a fork server from outside, before it may serve.

Its sandboxes are clones of it, so whatever it holds they would hold, too. A package of the template
could have prepared a way between them while it was loaded: another thread or process, memory that a
clone shares, an open file, socket or queue, a timer. A server with any such thing is refused.

A runtime with threads parks all but one for good (decision 0039, `_fork/threads.c`). Its clones
replace epolls, event counters and whole pipes by their own (`_fork/descriptors.c`).

A package could also have put itself into the place of the server, or have arranged that a signal
calls it back later. So the server must wait in the sealed native part, with its code unchanged, and
no signal that comes by itself may have a handler.
"""

import ctypes
import mmap
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sandbox.errors import ConfinementError
from sandbox.isolation import confinement

_STREAMS = (0, 1, 2)
# What a clone replaces, beside pipes of which the server holds both ends.
_REPLACED = {"anon_inode:[eventpoll]", "anon_inode:[eventfd]", "/dev/null"}
# /proc/<pid>/syscall of a parked thread, in futex(2): the address, FUTEX_WAIT | FUTEX_PRIVATE_FLAG,
# any value, no timeout.
_PARKED = re.compile(r"\d+ 0x[0-9a-f]+ 0x80 0x[0-9a-f]+ 0x0 ")
_PARKING_SECONDS = 2.0
_BOTH_ENDS = 2
# VmFlags: it was mapped as shared, from something that could be written, even if it now cannot be:
# mprotect(2) in a sandbox would make it writable again.
_SHARED = "sh"
_NATIVE = "/template/_fork/"
# These signals come without another process or an open file: SIGALRM, SIGVTALRM and SIGPROF from
# setitimer(2), SIGXCPU from a resource limit.
_UNASKED = {"SIGALRM": 14, "SIGXCPU": 24, "SIGVTALRM": 26, "SIGPROF": 27}
_CAUGHT = re.compile(r"^SigCgt:\s*(\w+)$", re.MULTILINE)
# /proc/<pid>/fdinfo/<n>: flags of open(2). O_ASYNC lets a signal come when there is input.
_FLAGS = re.compile(r"^flags:\s*(\d+)$", re.MULTILINE)
_ASYNC = 0o20000
_WAITING_SECONDS = 2.0  # until the server waits for its first message
_PAUSE = 0.001


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
    mappings = _mappings(confinement.read(f"/proc/{pid}/smaps"))
    if any(each.shared for each in mappings):
        yield "it has memory that its sandboxes would share"
    yield from _foreign_code(pid, mappings)
    yield from _callbacks(pid)
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


@dataclass(kw_only=True)
class _Mapping:
    """A mapping of memory. `file`: device and inode as the kernel prints them."""

    start: int
    end: int
    permissions: str
    file: str
    path: str
    shared: bool = False
    changed: bool = False  # it holds pages that are not the file's


def _mappings(text: str) -> list[_Mapping]:
    """Parse /proc/<pid>/smaps (see proc(5)): the line of each mapping, then its counters."""
    found: list[_Mapping] = []
    for line in text.rstrip("\n").split("\n"):  # a path may hold other kinds of line ends
        first, _, rest = line.partition(" ")
        if not first.endswith(":"):
            start, _, end = first.partition("-")
            permissions, _, device, inode, *path = rest.split(maxsplit=4)
            found.append(
                _Mapping(
                    start=int(start, 16),
                    end=int(end, 16),
                    permissions=permissions,
                    file=f"{device} {inode}",
                    path="".join(path),
                )
            )
        elif first == "VmFlags:":
            found[-1].shared = _SHARED in rest.split()
        elif first in ("Anonymous:", "Swap:") and int(rest.split()[0]) > 0:
            found[-1].changed = True
    return found


def _foreign_code(pid: int, mappings: list[_Mapping]) -> Iterator[str]:
    """Yield a fault unless the server waits in unchanged code of the tree's native part."""
    at = _waits_at(pid)
    if at is None:
        yield "it does not wait for requests"
        return
    code = next((each for each in mappings if each.start <= at < each.end), None)
    if code is None or not code.path.startswith(_NATIVE):
        yield f"it waits in {'no code' if code is None else code.path or 'code of its own'}"
    elif code.file != _as_mapped(f"/proc/{pid}/root{code.path}"):
        yield f"it waits in another file than {code.path}"
    elif code.changed or "w" in code.permissions:
        yield f"it has changed the code of {code.path}"


def _waits_at(pid: int) -> int | None:
    """Return the address of the code that waits in a system call (/proc/<pid>/syscall)."""
    deadline = time.monotonic() + _WAITING_SECONDS
    while time.monotonic() < deadline:
        words = confinement.read(f"/proc/{pid}/syscall").split()
        if len(words) > 1 and int(words[0]) >= 0:  # else it runs, or waits outside of any call
            return int(words[-1], 16)
        time.sleep(_PAUSE)
    return None


def _as_mapped(path: str) -> str | None:
    """Return device and inode of a file as the kernel prints them for a mapping of it.

    On some file systems they differ from those of stat(2).
    """
    with (
        suppress(OSError, ValueError),
        Path(path).open("rb") as file,
        mmap.mmap(file.fileno(), 1, mmap.MAP_PRIVATE) as view,
    ):
        first = ctypes.c_char.from_buffer(view)
        address = ctypes.addressof(first)
        del first  # else the view cannot be closed
        for each in _mappings(confinement.read("/proc/self/maps")):
            if each.start == address:
                return each.file
    return None


def _callbacks(pid: int) -> Iterator[str]:
    """Yield a fault for each way to be called back later."""
    found = _CAUGHT.search(confinement.read(f"/proc/{pid}/status"))
    caught = int(found[1], 16) if found else 0
    for name, number in _UNASKED.items():
        if caught >> (number - 1) & 1:
            yield f"it handles {name}"
    for descriptor in os.listdir(f"/proc/{pid}/fdinfo"):  # noqa: PTH208 - names only
        flags = _FLAGS.search(confinement.read(f"/proc/{pid}/fdinfo/{descriptor}"))
        if flags and int(flags[1], 8) & _ASYNC:
            yield f"it gets a signal for input on descriptor {descriptor}"
