"""Make quarantined trees whole again from the store, one new inode for all who shared a bad one.

The caller holds the store's lock exclusively.
"""

from collections.abc import Iterable

from django.db import transaction

from templatemgr import audit, store
from templatemgr import manifest as manifests
from templatemgr.manifest import Problem
from templatemgr.models import HealthState, Version
from templatemgr.services import integrity, places


def mend_all(*, actor: str, because: str) -> list[Version]:
    """Mend every quarantined version, of every template; return those that are whole again.

    What the store cannot mend stays quarantined, with what is still wrong.
    """
    rows = Version.objects.select_related("template", "health")
    quarantined = rows.filter(health__state=HealthState.QUARANTINED).order_by("pk")
    return [version for version in quarantined if _mend(version, actor, because)]


def _mend(version: Version, actor: str, because: str) -> bool:
    before = integrity.inspect(version)
    restored = _restore(version, before.problems)
    left = integrity.inspect(version).problems if restored else before.problems
    with transaction.atomic():
        if left:
            integrity.quarantine(version, list(left), actor, because=str(version))
            return False
        integrity.mark_whole(version, actor)
        details = {"by": because, "paths": restored, "tree": version.tree_digest}
        audit.append(actor=actor, action="version.heal", object=str(version), details=details)
    return True


def _restore(version: Version, problems: Iterable[Problem]) -> int:
    """Put back what the manifest names and the store has; return how many paths were restored."""
    home = places.version(version)
    manifest = integrity.sealed_manifest(home / "manifest.json.gz", version.tree_digest)
    if manifest is None or not (home / "tree").is_dir():
        return 0
    wanted = {entry.path: entry for entry in manifest.entries}
    count = 0
    # Again from the tree alone: the problems of cache and inputs are not the store's to mend.
    for problem in manifests.compare(manifest, home / "tree") if problems else ():
        entry = wanted.get(problem.path)
        if entry is None:
            store.discard(home / "tree", problem.path)
            count += 1
        elif store.restore(home / "tree", places.objects(), entry):
            count += 1
    return count
