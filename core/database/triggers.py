"""Append-only tables, held by the database itself: UPDATE and DELETE are refused.

The one place that knows SQL, a table per vendor. Installed after every `migrate`, because SQLite
drops triggers silently when Django rebuilds a table; a system check says when one is missing.
INSERT OR REPLACE is a delete, too: it meets the DELETE trigger only under
`PRAGMA recursive_triggers=ON`, which the settings give and the check asks for.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

TABLES = ("templatemgr_version", "templatemgr_promotion", "templatemgr_auditevent")
ACTS = ("UPDATE", "DELETE")


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How one database vendor spells a refusing trigger."""

    create: Callable[[str, str, str], str]  # name, table, act → statement
    drop: Callable[[str, str], str]  # name, table → statement
    names: str  # a query whose first column names every trigger


def _sqlite_create(name: str, table: str, act: str) -> str:
    return (
        f"CREATE TRIGGER IF NOT EXISTS {name} BEFORE {act} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only: {act} is refused'); END"
    )


def _sqlite_drop(name: str, table: str) -> str:  # noqa: ARG001 - other vendors need the table
    return f"DROP TRIGGER IF EXISTS {name}"


DIALECTS = {
    "sqlite": Dialect(
        create=_sqlite_create,
        drop=_sqlite_drop,
        names="SELECT name FROM sqlite_master WHERE type = 'trigger'",
    ),
}


def _wanted(tables: Sequence[str]) -> list[tuple[str, str, str]]:
    return [(f"{table}_refuse_{act.lower()}", table, act) for table in tables for act in ACTS]


def _dialect(connection: BaseDatabaseWrapper) -> Dialect | None:
    return DIALECTS.get(connection.vendor)


def install(connection: BaseDatabaseWrapper) -> None:
    """Create what is missing, for the tables that exist. Repeating it does nothing."""
    dialect = _dialect(connection)
    if dialect is None:
        return
    present = set(connection.introspection.table_names())
    with connection.cursor() as cursor:
        for name, table, act in _wanted(TABLES):
            if table in present:
                cursor.execute(dialect.create(name, table, act))


def remove(connection: BaseDatabaseWrapper) -> None:
    """Drop them all. Only for tests that flush the database: nothing else has a reason."""
    dialect = _dialect(connection)
    if dialect is None:
        return
    with connection.cursor() as cursor:
        for name, table, _act in _wanted(TABLES):
            cursor.execute(dialect.drop(name, table))


@contextmanager
def lifted(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Leave the tables unguarded for a moment. Only for tests."""
    remove(connection)
    try:
        yield
    finally:
        install(connection)


def missing(connection: BaseDatabaseWrapper) -> list[str]:
    """Return the names of the triggers that should be there and are not."""
    dialect = _dialect(connection)
    if dialect is None:
        return []
    tables = set(connection.introspection.table_names())
    with connection.cursor() as cursor:
        cursor.execute(dialect.names)
        present = {row[0] for row in cursor.fetchall()}
    return [name for name, table, _ in _wanted(TABLES) if table in tables and name not in present]


def install_after_migrate(*, using: str, **_kwargs: Any) -> None:
    """Receive `post_migrate`."""
    install(connections[using])


@register(Tags.database)
def check_triggers(*, databases: Sequence[str] | None = None, **_kwargs: Any) -> list[CheckMessage]:
    """Say which append-only tables are unguarded. Runs with `check --database` and `migrate`."""
    found: list[CheckMessage] = []
    for alias in databases or ():
        found += _check_database(connections[alias])
    return found


def _check_database(connection: BaseDatabaseWrapper) -> list[CheckMessage]:
    if _dialect(connection) is None:
        return [
            Error(
                f"Append-only tables are not guarded on {connection.vendor}.",
                hint="Use SQLite, or add the vendor to core.database.triggers.DIALECTS.",
                id="templatemgr.E002",
            )
        ]
    try:
        names = missing(connection)
    except DatabaseError:  # not there yet: `migrate` comes first, and says so itself
        return []
    found: list[CheckMessage] = []
    if names:
        found.append(
            Error(
                f"Append-only tables can be changed: {', '.join(names)} missing.",
                hint="Run `manage.py migrate`: it installs them again.",
                id="templatemgr.E001",
            )
        )
    if connection.vendor == "sqlite" and not _recursive(connection):
        found.append(
            Error(
                "INSERT OR REPLACE gets past the append-only triggers.",
                hint="Put `PRAGMA recursive_triggers=ON` into OPTIONS.init_command.",
                id="templatemgr.E003",
            )
        )
    return found


def _recursive(connection: BaseDatabaseWrapper) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA recursive_triggers")
        return bool(cursor.fetchone()[0])
