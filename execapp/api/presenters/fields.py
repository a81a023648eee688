"""Values that several answers of the API contain."""

from datetime import UTC, datetime
from typing import Any

from templatemgr.models import Version


def rfc3339(value: datetime | None) -> str | None:
    """Return a time in UTC with microseconds: "2026-03-05T12:00:00.000000Z"."""
    if value is None:
        return None
    return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def version_reference(version: Version, template: str) -> dict[str, Any]:
    """Return the name of the template, the number of the version, and its digest."""
    return {"name": template, "version": version.number, "digest": f"sha256:{version.identity}"}
