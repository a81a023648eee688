"""Paths below STENCIL_DATA. Settings are read at each call, never at import."""

import uuid
from pathlib import Path

from django.conf import settings

from templatemgr.models import Version


def data() -> Path:
    """Return the data directory."""
    return Path(settings.STENCIL_DATA)


def store_lock() -> Path:
    """Return the file whose lock orders sealing, publishing and collection."""
    return data() / "store.lock"


def objects() -> Path:
    """Return the folder of sealed files by content."""
    return data() / "objects"


def aside() -> Path:
    """Return the folder for unexpected entries that were moved aside, kept for an admin."""
    return data() / "aside"


def spares() -> Path:
    """Return the folder of spare copies of manifests and definitions."""
    return data() / "spares"


def refills() -> Path:
    """Return the folder in which caches are filled again; the sweep does not empty it."""
    return data() / "refills"


def downloads(builder: str) -> Path:
    """Return the folder of downloads that a builder keeps between builds."""
    return data() / "cache" / builder


def template(name: str) -> Path:
    """Return a template's folder."""
    return data() / "templates" / name


def staging(name: str, build_id: uuid.UUID) -> Path:
    """Return the folder in which a build makes its version."""
    return template(name) / "staging" / str(build_id)


def version(row: Version) -> Path:
    """Return a version's folder, which holds tree/, cache/, inputs/ and the manifests."""
    return template(row.template.name) / row.folder


def definition(name: str) -> Path:
    """Return the folder of a definition."""
    return Path(settings.STENCIL_DEFINITIONS) / name
