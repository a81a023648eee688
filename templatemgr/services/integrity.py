"""Rehash versions against their manifests, and quarantine what does not match.

One inode, many versions: versions share files by hard link, so a byte that changed in place
changed in all of them. Verification reads each inode once and quarantines every version, of
every template, that holds a bad one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from templatemgr import audit
from templatemgr import definition as definitions
from templatemgr import manifest as manifests
from templatemgr.definition import DefinitionError
from templatemgr.hashing import Hasher, look_at_all
from templatemgr.manifest import Inode, Manifest, ManifestError, Problem, Reading
from templatemgr.models import HealthState, Version, VersionHealth
from templatemgr.services import catalog, places

MAX_PROBLEMS = 1000


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What is wrong with a version, and the manifests' words for the objects that are bad."""

    problems: tuple[Problem, ...]
    bad: Mapping[str, frozenset[Inode]]  # content hash → inodes that should hold it


@dataclass(frozen=True, kw_only=True)
class Reader:
    """How files are read: by what, and what was read already.

    To be kept for minutes only: a byte that a disk flips leaves the time of the last change alone.
    """

    hasher: Hasher = look_at_all
    known: dict[Reading, str] = field(default_factory=dict)


def verify(
    *, template: str, version: int, actor: str, reader: Reader | None = None
) -> VersionHealth:
    """Rehash one version's tree, cache and inputs, and record what was found.

    With nothing wrong it is verified, also when it was quarantined before (retired stays so);
    else it is quarantined, and so is every version that shares a bad file with it. Raises
    UnknownTemplateError, UnknownVersionError, and what the reader raises: then nothing is recorded.
    """
    row = catalog.get_version(template=template, number=version)
    found = inspect(row, reader)
    sharers = _sharers(row, found.bad)
    with transaction.atomic():
        health = _record(row, found.problems, actor)
        for other, problems in sharers:
            quarantine(other, problems, actor, because=str(row))
    return health


def verify_all(*, actor: str, template: str | None = None) -> list[VersionHealth]:
    """Verify every version, or those of one template, oldest first; each inode is read once."""
    reader = Reader()
    rows = Version.objects.order_by("template__name", "number")
    if template is not None:
        rows = rows.filter(template=catalog.get(name=template))
    wanted = rows.values_list("template__name", "number")
    return [
        verify(template=name, version=number, actor=actor, reader=reader) for name, number in wanted
    ]


def inspect(version: Version, reader: Reader | None = None) -> Inspection:
    """Compare a version on disk with what its row and its manifests say. Changes nothing."""
    reader = reader or Reader()
    home = places.version(version)
    if version.health.state == HealthState.RETIRED and not (home / "tree").exists():
        return Inspection(problems=(), bad={})  # removed on purpose
    problems: list[Problem] = []
    bad: dict[str, set[Inode]] = {}
    for folder, file, digest in (
        ("tree", "manifest.json.gz", version.tree_digest),
        ("cache", "cache-manifest.json.gz", version.health.cache_digest or version.cache_digest),
    ):
        manifest = sealed_manifest(home / file, digest)
        if manifest is None:
            problems.append(Problem(path=file, problem="changed"))
            continue
        hashes = {entry.path: entry.digest for entry in manifest.files}
        for problem in manifests.compare(manifest, home / folder, reader.known, reader.hasher):
            if problem.inode is not None:
                bad.setdefault(hashes[problem.path], set()).add(problem.inode)
            prefix = "" if folder == "tree" else f"{folder}/"
            problems.append(Problem(path=prefix + problem.path, problem=problem.problem))
    if not inputs_sound(home / "inputs", version.definition_digest):
        problems.append(Problem(path="inputs", problem="changed"))
    frozen = {digest: frozenset(inodes) for digest, inodes in bad.items()}
    return Inspection(problems=tuple(problems), bad=frozen)


def sealed_manifest(file: Path, digest: str) -> Manifest | None:
    """Read a manifest and prove it against the row; None when it is not the one that was sealed."""
    try:
        manifest = manifests.load(file.read_bytes())
    except (OSError, ManifestError):
        return None
    return manifest if manifest.digest() == digest else None


def needed_objects() -> set[str]:
    """Return the names of all stored objects that versions are made of, but for removed ones.

    A tree that lost a file is healed from its object, so that this one must not be collected.
    """
    kept = Version.objects.select_related("template").exclude(health__state=HealthState.RETIRED)
    found: set[str] = set()
    for version in kept:
        file = places.version(version) / "manifest.json.gz"
        manifest = sealed_manifest(file, version.tree_digest)
        found.update(entry.key for entry in (manifest.files if manifest else ()))
    return found


def inputs_sound(inputs: Path, digest: str) -> bool:
    """Whether kept inputs are those that the row's definition digest was made of."""
    try:
        return definitions.digest(inputs) == digest
    except (OSError, DefinitionError):
        return False


def _sharers(
    version: Version, bad: Mapping[str, frozenset[Inode]]
) -> list[tuple[Version, list[Problem]]]:
    """Return the other versions that hold a bad inode, each with the paths it has there.

    Manifests say where to look, inode numbers prove it: a version with a copy of its own, or a
    file that was replaced in one tree only, is not concerned.
    """
    if not bad:
        return []
    others = Version.objects.select_related("template", "health").exclude(pk=version.pk)
    found = ((other, list(_shared_paths(other, bad))) for other in others)
    return [(other, problems) for other, problems in found if problems]


def _shared_paths(version: Version, bad: Mapping[str, frozenset[Inode]]) -> Iterable[Problem]:
    home = places.version(version)
    manifest = sealed_manifest(home / "manifest.json.gz", version.tree_digest)
    for entry in manifest.files if manifest else ():
        inodes = bad.get(entry.digest)
        if inodes and _inode(home / "tree" / entry.path) in inodes:
            yield Problem(path=entry.path, problem="changed")


def _inode(path: Path) -> Inode | None:
    try:
        info = path.lstat()
    except OSError:
        return None
    return info.st_dev, info.st_ino


def _record(version: Version, problems: tuple[Problem, ...], actor: str) -> VersionHealth:
    if problems:
        health = quarantine(version, list(problems), actor, because=str(version))
    else:
        health = mark_whole(version, actor)
    audit.append(
        actor=actor,
        action="version.verify",
        object=str(version),
        details={"state": health.state, "problems": len(problems)},
    )
    return health


def not_healed(version: Version, reason: str, actor: str) -> None:
    """Keep the reason beside a version that stays quarantined, and in the audit trail."""
    with transaction.atomic():
        VersionHealth.objects.filter(version=version).update(message=reason)
        details = {"reason": reason}
        audit.append(
            actor=actor, action="version.heal_failed", object=str(version), details=details
        )


def mark_whole(version: Version, actor: str) -> VersionHealth:
    """Record that nothing is wrong; a retired version stays so. In the caller's transaction."""
    health = VersionHealth.objects.select_for_update().get(version=version)
    if health.state == HealthState.QUARANTINED:
        health.state, health.message = HealthState.VERIFIED, ""
    return _save(health, actor, [])


def quarantine(
    version: Version, problems: list[Problem], actor: str, *, because: str
) -> VersionHealth:
    """Never serve this version again, unless a later verification finds it whole.

    In the caller's transaction.
    """
    health = VersionHealth.objects.select_for_update().get(version=version)
    before = health.state
    health.state = HealthState.QUARANTINED
    listed = [{"path": p.path, "problem": p.problem} for p in problems[:MAX_PROBLEMS]]
    _save(health, actor, listed)
    if before != HealthState.QUARANTINED:
        VersionHealth.objects.filter(pk=health.pk).update(epoch=F("epoch") + 1)
        details = {"problems": len(problems), "first": listed[0], "found_in": because}
        audit.append(actor=actor, action="version.quarantine", object=str(version), details=details)
    return health


def _save(health: VersionHealth, actor: str, problems: list[dict[str, str]]) -> VersionHealth:
    health.checked_at, health.checked_by, health.problems = timezone.now(), actor, problems
    health.save(update_fields=["state", "checked_at", "checked_by", "problems", "message"])
    return health
