"""The tree of processes below a process, read from /proc, for machines without control groups."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

CAP_SYS_ADMIN, CAP_SYS_NICE = 21, 23  # as capabilities(7) numbers them
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, kw_only=True)
class Member:
    """One process. Its CPU time includes the children that it has waited for."""

    pid: int
    parent: int
    cpu_ms: float
    resident_bytes: int


def parse_stat(text: str) -> Member:
    """Parse /proc/<pid>/stat (see proc(5)). The name may contain spaces and brackets."""
    pid = int(text.split(" ", 1)[0])
    fields = text.rpartition(")")[2].split()
    ticks = sum(int(field) for field in fields[11:15])
    return Member(
        pid=pid,
        parent=int(fields[1]),
        cpu_ms=ticks * 1000 / _TICKS,
        resident_bytes=int(fields[21]) * _PAGE,
    )


def tree_of(root: int) -> list[Member]:
    """Return `root` and its living descendants; the namespace's first process adopts orphans."""
    members = _all()
    children: dict[int, list[int]] = {}
    for member in members.values():
        children.setdefault(member.parent, []).append(member.pid)
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        if pid in members:
            found.append(members[pid])
            waiting += children.get(pid, [])
    return found


def _all() -> dict[int, Member]:
    members = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            member = parse_stat((entry / "stat").read_text(errors="replace"))
        except (OSError, ValueError, IndexError):  # it has just ended
            continue
        members[member.pid] = member
    return members


def threads_of(pid: int) -> list[int]:
    """Return the thread ids of a process; none when it is gone."""
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]  # noqa: PTH208 - names only
    except OSError:
        return []


def all_sleep(pids: Iterable[int]) -> bool:
    """Return whether every thread of these processes sleeps: at this moment none wants a processor.

    False if there is no thread, or if one has ended meanwhile.
    """
    states = []
    try:
        for pid in pids:
            for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - names only
                with open(f"/proc/{pid}/task/{thread}/stat", "rb", buffering=0) as file:
                    states.append(file.read(4096).rpartition(b")")[2][1:2])
    except OSError:
        return False
    return bool(states) and all(state == b"S" for state in states)


def may(capability: int) -> bool:
    """Return whether this process has a capability in its effective set."""
    with open("/proc/self/status", encoding="ascii") as file:
        effective = next(line for line in file if line.startswith("CapEff:"))
    return bool(int(effective.split()[1], 16) >> capability & 1)
