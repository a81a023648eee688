"""Where a sound copy of a version's manifest, inputs or files can be had from.

Each candidate is proven by its digest before it is used, and one that cannot be read is passed
over: another version's trouble is its own.
"""

from collections.abc import Iterator
from pathlib import Path

from templatemgr import data_paths
from templatemgr.integrity import spares
from templatemgr.models import HealthState, Version
from templatemgr.trees.manifests import Manifest, ManifestError

MANIFEST, CACHE_MANIFEST = "manifest.json.gz", "cache-manifest.json.gz"


def manifest(version: Version) -> Manifest | None:
    """Return a version's manifest from wherever a sound one lies; None when there is none."""
    for file in _manifests(version):
        try:
            return spares.prove_manifest(file, version.tree_digest)
        except ManifestError:
            continue
    return None


def inputs(version: Version) -> Path | None:
    """Return a folder with a version's inputs, proven to be its own; its own come first."""
    for folder in _inputs(version):
        if spares.inputs_sound(folder, version.definition_digest):
            return folder
    return None


def other_inputs(version: Version) -> Path | None:
    """The same from anywhere but the version's own folder."""
    own = data_paths.version(version) / "inputs"
    for folder in _inputs(version):
        if folder != own and spares.inputs_sound(folder, version.definition_digest):
            return folder
    return None


def definition(version: Version) -> Path | None:
    """Return a folder with a version's definition, to run it by; the spare counts, too."""
    spare = spares.definition_folder(data_paths.data(), version.definition_digest)
    if spares.inputs_sound(spare, version.definition_digest):
        return spare
    return inputs(version)


def neighbours(version: Version) -> list[Version]:
    """Return the other versions that are on disk, of every template: those of the same first."""
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
