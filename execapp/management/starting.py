"""What the long-lived commands ask before they start."""

from django.core.management.base import CommandError
from django.db import DatabaseError

from execapp.services import schema


def require_schema() -> None:
    """CommandError with the remedy unless the database's schema fits this code."""
    try:
        schema.require()
    except schema.SchemaError as error:
        raise CommandError(str(error)) from error
    except DatabaseError as error:
        message = f"The database cannot be read: {error}. `manage.py doctor` says more."
        raise CommandError(message) from error
