"""The checks of the long-lived commands before they start."""

from django.core.management.base import CommandError
from django.db import DatabaseError

from execapp.services import schema


def require_schema() -> None:
    """Raise CommandError with the remedy unless the database's schema fits this code."""
    try:
        schema.require()
    except schema.SchemaError as error:
        raise CommandError(str(error)) from error
    except DatabaseError as error:
        message = f"The database cannot be read: {error}. Run `manage.py doctor` for details."
        raise CommandError(message) from error
