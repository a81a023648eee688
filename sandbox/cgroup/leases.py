"""Leases of control groups by slot, and the removal of groups that a killed process left.

A slot leases a group for a run, and the group is emptied and leased again, because the kernel keeps
deleted v1 memory groups for a long time. A group's name is `stencil-<slot>-<pid>-<n>`, so that
`sweep` finds the groups of a killed process.
"""

import atexit
import itertools
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

from sandbox import naming
from sandbox.cgroup.groups import Group, GroupV1, GroupV2, remove_folders
from sandbox.cgroup.hierarchy import Hierarchy, detect
from sandbox.cgroup.no_group import NoGroup

NAME_PREFIX = "stencil-"
_ADHOC = "adhoc"


class Leases:
    """Lease groups by slot, and remember the groups that this process has made."""

    def __init__(self, hierarchy: Hierarchy) -> None:
        self.hierarchy = hierarchy
        self._free: dict[str, list[Group]] = {}
        self._made: set[str] = set()
        self._lock = threading.Lock()
        self._count = itertools.count()

    def take(self, slot: str) -> Group:
        """Return a group for one run; the caller gives it back. ValueError for a bad slot name."""
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,80}", slot):
            raise ValueError(f"not a name for a slot: {slot!r}")
        slot = naming.full(slot)
        with self._lock:
            free = self._free.get(slot, [])
            # Reuse the group released longest ago: its zombies have most likely been reaped.
            if free:
                group = next((group for group in free if group.vacant()), free[0])
                free.remove(group)
                return group
            name = f"{NAME_PREFIX}{slot}-{os.getpid()}-{next(self._count)}"
            self._made.add(name)
        return make_group(self.hierarchy, name)

    def give_back(self, slot: str, group: Group) -> None:
        """Return a group to its slot."""
        with self._lock:
            self._free.setdefault(naming.full(slot), []).append(group)

    def mine(self) -> frozenset[str]:
        """Return the names of all groups that this process has made."""
        with self._lock:
            return frozenset(self._made)

    def remove_all(self) -> None:
        """Delete the groups that are not leased now."""
        with self._lock:
            groups = [group for free in self._free.values() for group in free]
            self._free.clear()
        for group in groups:
            group.remove()


def make_group(hierarchy: Hierarchy, name: str) -> Group:
    """Return a group of this name; `empty` creates it."""
    folders = {controller: place / name for controller, place in hierarchy.places}
    if hierarchy.kind == "v2":
        return GroupV2(folders["unified"])
    if hierarchy.kind == "v1":
        return GroupV1(folders)
    return NoGroup()


def sweep(prefix: str = "", *, hierarchy: Hierarchy | None = None) -> list[str]:
    """Kill and remove the groups whose slot starts with `prefix`, except those of this process.

    This clears up after a killed executor. A group of the slot `adhoc` is removed only if the
    process that made it is gone, because several processes share that name. Return the removed
    names.
    """
    hierarchy = hierarchy or current_hierarchy()
    mine = process_leases().mine()
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


def process_leases() -> Leases:
    """Return the leases of this process; its groups are removed when it ends."""
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
    """Return the hierarchy in which this process makes groups."""
    return process_leases().hierarchy
