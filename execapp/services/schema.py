"""Compare the schema of the database with this code, at the start and for `/readyz`."""

from functools import cache

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

SHOWN = 3


class SchemaError(ImproperlyConfigured):
    """The schema does not fit the code; the message names the older one and the remedy."""


def misfit() -> str | None:
    """Return the difference and the remedy as a sentence, or None. Raise DatabaseError."""
    known = _known()
    applied = set(MigrationRecorder.Migration.objects.values_list("app", "name"))
    ours = {app.rpartition(".")[2] for app in settings.INSTALLED_APPS}
    missing = sorted(known - applied)
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
    """Raise SchemaError unless the schema fits, DatabaseError if it cannot be read."""
    found = misfit()
    if found is not None:
        raise SchemaError(found)


@cache
def _known() -> frozenset[tuple[str, str]]:
    """Return the migrations of this code; for a squashed migration, the replaced ones."""
    loader = MigrationLoader(None, ignore_no_migrations=True)
    return frozenset(loader.disk_migrations) - frozenset(loader.replacements)


def _shown(keys: list[tuple[str, str]]) -> str:
    names = [f"{app} {name}" for app, name in keys[:SHOWN]]
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return ", ".join(names) + more
