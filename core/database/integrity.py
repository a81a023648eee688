"""The check of a whole database for damage."""

from django.db import connection

from core.database.vendors import VENDORS


def vendor_name() -> str:
    """Return the vendor of the default database, as Django names it."""
    return connection.vendor


def problems() -> list[str] | None:
    """Read every page of the default database; return its damage, worst first.

    None if the vendor has its own tools for it. Raises django.db.DatabaseError if it is unreadable.
    """
    vendor = VENDORS.get(connection.vendor)
    if vendor is None or vendor.integrity_problems is None:
        return None
    with connection.cursor() as cursor:
        return vendor.integrity_problems(cursor)
