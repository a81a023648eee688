"""The check of a started sandbox from outside: is it locked down? (decision 0018)

The host reads the state of every thread of every process in it: user, groups, capabilities,
no_new_privs, the system-call filter (/proc/<pid>/status, see proc(5)), and the namespaces, which
must be those of the sandbox's first process and none of the host's. No process is asked.
"""

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache

from sandbox.errors import ConfinementError
from sandbox.isolation import profile

_LOCKDOWN_SECONDS = 2.0  # until bubblewrap's inner process has dropped its rights, too
_PAUSE = 0.0005
_NAMESPACES = ("mnt", "pid", "net", "ipc", "uts", "cgroup")
_CHUNK = 65536
_NONE = "0" * 16
_FILTERED = "2"  # SECCOMP_MODE_FILTER


@dataclass(frozen=True, kw_only=True)
class Identity:
    """User and groups of a process as the host sees them. `bounded`: no capability at all."""

    uid: int
    gid: int
    groups: frozenset[int]
    bounded: bool = True


@dataclass(frozen=True, kw_only=True)
class Expected:
    """The required state of a sandbox: its first process, all others, its namespaces."""

    first: Identity
    others: Identity
    namespaces: tuple[str, ...]
    filters: int | None  # None: this kernel does not report the number (before 5.9)
    apart_from: Mapping[str, str] = field(default_factory=dict)  # its server's namespaces


def expected(*, as_root: bool) -> Expected:
    """Return the required state of a submission's sandbox on this host."""
    groups = frozenset(os.getgroups())
    own = Identity(uid=os.geteuid(), gid=os.getegid(), groups=groups)
    namespaces = tuple(name for name in _NAMESPACES if name in _outside())
    filters = _own_filters()
    if not as_root:  # one user outside, with any number inside
        return Expected(first=own, others=own, namespaces=("user", *namespaces), filters=filters)
    # bubblewrap stays root, without a capability and without a way to gain one, as the submission's
    # user must not be able to reach it; it runs no foreign code.
    first = Identity(uid=own.uid, gid=own.gid, groups=groups, bounded=False)
    dropped = Identity(uid=profile.INSIDE_ID, gid=profile.INSIDE_ID, groups=frozenset())
    return Expected(first=first, others=dropped, namespaces=namespaces, filters=filters)


def expected_server(*, as_root: bool) -> Expected:
    """Return the required state of a fork server, the only process of its sandbox."""
    usual = expected(as_root=as_root)
    return replace(usual, first=usual.others)


def expected_forked(*, as_root: bool, server: int) -> Expected:
    """Return the required state of a sandbox that the process `server` has forked."""
    usual = expected(as_root=as_root)
    namespaces = ("user", *(name for name in usual.namespaces if name != "user"))
    return Expected(
        first=usual.others,  # a clone of the server has its identity
        others=usual.others,
        namespaces=namespaces,
        filters=None if usual.filters is None else usual.filters + 1,  # the server's, too
        apart_from=spaces_of(server, namespaces),
    )


def check(init: int, *, as_root: bool) -> None:
    """Check `init`, the first process, and all processes below it. ConfinementError for a fault."""
    check_against(init, expected(as_root=as_root))


def check_against(init: int, wanted: Expected) -> None:
    """Check a sandbox's first process and all below it. ConfinementError for a fault."""
    deadline = time.monotonic() + _LOCKDOWN_SECONDS
    while True:
        ours, theirs = faults(init, wanted)
        if theirs or (ours and time.monotonic() >= deadline):
            raise ConfinementError("; ".join((*theirs, *ours)))
        if not ours:
            return
        time.sleep(_PAUSE)  # the first process locks itself down beside its child


def faults(init: int, wanted: Expected) -> tuple[list[str], list[str]]:
    """Return the faults of the first process, and those of all others."""
    try:
        spaces = spaces_of(init, wanted.namespaces)
    except PermissionError as error:
        message = f"the namespaces of process {init} cannot be looked at"
        raise ConfinementError(message) from error
    ours = shared_with_host(init, spaces)
    ours += [
        f"process {init} shares its server's {name} namespace"
        for name, space in spaces.items()
        if space == wanted.apart_from.get(name)
    ]
    children, wrong = look(init, wanted.first, wanted.filters)
    ours += wrong
    theirs: list[str] = []
    alive, waiting = 0, list(children)
    while waiting:
        pid = waiting.pop()
        try:
            below, wrong = look(pid, wanted.others, wanted.filters)
            found = _spaces_of_other(pid, wanted.namespaces)
        except (FileNotFoundError, ProcessLookupError):
            continue  # a process of the runner, which has ended
        alive += 1
        theirs += wrong
        theirs += [
            f"process {pid} is in another {name} namespace than its sandbox"
            for name, space in found.items()
            if space != spaces[name]
        ]
        waiting += below
    return ours, theirs if alive else ["nothing runs in it"]


def shared_with_host(pid: int, spaces: Mapping[str, str]) -> list[str]:
    """Return the faults of a process whose namespaces are among those of this process."""
    return [
        f"process {pid} shares the host's {name} namespace"
        for name, space in spaces.items()
        if space in _outside()[name]
    ]


def look(pid: int, wanted: Identity, filters: int | None) -> tuple[list[int], list[str]]:
    """Return the children of a process, and the faults of its threads."""
    children: list[int] = []
    wrong: list[str] = []
    for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - names only
        try:
            status = read(f"/proc/{pid}/task/{thread}/status")
            children += map(int, read(f"/proc/{pid}/task/{thread}/children").split())
        except (FileNotFoundError, ProcessLookupError):
            if int(thread) == pid:
                raise
            continue  # a thread that has ended
        wrong += (f"process {pid}: {text}" for text in _differences(status, wanted, filters))
    return children, wrong


def _differences(status: str, wanted: Identity, filters: int | None) -> Iterator[str]:
    groups, lines = _lines(wanted, filters)
    for line in lines:
        if line not in status:
            name = line.partition(":")[0].strip()
            found = _value(status, name)
            yield f"{name} is {found or 'missing'}, not {line.partition(':')[2].strip()}"
    found = _value(status, "Groups")
    if found is None or frozenset(map(int, found.split())) != groups:
        yield f"Groups is {found!r}, not {sorted(groups)}"


@cache
def _lines(wanted: Identity, filters: int | None) -> tuple[frozenset[int], tuple[str, ...]]:
    """Return the required groups, and the required lines of /proc/<pid>/status."""
    ids = {"Uid": wanted.uid, "Gid": wanted.gid}
    sets = ("CapInh", "CapPrm", "CapEff", "CapAmb", *(("CapBnd",) if wanted.bounded else ()))
    known = {
        **{name: "\t".join([str(number)] * 4) for name, number in ids.items()},
        **dict.fromkeys(sets, _NONE),
        "NoNewPrivs": "1",
        "Seccomp": _FILTERED,
        **({} if filters is None else {"Seccomp_filters": str(filters)}),
    }
    return wanted.groups, tuple(f"\n{name}:\t{value}\n" for name, value in known.items())


def _value(status: str, name: str) -> str | None:
    _, found, rest = status.partition(f"\n{name}:")
    return " ".join(rest.partition("\n")[0].split()) if found else None


def spaces_of(pid: int, names: tuple[str, ...]) -> dict[str, str]:
    """Return the namespaces of a process by name. PermissionError if they are hidden from us."""
    return {name: os.readlink(f"/proc/{pid}/ns/{name}") for name in names}  # noqa: PTH115 - no path


def _spaces_of_other(pid: int, names: tuple[str, ...]) -> dict[str, str]:
    """Return the namespaces of a process that may belong to another user.

    The result is empty where root has no CAP_SYS_PTRACE. The process is in the namespaces of the
    first process all the same: it started there and has no capability to leave them.
    """
    try:
        return spaces_of(pid, names)
    except PermissionError:
        return {}


@cache
def _outside() -> dict[str, frozenset[str]]:
    """Return the namespaces of this process by name: no sandbox may be in one of them."""
    names = os.listdir("/proc/self/ns")  # noqa: PTH208 - names only
    return {name: frozenset({os.readlink(f"/proc/self/ns/{name}")}) for name in names}  # noqa: PTH115


@cache
def _own_filters() -> int | None:
    """Return how many filters a sandbox must have: those of this process and its own."""
    for line in read("/proc/self/status").splitlines():
        if line.startswith("Seccomp_filters:"):
            return int(line.split()[1]) + 1
    return None


def read(path: str) -> str:
    """Return a file of /proc as text. OSError if its process is gone or hidden from us."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = b""
        while data := os.read(descriptor, _CHUNK):
            text += data
        return text.decode("ascii", "replace")
    finally:
        os.close(descriptor)
