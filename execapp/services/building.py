"""Asking for a build, so that the executor's build worker hears of it at once."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta

from django.utils import timezone

from core.engine import WakeKind, wake_on_commit
from templatemgr.build import builds, lookups
from templatemgr.models import ACTIVE_STATES, Build, Lookup


def request_build(
    *,
    template: str,
    kind: str,
    actor: str,
    from_version: int | None = None,
    packages: Sequence[str] = (),
    files: Mapping[str, str] | None = None,
) -> Build:
    """Queue a build and wake the build worker once the row is committed."""
    build = builds.request(
        template=template,
        kind=kind,
        actor=actor,
        from_version=from_version,
        packages=packages,
        files=files,
    )
    wake_on_commit(WakeKind.BUILD)
    return build


def request_lookup(*, template: str, actor: str, from_version: int | None = None) -> Lookup:
    """Ask a registry for newer packages, and wake the executor once the row is committed."""
    lookup = lookups.request(template=template, from_version=from_version, actor=actor)
    wake_on_commit(WakeKind.LOOKUP)
    return lookup


def cancel_build(*, build_id: uuid.UUID, actor: str) -> Build:
    """Ask a build to stop; one that has ended stays as it is."""
    build = builds.cancel(build_id=build_id, actor=actor)
    wake_on_commit(WakeKind.BUILD)
    return build


def take_over(*, worker: str) -> int:
    """End the leases of a worker that is known to be dead and mark its builds interrupted."""
    mine = Build.objects.filter(worker=worker, state__in=ACTIVE_STATES)
    if not mine.update(lease_until=timezone.now() - timedelta(seconds=1)):
        return 0
    return builds.reap()
