"""SQLite: result codes (https://sqlite.org/rescode.html), triggers and pragmas."""

import sqlite3
from typing import Any

from django.db import OperationalError

from core.database.vendors.base import Trouble, Vendor

MAX_PROBLEMS = 20
_TROUBLE = {
    sqlite3.SQLITE_BUSY: Trouble.LOCKED,
    sqlite3.SQLITE_LOCKED: Trouble.LOCKED,
    sqlite3.SQLITE_PROTOCOL: Trouble.LOCKED,  # the race for the locks of the write-ahead log
    sqlite3.SQLITE_FULL: Trouble.FULL,
    sqlite3.SQLITE_CANTOPEN: Trouble.UNREACHABLE,
    sqlite3.SQLITE_IOERR: Trouble.UNREACHABLE,
    sqlite3.SQLITE_READONLY: Trouble.UNREACHABLE,
    sqlite3.SQLITE_CORRUPT: Trouble.DAMAGED,
    sqlite3.SQLITE_NOTADB: Trouble.DAMAGED,
}
_TEXTS = {"is locked": Trouble.LOCKED, "is full": Trouble.FULL}


def classify(error: BaseException) -> Trouble | None:
    """Return the trouble by the primary result code; without a code, by the message."""
    code = getattr(error.__cause__, "sqlite_errorcode", None)
    if isinstance(code, int):
        return _TROUBLE.get(code & 0xFF)  # the higher bits hold the extended code
    if isinstance(error, OperationalError):
        return next((trouble for text, trouble in _TEXTS.items() if text in str(error)), None)
    return None


def create_trigger(name: str, table: str, act: str) -> str:
    """Return the statement for a trigger that refuses `act` on `table`."""
    return (
        f"CREATE TRIGGER IF NOT EXISTS {name} BEFORE {act} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only: {act} is refused'); END"
    )


def drop_trigger(name: str, table: str) -> str:  # noqa: ARG001 - other vendors need the table
    """Return the statement that drops a trigger."""
    return f"DROP TRIGGER IF EXISTS {name}"


def trigger_gaps(cursor: Any) -> list[tuple[str, str]]:
    """INSERT OR REPLACE deletes rows, but fires DELETE triggers only if triggers recurse."""
    cursor.execute("PRAGMA recursive_triggers")
    if cursor.fetchone()[0]:
        return []
    message = "INSERT OR REPLACE gets past the append-only triggers."
    return [(message, "Put `PRAGMA recursive_triggers=ON` into OPTIONS.init_command.")]


def integrity_problems(cursor: Any) -> list[str]:
    """Check every page and index; if they are sound, check every reference. At most 20 each."""
    cursor.execute(f"PRAGMA integrity_check({MAX_PROBLEMS})")
    found = [" ".join(str(row[0]).split()) for row in cursor.fetchall()]
    cursor.execute("PRAGMA foreign_key_check")
    loose = cursor.fetchmany(MAX_PROBLEMS)
    if found != ["ok"]:
        return found
    return [f"{row[0]} row {row[1]} names a missing {row[2]}" for row in loose]


SQLITE = Vendor(
    name="sqlite",
    classify=classify,
    create_trigger=create_trigger,
    drop_trigger=drop_trigger,
    trigger_names="SELECT name FROM sqlite_master WHERE type = 'trigger'",
    trigger_gaps=trigger_gaps,
    integrity_problems=integrity_problems,
)
