"""Rehash versions against their manifests, and quarantine what does not match."""

from templatemgr.models import VersionHealth


def verify(*, template: str, version: int, actor: str) -> VersionHealth:
    """Rehash one version and record what was found."""
    raise NotImplementedError
