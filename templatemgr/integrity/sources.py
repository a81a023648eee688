"""Find a sound copy of a version's manifest, inputs or definition.

The digest of each candidate is checked before it is used. A candidate that cannot be read is
skipped.
"""

from collections.abc import Iterator
from pathlib import Path

from templatemgr import data_paths
from templatemgr.integrity import spares
from templatemgr.models import HealthState, Version
from templatemgr.trees.manifests import Manifest, ManifestError

MANIFEST, CACHE_MANIFEST = "manifest.json.gz", "cache-manifest.json.gz"


def manifest(version: Version) -> Manifest | None:
    """Return a version's manifest from any sound copy, or None."""
    for file in _manifests(version):
        try:
            return spares.prove_manifest(file, version.tree_digest, files=version.file_count)
        except ManifestError:
            continue
    return None


def inputs(version: Version) -> Path | None:
    """Return a folder with sound inputs of a version, its own first, or None."""
    for folder in _inputs(version):
        if spares.inputs_sound(folder, version.definition_digest):
            return folder
    return None


def other_inputs(version: Version) -> Path | None:
    """Return a folder with sound inputs of a version outside of its own folder, or None."""
    own = data_paths.version(version) / "inputs"
    for folder in _inputs(version):
        if folder != own and spares.inputs_sound(folder, version.definition_digest):
            return folder
    return None


def definition(version: Version) -> Path | None:
    """Return a folder with a sound definition to run a version with, or None. Spares count."""
    spare = spares.definition_folder(data_paths.data(), version.definition_digest)
    if spares.inputs_sound(spare, version.definition_digest):
        return spare
    return inputs(version)


def neighbours(version: Version) -> list[Version]:
    """Return the other versions on disk, of every template; those of the same template first."""
    rows = Version.objects.select_related("template", "health").exclude(pk=version.pk)
    kept = rows.exclude(health__state=HealthState.RETIRED)
    return sorted(kept, key=lambda row: (row.template_id != version.template_id, row.pk))


def _manifests(version: Version) -> Iterator[Path]:
    yield data_paths.version(version) / MANIFEST
    yield spares.manifest_file(data_paths.data(), version.tree_digest)
    for row in neighbours(version):
        if row.tree_digest == version.tree_digest:
            yield data_paths.version(row) / MANIFEST


def _inputs(version: Version) -> Iterator[Path]:
    yield data_paths.version(version) / "inputs"
    same = Version.objects.select_related("template").filter(
        template=version.template, definition_digest=version.definition_digest
    )
    for row in same.exclude(pk=version.pk):
        yield data_paths.version(row) / "inputs"
    yield data_paths.definition(version.template.name)
