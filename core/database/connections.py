"""Database connections of long-lived threads: each thread has one of its own."""

from contextlib import suppress

from django.db import DatabaseError, connection


def hold() -> None:
    """Open this thread's connection now, if the database can be reached; `release` it at the end.

    A thread that opens it later may find no descriptor for it.
    """
    with suppress(DatabaseError):
        connection.ensure_connection()


def release() -> None:
    """Close this thread's connection. Call it at the end of every thread that used one."""
    connection.close()


def release_between_waits() -> None:
    """Close this thread's connection before a long wait, unless a transaction is open on it."""
    if not connection.in_atomic_block:
        connection.close()
