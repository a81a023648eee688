"""Rehash versions against their manifests, and record their damage.

Versions share files by hard link, so a byte that changes in one version changes in all versions
that share the file. Verification reads each inode once. It quarantines every version, of every
template, that holds a bad inode.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict

from django.db import DatabaseError, transaction
from django.db.models import F
from django.utils import timezone

from core.engine import WakeKind, wake_on_commit
from templatemgr import audit, catalog, data_paths, store
from templatemgr.integrity import backoff, compile_caches, inspection, sources, spares
from templatemgr.integrity.inspection import RECORDED, Doubt, Inspection, Reader
from templatemgr.models import HealthState, Version, VersionHealth
from templatemgr.trees import foreign, listing
from templatemgr.trees.manifests import Inode, Manifest, Problem

logger = logging.getLogger(__name__)
MAX_PROBLEMS = 1000
AUTOMATIC = ("schedule", "start")  # actors that repeat without a person


def verify(
    *, template: str, version: int, actor: str, reader: Reader | None = None
) -> VersionHealth:
    """Rehash one version's tree, cache, inputs and objects, and record the findings.

    A version with a sound tree becomes verified, also if it was quarantined before and if there are
    doubts about the rest; a retired version stays retired. Otherwise the version is quarantined,
    and every version that shares a bad file with it. A damaged cache is removed before this
    returns. Raises UnknownTemplateError, UnknownVersionError, and HashingError from the reader; if
    it raises, nothing is recorded.
    """
    row = catalog.get_version(template=template, number=version)
    if getattr(row, "health", None) is None:
        with transaction.atomic():
            row.health = _health(row)
    found = inspection.inspect(row, reader)
    if compile_caches.damaged(found):
        try:
            with store.locked(data_paths.store_lock()):
                found = compile_caches.take_away(row, found)
        except OSError as error:  # the lock cannot be taken
            found = compile_caches.stuck(found, error)
    sharers = _sharers(row, found.bad)
    before = row.health.state, row.health.problems, row.health.doubts
    with transaction.atomic():
        health = record(row, found, actor)
        details = {"state": health.state, "problems": len(found.problems)}
        details |= {"doubts": len(found.doubts)} if found.doubts else {}
        same = before == (health.state, health.problems, health.doubts)
        if not (same and actor in AUTOMATIC):  # an unchanged result, every hour, is no event
            audit.append(actor=actor, action="version.verify", object=str(row), details=details)
        for other, problems in sharers:
            quarantine(other, problems, actor, because=str(row))
    return health


def record(version: Version, found: Inspection, actor: str) -> VersionHealth:
    """Record an inspection, after `compile_caches.take_away`, in the caller's transaction."""
    if found.problems:
        health = quarantine(version, list(found.problems), actor, because=str(version))
    else:
        health = mark_whole(version, actor)
    return note(health, found)


def condemn(*, version: Version, actor: str, reason: str) -> VersionHealth:
    """Quarantine a version that could not be inspected, with the reason as its problem."""
    problem = Problem(path=".", problem="unreadable", detail=reason)
    with transaction.atomic():
        return quarantine(version, [problem], actor, because=str(version))


def keep_health_rows() -> list[VersionHealth]:
    """Make a health row for each version that lost it: quarantined until it is read again."""
    with transaction.atomic():
        return [_health(version) for version in Version.objects.filter(health=None)]


def _health(version: Version) -> VersionHealth:
    """Return the health row of a version, locked, in the caller's transaction; make a lost one."""
    try:
        return VersionHealth.objects.select_for_update().get(version=version)
    except VersionHealth.DoesNotExist:
        logger.error("the health of version %s is lost", version.pk)
        problem = Problem(path=".", problem="unreadable", detail="its health row was lost")
        return VersionHealth.objects.create(
            version=version,
            state=HealthState.QUARANTINED,
            checked_at=timezone.now(),
            checked_by="system",
            problems=[_problem(problem)],
            retry_at=timezone.now(),
        )


def note(health: VersionHealth, found: Inspection) -> VersionHealth:
    """Record the doubts about a version; if there is nothing wrong, record its fingerprint."""
    inputs = _inputs_doubted(health.doubts), any(d.part == "inputs" for d in found.doubts)
    stuck = compile_caches.is_stuck(health)
    health.doubts = [_shown(doubt) for doubt in found.doubts[:MAX_PROBLEMS]]
    fields = ["doubts", "record"]
    health.record = "" if found.problems or found.doubts else found.fingerprint
    if health.state == HealthState.VERIFIED:
        if found.doubts and health.retry_at is None:
            health.retry_at = timezone.now() + backoff.FIRST
        elif not found.doubts:
            health.retry_at, health.tries, health.message = None, 0, ""
        fields += ["retry_at", "tries", "message"]
    health.save(update_fields=fields)
    if stuck != compile_caches.is_stuck(health):  # sandboxes that loaded it are not used
        VersionHealth.objects.filter(pk=health.pk).update(epoch=F("epoch") + 1)
        wake_on_commit(WakeKind.PROMOTION)
    if inputs[0] != inputs[1]:  # values read from damaged inputs become invalid
        VersionHealth.objects.filter(pk=health.pk).update(epoch=F("epoch") + 1)
        wake_on_commit(WakeKind.PROMOTION)
    if health.record and found.manifest is not None:
        _spare(health.version, found.manifest)
    return health


def verify_all(*, actor: str, template: str | None = None) -> list[VersionHealth]:
    """Verify every version, or those of one template, oldest first; each inode is read once.

    A version that cannot be inspected is quarantined with the reason; the others are still read.
    """
    reader = Reader()
    rows = Version.objects.select_related("template").order_by("template__name", "number")
    if template is not None:
        rows = rows.filter(template=catalog.get(name=template))
    return [verify_one(version=row, actor=actor, reader=reader) for row in rows]


def verify_one(*, version: Version, actor: str, reader: Reader | None = None) -> VersionHealth:
    """Verify one of several versions. Raises DatabaseError only; other errors quarantine it."""
    row = version
    try:
        return verify(template=row.template.name, version=row.number, actor=actor, reader=reader)
    except DatabaseError:
        raise
    except Exception as error:
        logger.exception("%s could not be verified", row)
        return condemn(version=row, actor=actor, reason=foreign.reason(error))


def needed_objects() -> set[str]:
    """Return the names of all stored objects that versions need, except removed versions.

    A tree that lost a file is healed from the object, so the object must not be collected.
    """
    kept = Version.objects.select_related("template").exclude(health__state=HealthState.RETIRED)
    found: set[str] = set()
    for version in kept:
        manifest = sources.manifest(version)
        if manifest is None:  # it may need any object
            return {path.name for path in data_paths.objects().glob("*/*")}
        found.update(entry.key for entry in manifest.files)
    return found


def _sharers(
    version: Version, bad: Mapping[str, frozenset[Inode]]
) -> list[tuple[Version, list[Problem]]]:
    """Return the other versions that hold a bad inode, each with the paths of this inode.

    Inode numbers are compared, so a version with its own copy of the file is not included. A
    version that cannot be inspected is skipped: its own verification finds the reason.
    """
    if not bad:
        return []
    found = [(other, _shared_or_why(other, bad)) for other in sources.neighbours(version)]
    return [(other, problems) for other, problems in found if problems]


def _shared_or_why(version: Version, bad: Mapping[str, frozenset[Inode]]) -> list[Problem]:
    """Return the paths of bad inodes, or why they are not known, as a finding on this version."""
    try:
        return _shared_paths(version, bad)
    except DatabaseError:
        raise
    except Exception as error:
        logger.exception("%s could not be searched for shared files", version)
        return [Problem(path=".", problem="unreadable", detail=foreign.reason(error))]


def _shared_paths(version: Version, bad: Mapping[str, frozenset[Inode]]) -> list[Problem]:
    tree = data_paths.version(version) / "tree"
    manifest = sources.manifest(version)
    inodes = frozenset().union(*bad.values())
    if manifest is not None:
        paths: Iterable[str] = [entry.path for entry in manifest.files if entry.digest in bad]
    else:  # without a manifest, look at every file
        paths = listing.walk(tree).found
    seen = ((path, listing.look(tree / path)) for path in paths)
    return [
        Problem(path=path, problem="changed")
        for path, there in seen
        if there is not None and (there.info.st_dev, there.info.st_ino) in inodes
    ]


def remember(version: Version, manifest: Manifest) -> None:
    """Record the fingerprint of a new version, and keep its spare copies."""
    fingerprint = listing.fingerprint(data_paths.version(version), RECORDED)
    VersionHealth.objects.filter(version=version).update(record=fingerprint)
    _spare(version, manifest)


def _spare(version: Version, manifest: Manifest) -> None:
    """Keep spare copies of a sound manifest and sound inputs; a failure is only logged."""
    home, inputs = data_paths.version(version), version.definition_digest
    try:
        spares.keep(data_paths.data(), home, manifest=manifest, inputs=inputs)
    except OSError as error:
        logger.warning(
            "%s: cannot keep spare copies of its manifest and inputs: %s", version, error
        )


def _shown(doubt: Doubt) -> dict[str, str]:
    shown = {key: foreign.printable(str(value)) for key, value in asdict(doubt).items()}
    return shown if doubt.detail else {k: v for k, v in shown.items() if k != "detail"}


def _inputs_doubted(doubts: Iterable[Mapping[str, str]]) -> bool:
    return any(doubt["part"] == "inputs" for doubt in doubts)


def not_healed(version: Version, reason: str, actor: str) -> None:
    """Record why a version stays quarantined, in its health and in the audit trail."""
    reason = foreign.printable(reason)
    with transaction.atomic():
        fresh = VersionHealth.objects.filter(version=version).exclude(message=reason)
        if fresh.update(message=reason):  # a repeated failure for the same reason is no event
            details = {"reason": reason}
            audit.append(
                actor=actor, action="version.heal_failed", object=str(version), details=details
            )


def mark_whole(version: Version, actor: str) -> VersionHealth:
    """Record a sound tree, in the caller's transaction. A retired version stays retired."""
    health = _health(version)
    if health.state == HealthState.QUARANTINED:
        health.state, health.message = HealthState.VERIFIED, ""
        health.retry_at, health.tries = None, 0
        wake_on_commit(WakeKind.PROMOTION)
    return _save(health, actor, [])


def quarantine(
    version: Version, problems: list[Problem], actor: str, *, because: str
) -> VersionHealth:
    """Stop serving this version until a later verification finds it whole.

    Runs in the caller's transaction. Healing is due a few seconds later.
    """
    health = _health(version)
    before = health.state
    health.state = HealthState.QUARANTINED
    listed = [_problem(problem) for problem in problems[:MAX_PROBLEMS]]
    if before != HealthState.QUARANTINED or health.retry_at is None:
        health.retry_at, health.tries = timezone.now() + backoff.FIRST, 0
    health.record = ""
    _save(health, actor, listed)
    if before != HealthState.QUARANTINED:
        VersionHealth.objects.filter(pk=health.pk).update(epoch=F("epoch") + 1)
        wake_on_commit(WakeKind.PROMOTION)
        details = {"problems": len(problems), "first": listed[0], "found_in": because}
        audit.append(actor=actor, action="version.quarantine", object=str(version), details=details)
    return health


def _problem(problem: Problem) -> dict[str, str]:
    shown = {"path": foreign.printable(problem.path), "problem": problem.problem}
    return {**shown, "detail": foreign.printable(problem.detail)} if problem.detail else shown


def _save(health: VersionHealth, actor: str, problems: list[dict[str, str]]) -> VersionHealth:
    health.checked_at, health.checked_by, health.problems = timezone.now(), actor, problems
    fields = ["state", "checked_at", "checked_by", "problems", "message"]
    health.save(update_fields=[*fields, "record", "retry_at", "tries"])
    return health
