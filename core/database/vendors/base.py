"""The interface of a database vendor: everything that differs between SQLite and others."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Trouble(StrEnum):
    """Why the database refused a statement, where the reason is not the statement itself."""

    LOCKED = "locked"  # another writer was not done in time, or the two would have deadlocked
    FULL = "full"  # the disk has no room
    UNREACHABLE = "unreachable"  # its file or its server cannot be opened, read or written
    DAMAGED = "damaged"  # its files do not hold a database any more


@dataclass(frozen=True, kw_only=True)
class Vendor:
    """One database vendor. `name` is Django's `connection.vendor`."""

    name: str
    # Takes an exception of Django's and returns its trouble, by the driver's code in `__cause__`.
    # None: an exception of another driver, or no trouble of the database.
    classify: Callable[[BaseException], Trouble | None]
    # (trigger name, table, "UPDATE" or "DELETE") → statement that creates a refusing trigger.
    create_trigger: Callable[[str, str, str], str]
    # (trigger name, table) → statement that drops it, or does nothing if it does not exist.
    drop_trigger: Callable[[str, str], str]
    # A query; its first column has the name of every trigger.
    trigger_names: str
    # Takes a cursor; returns how statements can bypass the triggers with the present settings:
    # pairs of a message and a hint.
    trigger_gaps: Callable[[Any], list[tuple[str, str]]]
    # Takes a cursor; reads every page and returns the damage. None: the vendor has its own tools.
    integrity_problems: Callable[[Any], list[str]] | None
