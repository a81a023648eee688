"""A version's compile cache. It is derived: a damaged cache is dropped and filled again.

Meanwhile executions run without the cache, only slower. Filling it needs no registry: the
definition's own submissions run once in the sandbox with a writable cache, as in a build.
"""

import logging
import os
import secrets
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from django.db.models import F

from sandbox import tree_walk
from sandbox.session import sessions
from templatemgr import data_paths, operator_rules, runtimes, store
from templatemgr.definitions import definition_file
from templatemgr.definitions.definition import Definition
from templatemgr.errors import NotHealedError
from templatemgr.integrity import sources, spares
from templatemgr.integrity.inspection import DROPPED, EMPTY, Inspection
from templatemgr.models import Version, VersionHealth
from templatemgr.trees import beneath, foreign, manifests, restoring
from templatemgr.trees.manifests import Manifest, Problem

logger = logging.getLogger(__name__)


def damaged(found: Inspection) -> bool:
    """Return whether the version has a damaged cache, which no program may see."""
    return any(doubt.part == "cache" and doubt.detail != DROPPED for doubt in found.doubts)


def take_away(version: Version, found: Inspection) -> Inspection:
    """Replace a damaged cache by an empty one; return the inspection after it.

    If the damaged cache cannot be removed, the version is unsafe like one with a damaged tree. The
    caller holds the store's lock and no transaction.
    """
    if not damaged(found):
        return found
    try:
        _put(version, EMPTY, None)
    except Exception as error:  # noqa: BLE001 - after any error the cache still exists
        detail = f"the damaged cache cannot be taken away: {foreign.reason(error)}"
        problem = Problem(path="cache", problem="changed", detail=detail)
        return replace(found, problems=(*found.problems, problem))
    return found


def emptied(version: Version) -> None:
    """Record that a version's cache is empty. Sandboxes that loaded the old cache are not used."""
    rows = VersionHealth.objects.filter(version=version)
    rows.update(cache_digest=EMPTY.digest(), epoch=F("epoch") + 1)
    version.health.refresh_from_db(fields=["cache_digest", "epoch"])


def refill(*, version: Version, slot: str) -> None:
    """Fill a dropped cache in the sandbox, and put it in its place.

    Raises NotHealedError with the reason. The caller holds no lock and no transaction.
    """
    inputs = sources.definition(version)
    if inputs is None:
        message = "The cache is not filled: no sound copy of the definition is left."
        raise NotHealedError(message, version=version.number)
    home = data_paths.refills() / secrets.token_hex(8)
    try:
        with foreign.reading("The cache is not filled: the definition", NotHealedError):
            kept = runtimes.held(definition_file.read_kept(inputs), operator_rules.ceilings())
            cache, manifest = _filled(version, kept, home, slot)
            with store.locked(data_paths.store_lock()):
                _put(version, manifest, cache)
    finally:
        store.remove(home)


def sweep() -> None:
    """Remove caches that a killed process was filling. No other process may be filling one."""
    refills = data_paths.refills().name
    for name in beneath.names(data_paths.data(), refills):
        try:
            beneath.remove(data_paths.data(), f"{refills}/{name}")
        except OSError as error:
            logger.warning("%s/%s cannot be removed: %s", refills, name, error)


def _filled(
    version: Version, definition: Definition, home: Path, slot: str
) -> tuple[Path, Manifest]:
    cache = home / "cache"
    cache.mkdir(parents=True)
    cache.chmod(0o777)  # as root the sandbox runs as another user
    home.chmod(0o700)
    cases = {case.name: case for case in definition.smoke}
    runtime = runtimes.make_runtime(definition, data_paths.version(version))
    for name in definition.cache_submissions:
        case = cases[name]
        tree = replace(runtime.tree(case.submission.mode), cache=cache, cache_writable=True)
        submission = runtimes.fill_in(definition, case.submission)
        outcome = sessions.execute(tree, submission, definition.default, slot=slot)
        wrong = case.expect.mismatches(outcome)
        if wrong:
            message = f"The cache is not filled: {name}: {'; '.join(wrong)}"[:2000]
            raise NotHealedError(message, version=version.number)
    own(cache)
    manifest = manifests.scan(cache)
    store.close(cache)
    return cache, manifest


def own(folder: Path) -> None:
    """Take ownership of files that a sandbox wrote under another user id. Follow no link."""
    if os.geteuid() != 0:
        return
    for visit in tree_walk.walk(folder):
        for name in (*visit.folders, *visit.others):
            os.chown(name, 0, 0, dir_fd=visit.descriptor, follow_symlinks=False)
    os.chown(folder, 0, 0)


def _put(version: Version, manifest: Manifest, cache: Path | None) -> None:
    """Put a cache (None: an empty one) in its place, with its manifest and the row's digest.

    A process that dies in between leaves a cache that does not match its row, which is dropped.
    """
    home = data_paths.version(version)
    if home.is_symlink():
        message = f"{home.name} is a link"
        raise OSError(message)
    old = data_paths.refills() / f"dropped-{secrets.token_hex(8)}"
    fresh = cache or data_paths.refills() / f"empty-{secrets.token_hex(8)}" / "cache"
    fresh.mkdir(parents=True, exist_ok=True)
    old.mkdir(parents=True, exist_ok=True)
    place = home / "cache"
    for folder in (home, place):
        restoring.unfix(folder)
    home.chmod(0o755)
    try:
        if os.path.lexists(place):
            if place.is_dir() and not place.is_symlink():
                place.chmod(0o755)  # a read-only folder cannot be renamed to another parent
            place.rename(old / "cache")
        fresh.chmod(0o755)
        fresh.rename(place)
        place.chmod(manifests.FOLDER_MODE)
        spares.write(home / sources.CACHE_MANIFEST, manifests.dump(manifest))
    finally:
        home.chmod(manifests.FOLDER_MODE)
    # Sandboxes that loaded the old cache are not used again.
    rows = VersionHealth.objects.filter(version=version)
    rows.update(cache_digest=manifest.digest(), epoch=F("epoch") + 1)
    version.health.refresh_from_db(fields=["cache_digest", "epoch"])
    with suppress(OSError):  # it is already moved away; the next start sweeps it
        store.remove(old)
    if cache is None:
        store.remove(fresh.parent)
