"""A version's compile cache. It is derived: a damaged cache is dropped and filled again.

Meanwhile executions run without the cache, only slower. Filling it needs no registry: the
definition's own submissions run once in the sandbox with a writable cache, as in a build.
"""

import errno
import logging
import os
import secrets
import shutil
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
from templatemgr.integrity.inspection import DROPPED, EMPTY, STUCK, Doubt, Inspection
from templatemgr.models import Version, VersionHealth
from templatemgr.trees import beneath, foreign, manifests, places, restoring
from templatemgr.trees.manifests import Manifest

logger = logging.getLogger(__name__)
_TEMPORARY = ".cache-"  # in a version's folder, while a cache is replaced


def damaged(found: Inspection) -> bool:
    """Return whether the version has a damaged cache, which no program may see."""
    return any(doubt.part == "cache" and doubt.detail != DROPPED for doubt in found.doubts)


def take_away(version: Version, found: Inspection) -> Inspection:
    """Replace a damaged cache by an empty one; return the inspection after it.

    If the damaged cache cannot be removed, a doubt says so, and executions run without a cache. The
    caller holds the store's lock and no transaction.
    """
    if not damaged(found):
        return found
    try:
        _put(version, EMPTY, None)
    except Exception as error:  # noqa: BLE001 - after any error the cache still exists
        return stuck(found, error)
    return found


def stuck(found: Inspection, error: Exception) -> Inspection:
    """Return an inspection that says why a damaged cache could not be removed."""
    detail = f"{STUCK}: {foreign.reason(error)}"
    doubt = Doubt(part="cache", path="cache", problem="changed", detail=detail)
    return replace(found, doubts=(doubt, *found.doubts))


def is_stuck(health: VersionHealth) -> bool:
    """Return whether a damaged cache could not be removed: executions must run without it."""
    return any(doubt.get("detail", "").startswith(STUCK) for doubt in health.doubts)


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
        places.folder(home.parent, data_paths.aside())
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
    place = home / "cache"
    for folder in (home, place):
        restoring.unfix(folder)
    home.chmod(0o755)
    try:
        # In the version's own folder: no other place has to be sound, and it is one filesystem.
        for name in os.listdir(home):  # noqa: PTH208 - names only
            if name.startswith(_TEMPORARY):
                _discard(home / name)
        fresh, old = home / _temporary(), home / _temporary()
        _bring(cache, fresh)
        if os.path.lexists(place):
            place.rename(old)
        fresh.rename(place)
        place.chmod(manifests.FOLDER_MODE)
        spares.write(home / sources.CACHE_MANIFEST, manifests.dump(manifest))
        _discard(old)
    finally:
        home.chmod(manifests.FOLDER_MODE)
    # Sandboxes that loaded the old cache are not used again.
    rows = VersionHealth.objects.filter(version=version)
    rows.update(cache_digest=manifest.digest(), epoch=F("epoch") + 1)
    version.health.refresh_from_db(fields=["cache_digest", "epoch"])


def _temporary() -> str:
    return f"{_TEMPORARY}{secrets.token_hex(8)}"


def _bring(cache: Path | None, fresh: Path) -> None:
    """Move a filled cache to a new name; copy it from another filesystem. None: make it empty."""
    if cache is None:
        fresh.mkdir()
        return
    cache.chmod(0o755)  # a read-only folder cannot be renamed to another parent
    try:
        cache.rename(fresh)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.copytree(cache, fresh, symlinks=True)


def _discard(entry: Path) -> None:
    try:
        store.remove(entry)
    except OSError as error:  # no program sees it; the next call tries again
        logger.warning("%s cannot be removed: %s", entry, error)
