"""Database connections of long-lived threads: each thread has one of its own."""

from django.db import connection


def release() -> None:
    """Close this thread's connection. Call it at the end of every thread that used one."""
    connection.close()


def release_between_waits() -> None:
    """Close this thread's connection before a long wait, unless a transaction is open on it."""
    if not connection.in_atomic_block:
        connection.close()
