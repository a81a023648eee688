"""Heal a quarantined version: from the store if the bytes are there, else by a rebuild.

A rebuild of the kept inputs writes new inodes. They replace the bad objects and then every link to
them, in every version that shares them. A version that cannot be healed stays quarantined, with the
reason in its health.
"""

import contextlib
from collections.abc import Callable
from datetime import timedelta

from django.utils import timezone

from templatemgr import catalog, data_paths, store
from templatemgr.build import builds
from templatemgr.errors import NotHealedError, TemplateError
from templatemgr.integrity import (
    checking,
    compile_caches,
    data_directory,
    inspection,
    repair,
    spares,
)
from templatemgr.models import (
    FINAL_STATES,
    Build,
    BuildKind,
    BuildState,
    HealthState,
    Severity,
    Version,
    VersionHealth,
    unsafe_rows,
)
from templatemgr.trees import foreign

AUTOMATIC = "schedule"  # the actor of the schedule
ANOTHER_REBUILD = timedelta(days=1)

NO_INPUTS = (
    "its kept inputs are damaged, and neither the definition folder nor another version has the "
    "same: restore them from a backup"
)


def heal(
    *,
    template: str,
    version: int,
    actor: str,
    worker: str,
    on_line: Callable[[str, str, str], None] | None = None,
) -> VersionHealth:
    """Verify a version, and heal it and all versions that share its bad files, in this process.

    Return its health, which is verified and lists remaining doubts. Raises UnknownTemplateError,
    UnknownVersionError, and NotHealedError with the reason, which the health's `message` keeps.
    """
    health = checking.verify(template=template, version=version, actor=actor)
    row = health.version
    if health.state == HealthState.RETIRED:
        message = f"{row} was removed: a rebuild from it brings it back."
        raise NotHealedError(message, version=version)
    if health.severity == Severity.NONE:
        return health
    repaired = _repair(row, actor, slot=worker)
    health.refresh_from_db()
    if health.state == HealthState.VERIFIED:
        return health
    try:
        build = request(template=template, version=version, actor=actor, wake=False)
        claimed = builds.claim(worker=worker, build_id=build.pk)
        if claimed is not None:
            build = builds.run(build=claimed, worker=worker, on_line=on_line)
    except TemplateError as error:
        raise _not_healed(row, _joined(repaired.reason, error.message), actor) from error
    health = VersionHealth.objects.select_related("version__template").get(version=row)
    if health.state != HealthState.VERIFIED:
        reason = build.message or f"another process builds it now: build {build.pk}"
        raise NotHealedError(f"{row} stays quarantined: {reason}", version=row.number)
    return health


def heal_or_queue_rebuild(*, version: Version, actor: str, slot: str = "heal") -> Build | None:
    """Heal a version from this disk now, else queue a rebuild; do not wait for the rebuild.

    Return the build, or None if the tree is whole. If this version cannot be rebuilt, the build may
    be one of a version that shares the damage. Raises NotHealedError, with the reason on record, if
    there are no inputs to rebuild from, or if a rebuild failed lately and no person asks again.
    """
    repaired = _repair(version, actor, slot=slot)
    if VersionHealth.objects.filter(version=version, state=HealthState.VERIFIED).exists():
        return None
    try:
        return _awaited(version, repaired.reason, _rebuild(version, actor))
    except TemplateError as error:
        failed = _not_healed(version, _joined(repaired.reason, error.message), actor)
    # Rebuilding a version that shares the bad files replaces them in all versions.
    others = Version.objects.select_related("template", "health").exclude(pk=version.pk)
    for other in others.filter(unsafe_rows()).order_by("pk"):
        with contextlib.suppress(TemplateError):
            return _awaited(version, repaired.reason, _rebuild(other, actor))
    raise failed


def _awaited(version: Version, reason: str, build: Build) -> Build:
    """Record why a version waits for a build, and return the build."""
    text = foreign.printable(_joined(reason, f"build {build.pk} is queued to make its files again"))
    VersionHealth.objects.filter(version=version).update(message=text)
    return build


def _repair(version: Version, actor: str, *, slot: str) -> repair.RepairResult:
    """Repair a version and all other quarantined versions from the disk; then fill its cache."""
    row = Version.objects.select_related("template", "health").get(pk=version.pk)
    data_directory.repair()
    with store.locked(data_paths.store_lock()):
        repaired = repair.repair_from_store(row, actor=actor, because="store")
        repair.repair_all(actor=actor, because="store", but=row)
    row.health.refresh_from_db()
    if repaired.whole and any(doubt["part"] == "cache" for doubt in row.health.doubts):
        try:
            compile_caches.refill(version=row, slot=slot)
        except NotHealedError as error:
            checking.not_healed(row, error.message, actor)
        else:
            VersionHealth.objects.filter(version=row).update(message="")
            repaired = repair.repair_again(row, actor=actor)
    elif repaired.whole and repaired.reason and row.health.doubts:
        checking.not_healed(row, repaired.reason, actor)
    return repaired


def _rebuild(version: Version, actor: str) -> Build:
    """Return the rebuild that heals a version: an open build, or a new one."""
    mine = Build.objects.filter(template=version.template, options__heal=version.number)
    coming = mine.exclude(state__in=FINAL_STATES).first()
    if coming is not None:
        return coming
    last = mine.order_by("-created_at", "-pk").first()
    if actor == AUTOMATIC and last is not None and _in_vain(last):
        reason = last.message.splitlines()[0] if last.message else "it failed"
        message = f"the last rebuild failed, and another would fail, too: {reason}"
        raise NotHealedError(message, version=version.number)
    return request(template=version.template.name, version=version.number, actor=actor)


def _in_vain(build: Build) -> bool:
    """Return whether a rebuild failed within a day for a reason that does not pass by itself.

    Reasons that pass: a registry that is down, a full disk, a process that was killed.
    """
    if build.state != BuildState.FAILED or build.step != BuildState.SMOKE:
        return False
    lately = build.created_at > timezone.now() - ANOTHER_REBUILD
    return lately and "disk is full" not in build.message


def _joined(*reasons: str) -> str:
    return "; ".join(reason for reason in reasons if reason)


def request(*, template: str, version: int, actor: str, wake: bool = True) -> Build:
    """Queue the rebuild that heals a version, from inputs proven to be its own.

    Without `wake` the caller claims it at once.
    Raises UnknownTemplateError, UnknownVersionError, NotHealedError when there are none.
    """
    row = catalog.get_version(template=template, number=version)
    return builds.request(
        template=template,
        kind=BuildKind.REBUILD,
        actor=actor,
        from_version=_source(row),
        heal=version,
        wake=wake,
    )


def _source(row: Version) -> int | None:
    """Return the number of a version whose inputs are sound and the same; None: the definition."""
    if row.directory != row.folder:
        message = f"{row} cannot be rebuilt: {inspection.MISPLACED}."
        raise NotHealedError(message, version=row.number)
    same = Version.objects.select_related("template", "health").filter(
        template=row.template, definition_digest=row.definition_digest
    )
    # Its own come first.
    for version in sorted(same, key=lambda other: other.pk != row.pk):
        if spares.inputs_sound(data_paths.version(version) / "inputs", row.definition_digest):
            return version.number
    if spares.inputs_sound(data_paths.definition(row.template.name), row.definition_digest):
        return None
    message = f"{row} cannot be rebuilt: {NO_INPUTS}."
    raise NotHealedError(message, version=row.number)


def _not_healed(row: Version, reason: str, actor: str) -> NotHealedError:
    checking.not_healed(row, reason, actor)
    return NotHealedError(f"{row} stays quarantined: {reason}", version=row.number)
