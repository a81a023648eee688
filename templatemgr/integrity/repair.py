"""Repair quarantined trees from the files on this disk, and other files that cannot be proven.

A pass walks the tree from the top down and repairs each entry. Passes repeat until the tree equals
its manifest or a pass changes nothing. If an entry in the tree cannot be changed, a whole folder is
built beside it and takes its place by rename. The caller holds the store's lock exclusively.
"""

import logging
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from django.db import DatabaseError, transaction

from templatemgr import audit, data_paths, store
from templatemgr.definitions import source_files
from templatemgr.integrity import checking, compile_caches, inspection, sources, spares
from templatemgr.integrity.inspection import EMPTY, Inspection
from templatemgr.integrity.supplies import Place, Supplies
from templatemgr.models import HealthState, Version, unsafe_rows
from templatemgr.trees import foreign, listing, manifests, places, restoring
from templatemgr.trees.manifests import Manifest, Problem

logger = logging.getLogger(__name__)
DAMAGED = ".damaged"  # in the name of a version's folder in staging: a healed one takes its place
MAX_PASSES = 8


@dataclass(frozen=True, kw_only=True)
class RepairResult:
    """The result of a repair: whether the tree is whole, and if not, the reason."""

    whole: bool
    reason: str = ""


@dataclass(kw_only=True)
class _Elsewhere:
    """Places in other trees that have a content. Used only if the store does not have it."""

    version: Version
    _places: dict[str, list[Place]] | None = field(default=None)

    def __call__(self, key: str) -> Iterable[Place]:
        if self._places is None:
            self._places = {}
            for row in (self.version, *sources.neighbours(self.version)):
                tree = data_paths.version(row) / "tree"
                try:
                    manifest = sources.manifest(row)
                except OSError as error:
                    logger.warning("%s gives no files: %s", row, error)
                    continue
                for entry in manifest.files if manifest else ():
                    self._places.setdefault(entry.key, []).append((tree, entry.path))
        return self._places.get(key, ())


def repair_all(*, actor: str, because: str, but: Version | None = None) -> list[Version]:
    """Repair every quarantined version, of every template; return those that are whole again.

    A version that cannot be repaired stays quarantined with the remaining problems; the others are
    still repaired.
    """
    rows = Version.objects.select_related("template", "health")
    quarantined = rows.filter(unsafe_rows()).order_by("pk")
    if but is not None:
        quarantined = quarantined.exclude(pk=but.pk)
    return [
        row for row in quarantined if repair_from_store(row, actor=actor, because=because).whole
    ]


def repair_from_store(version: Version, *, actor: str, because: str) -> RepairResult:
    """Repair one version from the files on this disk. Raises DatabaseError only."""
    try:
        return _repair(version, actor, because)
    except DatabaseError:
        raise
    except Exception as error:
        logger.exception("%s could not be repaired", version)
        return RepairResult(whole=False, reason=foreign.reason(error))


def repair_again(version: Version, *, actor: str) -> RepairResult:
    """Read a version again, repair it once more, and record the remaining problems."""
    row = Version.objects.select_related("template", "health").get(pk=version.pk)
    return repair_from_store(row, actor=actor, because="store")


# Decision 0028: passes go on until the tree equals its manifest or nothing changes.
def _repair(version: Version, actor: str, because: str) -> RepairResult:
    before = inspection.inspect(version)
    blocked: dict[str, str] = {}
    found, steps = before, 0
    if inspection.of_tree(before):
        found, steps, blocked = _restored(version, before)
    found, kept = _proven(version, found)
    blocked = kept if not found.problems else blocked | kept
    with transaction.atomic():
        was = version.health.state
        health = checking.record(version, found, actor)
        if health.state == HealthState.VERIFIED and was == HealthState.QUARANTINED:
            details = {"by": because, "paths": steps, "tree": version.tree_digest}
            audit.append(actor=actor, action="version.heal", object=str(version), details=details)
    reason = "; ".join(f"{path}: {why}" for path, why in list(blocked.items())[:5])
    return RepairResult(whole=not found.problems, reason=reason)


def _restored(version: Version, before: Inspection) -> tuple[Inspection, int, dict[str, str]]:
    """Repair the tree in its place, else beside it; return the inspection after it."""
    manifest = before.manifest
    if version.directory != version.folder:
        return before, 0, {".": inspection.MISPLACED}
    if manifest is None:
        return before, 0, {".": "its manifest is lost, and no sound copy of it is left"}
    home = os.path.realpath(data_paths.version(version))
    if any(problem.detail == home for problem in before.problems if problem.problem == "mounted"):
        # The mounted files are foreign; the version is below the mount and may be sound.
        return before, 0, {".": f"something is mounted over {home}: unmount it"}
    supply = Supplies(
        objects=data_paths.objects(),
        owners=inspection.owners(),
        elsewhere=_Elsewhere(version=version),
    )
    found, steps, blocked = before, 0, dict[str, str]()
    for attempt in (_in_place, _beside):
        found, count, left = _attempt(attempt, version, manifest, supply, found)
        steps += count
        named = str if attempt is _in_place else _named
        blocked |= {named(path): why for path, why in left.items()}
        if not inspection.of_tree(found):
            break
        if "no copy of its content exists" in blocked.values():
            break  # a new folder would lack it, too
    return found, steps, blocked


_Way = Callable[[Version, Manifest, Supplies, Inspection], restoring.Pass]


def _attempt(
    way: _Way, version: Version, manifest: Manifest, supply: Supplies, found: Inspection
) -> tuple[Inspection, int, dict[str, str]]:
    """Repeat one way of repair until nothing is wrong or a pass makes no progress."""
    steps, blocked = 0, dict[str, str]()
    for _ in range(MAX_PASSES):
        try:
            done = way(version, manifest, supply, found)
        except OSError as error:
            return found, steps, {".": foreign.reason(error)}
        steps, blocked = steps + done.steps, done.blocked
        left = inspection.inspect(version)
        better = set(_words(left.problems)) != set(_words(found.problems))
        found = left
        if not inspection.of_tree(found) or not done.steps or not better:
            break
    return found, steps, blocked


def _words(problems: Iterable[Problem]) -> Iterable[tuple[str, str]]:
    return ((problem.path, problem.problem) for problem in problems)


def _in_place(
    version: Version, manifest: Manifest, supply: Supplies, found: Inspection
) -> restoring.Pass:
    home = data_paths.version(version)
    _room(home)
    with _writable(home):
        if not supply.owners.include(home.stat()):
            os.chown(home, os.geteuid(), os.getegid())
        for name in listing.attributes(str(home)):
            os.removexattr(home, name)
        suspects = {problem.path for problem in found.problems}
        return restoring.restore(home / "tree", manifest, supply, supply.owners, suspects)


def _beside(
    version: Version, manifest: Manifest, supply: Supplies, _found: Inspection
) -> restoring.Pass:
    """Build a whole folder and swap it in by two renames; the sweep undoes the first one alone."""
    home = data_paths.version(version)
    staging = home.parents[1] / "staging"
    fresh, damaged = staging / f"{home.name}.healing", damaged_name(staging, home.name)
    for folder in (staging.parents[1], staging.parent, home.parent):
        places.folder(folder, data_paths.aside(), linked=True, writable=False)
    places.folder(staging, data_paths.aside())
    store.remove(fresh)
    (fresh / "tree").mkdir(parents=True)
    done = restoring.restore(fresh / "tree", manifest, supply, supply.owners)
    if done.blocked:
        store.remove(fresh)
        return done
    _furnish(version, manifest, fresh)
    move_away(home, damaged)
    store.publish(fresh, home)
    _keep_inputs(home, damaged)
    try:
        store.remove(damaged)
    except OSError as error:  # a mount, for instance; the folder is not served any more
        logger.warning("%s: the damaged folder cannot be removed: %s", damaged, error)
    return done


def damaged_name(staging: Path, version: str) -> Path:
    """Return a fresh place for a damaged folder: an older one may resist its removal.

    Names of one version sort by time. The sweep removes them, or puts the newest back.
    """
    return staging / f"{version}{DAMAGED}-{time.time_ns():020d}-{secrets.token_hex(2)}"


def _furnish(version: Version, manifest: Manifest, fresh: Path) -> None:
    """Add the manifests, the inputs and an empty cache to a new tree."""
    spares.write(fresh / sources.MANIFEST, manifests.dump(manifest))
    spares.write(fresh / sources.CACHE_MANIFEST, manifests.dump(EMPTY))
    (fresh / "cache").mkdir()
    inputs = sources.inputs(version)
    if inputs is not None:
        spares.copy_inputs(inputs, fresh / "inputs")
    compile_caches.emptied(version)


def _keep_inputs(home: Path, damaged: Path) -> None:
    """Keep damaged inputs with the version, for people, if no other copy exists."""
    if not (home / "inputs").exists() and (damaged / "inputs").is_dir():
        home.chmod(0o755)
        (damaged / "inputs").chmod(0o755)
        (damaged / "inputs").rename(home / "inputs")
        home.chmod(manifests.FOLDER_MODE)


def move_away(place: Path, target: Path) -> None:
    """Rename the entry at `place`, of any kind, if there is one. Links are not followed."""
    if not os.path.lexists(place):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if not place.is_symlink():
        restoring.unfix(place)
        if place.is_dir():
            place.chmod(0o755)  # a read-only folder cannot be renamed to another parent
    place.rename(target)


def _room(home: Path) -> None:
    """Make sure that a version's folder is a folder; move anything else there aside."""
    for folder in (home.parents[2], home.parents[1], home.parent, home):
        # An admin may make the parent folders links on purpose; the version's own never is.
        places.folder(folder, data_paths.aside(), linked=folder != home, writable=False)


def _named(path: str) -> str:
    return "a new folder" if path == "." else f"{path} in a new folder"


def _proven(version: Version, found: Inspection) -> tuple[Inspection, dict[str, str]]:
    """Repair manifest, inputs and objects from sound copies.

    Return the inspection after it, and why a part could not be repaired.
    """
    if not found.doubts or found.manifest is None:
        return compile_caches.take_away(version, found), {}
    parts = {doubt.part for doubt in found.doubts}
    home = data_paths.version(version)
    blocked: dict[str, str] = {}
    for part, way in (("manifest", _manifest), ("inputs", _inputs), ("objects", _objects)):
        if part in parts:
            try:
                blocked |= way(version, home, found)
            except OSError as error:
                logger.warning("the %s of %s cannot be repaired: %s", part, version, error)
                blocked[part] = foreign.reason(error)
    return compile_caches.take_away(version, inspection.inspect(version)), blocked


def _manifest(_version: Version, home: Path, found: Inspection) -> dict[str, str]:
    if found.manifest is not None:
        with _writable(home):
            place = home / sources.MANIFEST
            restoring.unfix(place)
            spares.write(place, manifests.dump(found.manifest))
    return {}


def _inputs(version: Version, home: Path, found: Inspection) -> dict[str, str]:
    """Replace the inputs by a sound copy of them; a new file has our owner and no attributes."""
    source = sources.inputs(version)
    if source is None:
        return {"inputs": "no sound copy of them is left"}
    modes = {entry.path: entry.mode for entry in found.manifest.files} if found.manifest else {}
    with _writable(home):
        spares.copy_inputs(source, home / "inputs")
        for path in source_files.list_paths(home / "inputs"):
            if path in modes:
                (home / "inputs" / path).chmod(modes[path])
    return {}


def _objects(version: Version, _home: Path, found: Inspection) -> dict[str, str]:
    """Restore objects, as the inode of a sound file or as a copy; return why some could not be."""
    supply = Supplies(
        objects=data_paths.objects(),
        owners=inspection.owners(),
        elsewhere=_Elsewhere(version=version),
    )
    wanted = {doubt.path.rpartition("/")[2] for doubt in found.doubts if doubt.part == "objects"}
    entries = {entry.key: entry for entry in found.manifest.files} if found.manifest else {}
    blocked: dict[str, str] = {}
    for key in sorted(wanted & set(entries)):
        try:
            if supply(entries[key]) is None:
                blocked[f"object {key[:12]}"] = supply.troubles.get(key, "no copy of it exists")
        except OSError as error:
            blocked[f"object {key[:12]}"] = foreign.reason(error)
    return blocked


@contextmanager
def _writable(home: Path) -> Iterator[None]:
    """Make a version's own folder writable for a moment. OSError when it is a link."""
    if home.is_symlink():
        message = f"{home.name} is a link"
        raise OSError(message)
    restoring.unfix(home)
    home.chmod(0o755)
    try:
        yield
    finally:
        home.chmod(manifests.FOLDER_MODE)
