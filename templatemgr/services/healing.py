"""Heal a quarantined version: from the store if the bytes are there, else by a rebuild.

A rebuild of the kept inputs writes new inodes, which replace the bad objects and then every link to
them, in every version that shares them. What cannot be healed stays quarantined, with the reason
beside it.
"""

import contextlib
from collections.abc import Callable

from templatemgr import definition as definitions
from templatemgr import store
from templatemgr.definition import DefinitionError
from templatemgr.errors import NotHealedError, TemplateError
from templatemgr.models import FINAL_STATES, Build, BuildKind, HealthState, Version, VersionHealth
from templatemgr.services import builds, catalog, integrity, mending, places

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
    """Verify a version and make it and all that share its bad files whole, here and now.

    Returns its health, verified. Raises UnknownTemplateError, UnknownVersionError, NotHealedError
    with the reason, which the health's `message` keeps.
    """
    health = mend(template=template, version=version, actor=actor)
    if health.state == HealthState.VERIFIED:
        return health
    row = catalog.get_version(template=template, number=version)
    try:
        build = request(template=template, version=version, actor=actor)
        claimed = builds.claim(worker=worker, build_id=build.pk)
        if claimed is not None:
            build = builds.run(build=claimed, worker=worker, on_line=on_line)
    except TemplateError as error:
        raise _not_healed(row, error.message, actor) from error
    health = VersionHealth.objects.select_related("version__template").get(version=row)
    if health.state != HealthState.VERIFIED:
        reason = build.message or f"another process builds it now: build {build.pk}"
        raise NotHealedError(f"{row} stays quarantined: {reason}", version=row.number)
    return health


def recover(*, version: Version, actor: str) -> Build | None:
    """Heal a quarantined version without waiting: from the store now, else by a queued rebuild.

    Returns that build, or that of a version which shares the damage and can be rebuilt where this
    one cannot; None when the version is whole. Raises NotHealedError, with the reason on record,
    when there is nothing to rebuild it from.
    """
    with store.locked(places.store_lock()):
        mending.mend_all(actor=actor, because="store")
    if VersionHealth.objects.filter(version=version, state=HealthState.VERIFIED).exists():
        return None
    try:
        return _rebuild(version, actor)
    except NotHealedError as error:
        failed = _not_healed(version, error.message, actor)
    # Whoever shares its bad files and can be rebuilt brings them back for all.
    others = Version.objects.select_related("template", "health").exclude(pk=version.pk)
    for other in others.filter(health__state=HealthState.QUARANTINED).order_by("pk"):
        with contextlib.suppress(NotHealedError):
            return _rebuild(other, actor)
    raise failed


def _rebuild(version: Version, actor: str) -> Build:
    """Return the rebuild that heals a version: the one on its way, or a new one."""
    coming = Build.objects.filter(template=version.template, options__heal=version.number)
    return coming.exclude(state__in=FINAL_STATES).first() or request(
        template=version.template.name, version=version.number, actor=actor
    )


def mend(*, template: str, version: int, actor: str) -> VersionHealth:
    """Verify a version, then mend every quarantined one as far as the store's own files go.

    Raises UnknownTemplateError, UnknownVersionError, NotHealedError for a removed version.
    """
    health = integrity.verify(template=template, version=version, actor=actor)
    if health.state == HealthState.RETIRED:
        message = f"{health.version} was removed: a rebuild from it brings it back."
        raise NotHealedError(message, version=version)
    if health.state == HealthState.QUARANTINED:
        with store.locked(places.store_lock()):
            mending.mend_all(actor=actor, because="store")
        health.refresh_from_db()
    return health


def request(*, template: str, version: int, actor: str) -> Build:
    """Queue the rebuild that heals a version, from inputs proven to be its own.

    Raises UnknownTemplateError, UnknownVersionError, NotHealedError when there are none.
    """
    row = catalog.get_version(template=template, number=version)
    return builds.request(
        template=template,
        kind=BuildKind.REBUILD,
        actor=actor,
        from_version=_source(row),
        heal=version,
    )


def _source(row: Version) -> int | None:
    """Return the number of a version whose inputs are sound and the same; None: the definition."""
    same = Version.objects.select_related("template", "health").filter(
        template=row.template, definition_digest=row.definition_digest
    )
    # Its own come first.
    for version in sorted(same, key=lambda other: other.pk != row.pk):
        if integrity.inputs_sound(places.version(version) / "inputs", row.definition_digest):
            return version.number
    try:
        if definitions.digest(places.definition(row.template.name)) == row.definition_digest:
            return None
    except (OSError, DefinitionError):
        pass
    message = f"{row} cannot be rebuilt: {NO_INPUTS}."
    raise NotHealedError(message, version=row.number)


def _not_healed(row: Version, reason: str, actor: str) -> NotHealedError:
    integrity.not_healed(row, reason, actor)
    return NotHealedError(f"{row} stays quarantined: {reason}", version=row.number)
