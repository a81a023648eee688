"""Append-only tables: triggers in the database refuse UPDATE and DELETE.

`migrate` installs the triggers each time, because SQLite drops triggers silently when Django
rebuilds a table. A system check reports a missing trigger. The statements are the vendor's; see
`core.database.vendors`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from core.database.vendors import VENDORS, Vendor

TABLES = ("templatemgr_version", "templatemgr_promotion", "templatemgr_auditevent")
ACTIONS = ("UPDATE", "DELETE")


def install(connection: BaseDatabaseWrapper) -> None:
    """Create the missing triggers of the tables that exist. Safe to repeat."""
    vendor = _vendor(connection)
    if vendor is None:
        return
    present = set(connection.introspection.table_names())
    with connection.cursor() as cursor:
        for name, table, action in _expected():
            if table in present:
                cursor.execute(vendor.create_trigger(name, table, action))


def remove(connection: BaseDatabaseWrapper) -> None:
    """Drop every trigger. Only for tests that flush the database."""
    vendor = _vendor(connection)
    if vendor is None:
        return
    with connection.cursor() as cursor:
        for name, table, _action in _expected():
            cursor.execute(vendor.drop_trigger(name, table))


@contextmanager
def lifted(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Remove the triggers inside of the context. Only for tests."""
    remove(connection)
    try:
        yield
    finally:
        install(connection)


def missing(connection: BaseDatabaseWrapper) -> list[str]:
    """Return the names of the triggers that should exist and do not."""
    vendor = _vendor(connection)
    if vendor is None:
        return []
    tables = set(connection.introspection.table_names())
    with connection.cursor() as cursor:
        cursor.execute(vendor.trigger_names)
        present = {row[0] for row in cursor.fetchall()}
    return [name for name, table, _ in _expected() if table in tables and name not in present]


def install_after_migrate(*, using: str, **_kwargs: Any) -> None:
    """Receive `post_migrate`."""
    install(connections[using])


@register(Tags.database)
def check_triggers(*, databases: Sequence[str] | None = None, **_kwargs: Any) -> list[CheckMessage]:
    """Report unguarded append-only tables. `check --database` and `migrate` run this check."""
    found: list[CheckMessage] = []
    for alias in databases or ():
        found += _check_database(connections[alias])
    return found


def _expected() -> list[tuple[str, str, str]]:
    return [
        (f"{table}_refuse_{action.lower()}", table, action)
        for table in TABLES
        for action in ACTIONS
    ]


def _vendor(connection: BaseDatabaseWrapper) -> Vendor | None:
    return VENDORS.get(connection.vendor)


def _check_database(connection: BaseDatabaseWrapper) -> list[CheckMessage]:
    vendor = _vendor(connection)
    if vendor is None:
        return [
            Error(
                f"Append-only tables are not guarded on {connection.vendor}.",
                hint=f"Use {', '.join(VENDORS)}, or add the vendor to core.database.vendors.",
                id="templatemgr.E002",
            )
        ]
    try:
        names = missing(connection)
    except DatabaseError:  # there are no tables yet: `migrate` itself reports that
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
    with connection.cursor() as cursor:
        gaps = vendor.trigger_gaps(cursor)
    return found + [Error(message, hint=hint, id="templatemgr.E003") for message, hint in gaps]
