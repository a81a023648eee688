"""Remove a version's tree and cache from the disk. Its row, inputs and manifests stay.

The process may die between any two steps. First the row becomes retired, so that the version is not
served any more. Then the folders are renamed into staging, which the next sweep empties. Then
objects that no tree links to are deleted. `finish` completes a removal that was killed. A rebuild
of the kept inputs restores the version.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path

from django.db import transaction

from templatemgr import audit, data_paths, store
from templatemgr.errors import InUseError, UnknownVersionError
from templatemgr.integrity import checking
from templatemgr.models import (
    ACTIVE_STATES,
    Build,
    BuildState,
    HealthState,
    Template,
    Version,
    VersionHealth,
)
from templatemgr.promotion import promotions, usage
from templatemgr.store import Freed
from templatemgr.trees import places

logger = logging.getLogger(__name__)
REMOVED = ".removed"  # the suffix of a removed version in staging, until it is deleted
FOLDERS = ("tree", "cache")

InUse = Callable[[Version], list[str]]


def remove(
    *, template: str, version: int, actor: str, reason: str, in_use: InUse = usage.reasons
) -> Freed:
    """Retire a version, delete its tree, and return the freed disk space.

    Raises InUseError for the current version, for the version that a roll back would make current,
    for one that a build is healing, and for one that a probe of `usage` needs. Raises
    UnknownTemplateError, UnknownVersionError and InvalidReasonError too. A repeated call completes
    a removal that was killed.
    """
    text = promotions.checked_reason(reason)
    with transaction.atomic():
        row = promotions.locked(template)
        target = _version(row, version)
        before = target.health.state
        if before != HealthState.RETIRED:
            _check(row, target, in_use)
            _retire(target, actor, text)
    # A submission that resolved the version just before it was retired has its row by now.
    needed = in_use(target)
    if needed:
        with transaction.atomic():
            _keep(target, before, actor, needed)
        raise _refusal(target, needed)
    with store.locked(data_paths.store_lock()):
        try:
            freed = _clear(target)
        except OSError as error:  # it is not served any more; the next sweep tries again
            logger.warning("%s is retired, and not all of it can be removed: %s", target, error)
            freed = Freed()
        return freed + store.collect(data_paths.objects(), checking.needed_objects)


def refusals(*, version: Version, in_use: InUse = usage.reasons) -> list[str]:
    """Return the reasons why a version cannot be removed now; empty if it can."""
    return _needs(version.template, version, in_use)


def would_free(*, version: Version) -> Freed:
    """Return the disk space that removing this version now would free."""
    home = data_paths.version(version)
    return store.sole(home / name for name in FOLDERS)


def finish() -> list[Path]:
    """Delete the remaining files of retired versions. The caller holds the store's lock."""
    retired = Version.objects.select_related("template", "health").filter(
        health__state=HealthState.RETIRED
    )
    found: list[Path] = []
    for version in retired:
        home = data_paths.version(version)
        left = [home / name for name in FOLDERS if os.path.lexists(home / name)]
        try:
            _clear(version)
        except OSError as error:  # logged; the next sweep tries again
            logger.warning("the files of removed %s cannot be deleted: %s", version, error)
        else:
            found += left
    return found


def _check(row: Template, target: Version, in_use: InUse) -> None:
    needed = _needs(row, target, in_use)
    if needed:
        raise _refusal(target, needed)


def _needs(row: Template, target: Version, in_use: InUse) -> list[str]:
    found: list[str] = []
    if row.current_id == target.pk:
        found.append("it is current" + (" and pinned" if row.pinned else ""))
    previous = promotions.rollback_target(row.name)
    if previous is not None and previous.pk == target.pk:
        found.append("a roll back would make it current")
    healing = Build.objects.filter(
        template=row,
        state__in=(BuildState.QUEUED, *ACTIVE_STATES),
        options__heal=target.number,
    )
    if healing.exists():
        found.append("a build is healing it")
    return found + in_use(target)


def _refusal(target: Version, needed: list[str]) -> InUseError:
    message = f"{target} cannot be removed: {'; '.join(needed)}."
    return InUseError(message, template=target.template.name, version=target.number, reasons=needed)


def _retire(target: Version, actor: str, reason: str) -> None:
    VersionHealth.objects.filter(version=target).update(state=HealthState.RETIRED, message=reason)
    details = {"reason": reason, "was": target.health.state}
    audit.append(actor=actor, action="version.remove", object=str(target), details=details)


def _keep(target: Version, before: str, actor: str, needed: list[str]) -> None:
    VersionHealth.objects.filter(version=target).update(state=before, message="")
    details = {"reasons": needed}
    audit.append(actor=actor, action="version.keep", object=str(target), details=details)


def _clear(version: Version) -> Freed:
    """Move the folders into staging by one rename each, then delete them there."""
    home = data_paths.version(version)
    trash = home.parents[1] / "staging" / f"{home.name}{REMOVED}"
    for name in FOLDERS:
        if os.path.lexists(home / name):
            places.folder(trash.parent, data_paths.aside())
            trash.mkdir(parents=True, exist_ok=True)
            store.remove(trash / name)
            store.take_away(home / name, trash / name)
    freed = store.unshared(trash)
    store.remove(trash)
    return freed


def _version(row: Template, number: int) -> Version:
    found = Version.objects.select_related("template", "health").filter(template=row, number=number)
    version = found.first()
    if version is None:
        message = f"{row.name} has no version {number}."
        raise UnknownVersionError(message, template=row.name, version=number)
    return version
