"""Does the database's schema fit this code? Asked at start and by `/readyz`."""

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.db.migrations.loader import MigrationLoader

SHOWN = 3


class SchemaError(ImproperlyConfigured):
    """The schema does not fit the code; the message says which way, and the remedy."""


def misfit() -> str | None:
    """Return a sentence that says what does not fit and what to do, or None. DatabaseError."""
    loader = MigrationLoader(connection, ignore_no_migrations=True)
    known, applied = set(loader.disk_migrations), set(loader.applied_migrations)
    ours = {app.rpartition(".")[2] for app in settings.INSTALLED_APPS}
    missing = sorted(known - applied - {key for key in known if _replaced(loader, key)})
    if missing:
        return (
            f"The database is older than this code, which needs {_shown(missing)}: run "
            "`manage.py migrate` (`make up` does), with no other Stencil running on it."
        )
    ahead = sorted(key for key in applied - known if key[0] in ours)
    if ahead:
        return (
            f"The database is newer than this code, which does not know {_shown(ahead)}: install "
            "the release that made it, or restore the data of this release."
        )
    return None


def require() -> None:
    """Raise SchemaError unless the schema fits the code. DatabaseError if it cannot be read."""
    found = misfit()
    if found is not None:
        raise SchemaError(found)


def _replaced(loader: MigrationLoader, key: tuple[str, str]) -> bool:
    """Whether a migration is squashed away: its replacement stands for it."""
    return any(key in migration.replaces for migration in loader.replacements.values())


def _shown(keys: list[tuple[str, str]]) -> str:
    names = [f"{app} {name}" for app, name in keys[:SHOWN]]
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return ", ".join(names) + more
