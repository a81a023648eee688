"""Control groups: who holds which, and what a killed process left behind.

Groups belong to slots: leased for a run, emptied, and leased again, because deleted v1 memory
groups linger in the kernel. A group's name is `stencil-<slot>-<pid>-<n>`, so that `sweep` finds
what a killed process left behind.
"""

import atexit
import itertools
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

from sandbox import naming
from sandbox.cgroup.groups import Group, GroupV1, GroupV2, NoGroup, remove_folders
from sandbox.cgroup.hierarchy import Hierarchy, detect

NAME_PREFIX = "stencil-"
_ADHOC = "adhoc"


class Leases:
    """Hands out groups by slot; knows which ones this process has made."""

    def __init__(self, hierarchy: Hierarchy) -> None:
        self.hierarchy = hierarchy
        self._free: dict[str, list[Group]] = {}
        self._made: set[str] = set()
        self._lock = threading.Lock()
        self._count = itertools.count()

    def take(self, slot: str) -> Group:
        """A group for one run, to be given back."""
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,80}", slot):
            raise ValueError(f"not a name for a slot: {slot!r}")
        slot = naming.full(slot)
        with self._lock:
            free = self._free.get(slot, [])
            # The one that was given back first: its dead have had the longest time to go.
            if free:
                group = next((group for group in free if group.vacant()), free[0])
                free.remove(group)
                return group
            name = f"{NAME_PREFIX}{slot}-{os.getpid()}-{next(self._count)}"
            self._made.add(name)
        return make_group(self.hierarchy, name)

    def give_back(self, slot: str, group: Group) -> None:
        with self._lock:
            self._free.setdefault(naming.full(slot), []).append(group)

    def mine(self) -> frozenset[str]:
        with self._lock:
            return frozenset(self._made)

    def remove_all(self) -> None:
        with self._lock:
            groups = [group for free in self._free.values() for group in free]
            self._free.clear()
        for group in groups:
            group.remove()


def make_group(hierarchy: Hierarchy, name: str) -> Group:
    """A group of this name, not yet made empty."""
    folders = {controller: place / name for controller, place in hierarchy.places}
    if hierarchy.kind == "v2":
        return GroupV2(folders["unified"])
    if hierarchy.kind == "v1":
        return GroupV1(folders)
    return NoGroup()


def sweep(prefix: str = "", *, hierarchy: Hierarchy | None = None) -> list[str]:
    """Kill and remove groups whose slot starts with `prefix`, but those of this process.

    For what a killed executor left. Groups of the slot `adhoc` are taken only if the process that
    made them is gone, since several processes share that name. Returns the names.
    """
    hierarchy = hierarchy or current_hierarchy()
    mine = leases().mine()
    names = {name for name in _names(hierarchy, NAME_PREFIX + prefix) if name not in mine}
    swept = [name for name in sorted(names) if not _adhoc_of_the_living(name)]
    for name in swept:
        remove_folders([place / name for _, place in hierarchy.places])
    return swept


def _names(hierarchy: Hierarchy, prefix: str) -> Iterator[str]:
    for _, place in hierarchy.places:
        yield from (entry.name for entry in place.glob(f"{prefix}*") if entry.is_dir())


def _adhoc_of_the_living(name: str) -> bool:
    match = re.fullmatch(rf"{NAME_PREFIX}{_ADHOC}[a-z-]*-(\d+)-\d+", name)
    return match is not None and Path(f"/proc/{match[1]}").exists()


_leases: Leases | None = None
_lock = threading.Lock()


def leases() -> Leases:
    """The leases of this process; what it made is removed when it ends."""
    global _leases
    with _lock:
        if _leases is None:
            _leases = Leases(detect())
            atexit.register(_remove_at_exit, _leases, os.getpid())
        return _leases


def _remove_at_exit(made: Leases, pid: int) -> None:
    if os.getpid() == pid:  # not in a forked child
        made.remove_all()


def current_hierarchy() -> Hierarchy:
    """What this process uses."""
    return leases().hierarchy
