"""The end of a build: publish a version by rename and commit, or find an equal version."""

import platform
from hashlib import sha256
from typing import Any

from django.db import transaction
from django.utils import timezone

from core.engine import WakeKind, wake_on_commit
from templatemgr import audit, data_paths, store
from templatemgr.build.workspace import BuildWorkspace, check, definition_of
from templatemgr.builders import native, registry
from templatemgr.builders.npm.npm_builder import architecture
from templatemgr.definitions import source_files
from templatemgr.errors import BuildError, LeaseLostError
from templatemgr.integrity import checking, inspection, repair
from templatemgr.models import BuildState, HealthState, Template, Version, VersionHealth
from templatemgr.queues import BUILDS


# Decision 0008: a version is published after its smoke cases.
def publish(workspace: BuildWorkspace) -> None:
    """Under the store's lock: choose a number, rename into place, then commit the rows.

    A process that dies between the rename and the commit leaves a folder without a row, which the
    next sweep removes.
    """
    check(workspace.log_writer)
    version = _version(workspace)
    with store.locked(data_paths.store_lock()):
        same = (
            Version.objects.select_related("template", "health")
            .filter(template=version.template, identity=version.identity)
            .first()
        )
        _check_healed(workspace, same)
        if same is not None:
            _reproduce(workspace, same)
            return
        last = Version.objects.filter(template=version.template).order_by("-number").first()
        version.number = last.number + 1 if last else 1
        version.directory = version.folder
        place = data_paths.version(version)
        store.publish(workspace.home, place)
        try:
            _record(workspace, version)
        except BaseException:
            store.remove(place)
            raise
        if workspace.sealed is not None:
            checking.remember(version, workspace.sealed.manifest)
    workspace.log_writer.line("build", f"{version} is ready.")


def this_platform() -> str:
    """Return the platform that a tree depends on, like "linux-x64-glibc"."""
    libc = platform.libc_ver()[0] or "musl"
    return f"{platform.system().lower()}-{architecture()}-{libc}"


def make_identity(tree: str, definition: str, machine: str) -> str:
    """Return the identity of a version: a hex SHA-256, the same for equal builds."""
    return sha256(f"stencil-version-1\n{tree}\n{definition}\n{machine}\n".encode()).hexdigest()


def _check_healed(workspace: BuildWorkspace, same: Version | None) -> None:
    """Raise BuildError if the build had to heal a version and came out differently."""
    wanted = workspace.build.options.get("heal")
    if wanted is not None and (same is None or same.number != wanted):
        message = f"The rebuild did not reproduce version {wanted}: its files differ."
        remedy = "Roll back or promote another version. A rebuild of the inputs makes a new one."
        raise BuildError(message, step=workspace.build.step, remedy=remedy)


def _reproduce(workspace: BuildWorkspace, same: Version) -> None:
    """End as reproduced. If the equal version is quarantined or removed, replace all its files."""
    workspace.log_writer.line("build", f"Reproduces version {same.number}: every byte is the same.")
    before = same.health.state
    if before == HealthState.VERIFIED:
        _finish(workspace, BuildState.REPRODUCED, reproduces_id=same.pk)
        return
    # A version in this state is not served, so its folder may be missing for a moment. If the
    # process dies here, the sweep moves the old folder back.
    place = data_paths.version(same)
    damaged = repair.damaged_name(workspace.home.parent, place.name)
    repair.move_away(place, damaged)
    store.publish(workspace.home, place)
    with transaction.atomic():
        _record_healed(workspace, same, was=before)
    try:
        store.remove(damaged)
    except OSError as error:
        workspace.log_writer.line("build", f"The damaged files cannot be removed: {error}")
    workspace.log_writer.line("build", f"{same} was {before} and is healed.")
    # The store has new inodes for the bad files. Versions that shared the old inodes get the new.
    for other in repair.repair_all(
        actor=workspace.build.requested_by, because=str(workspace.build.pk)
    ):
        workspace.log_writer.line("build", f"{other} shared bad files with it and is healed.")


def _record_healed(workspace: BuildWorkspace, same: Version, *, was: str) -> None:
    VersionHealth.objects.filter(version=same).update(
        state=HealthState.VERIFIED,
        checked_at=timezone.now(),
        checked_by=workspace.build.requested_by,
        problems=[],
        message="",
        retry_at=None,
        tries=0,
        cache_digest=_cache_digest(workspace),
    )
    fresh = Version.objects.select_related("template", "health").get(pk=same.pk)
    found = inspection.inspect(fresh)  # read the files again from the place that serves them
    if found.problems:
        first = found.problems[0]
        message = f"{same} is still not whole: {first.path} is {first.problem}."
        raise BuildError(message, step=workspace.build.step)
    checking.note(fresh.health, found)
    wake_on_commit(WakeKind.PROMOTION)
    _finish(workspace, BuildState.REPRODUCED, reproduces_id=same.pk)
    details = {"build": str(workspace.build.pk), "was": was, "tree": same.tree_digest}
    action = "version.heal" if was == HealthState.QUARANTINED else "version.restore"
    actor = workspace.build.requested_by
    audit.append(actor=actor, action=action, object=str(same), details=details)


def _cache_digest(workspace: BuildWorkspace) -> str:
    if workspace.cache is None:
        message = "The cache was not filled."
        raise BuildError(message, step=workspace.build.step)
    return workspace.cache.digest()


def _version(workspace: BuildWorkspace) -> Version:
    definition = definition_of(workspace)
    if workspace.sealed is None:
        message = "The tree was not sealed."
        raise BuildError(message, step=workspace.build.step)
    manifest = workspace.sealed.manifest
    tree, inputs = manifest.digest(), source_files.digest(workspace.inputs)
    found = [
        *registry.builder(definition.builder).packages(workspace.tree),
        *native.packages(definition.native),
    ]
    return Version(
        template=workspace.build.template,
        identity=make_identity(tree, inputs, this_platform()),
        tree_digest=tree,
        definition_digest=inputs,
        cache_digest=_cache_digest(workspace),
        platform=this_platform(),
        size_bytes=manifest.size,
        own_bytes=workspace.sealed.own_bytes,
        file_count=len(manifest.files),
        packages=[vars(package) for package in found],
        toolchain=definition.summary,
        smoke=workspace.smoke,
        created_by=workspace.build.requested_by,
        build=workspace.build,
    )


def _record(workspace: BuildWorkspace, version: Version) -> None:
    with transaction.atomic():
        version.created_at = timezone.now()
        version.save()
        VersionHealth.objects.create(
            version=version,
            state=HealthState.VERIFIED,
            checked_at=version.created_at,
            checked_by=version.created_by,
        )
        Template.objects.filter(pk=version.template_id).update(title=definition_of(workspace).title)
        _finish(workspace, BuildState.READY, version_id=version.pk)
        audit.append(
            actor=version.created_by,
            action="version.create",
            object=str(version),
            details={"identity": version.identity, "build": str(workspace.build.pk)},
        )


def _finish(workspace: BuildWorkspace, state: BuildState, **values: Any) -> None:
    """Record the build's end. Raises LeaseLostError, which also undoes an open transaction."""
    now = timezone.now().isoformat()
    for entry in workspace.build.steps:
        if entry["state"] == "active":
            entry.update(state="done", finished_at=now)
    if not BUILDS.end(workspace.build, state=state, steps=workspace.build.steps, **values):
        raise LeaseLostError
