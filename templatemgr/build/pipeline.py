"""The steps of a build, from inputs to a published version."""

import os
from pathlib import Path
from typing import Any

from django.conf import settings

from sandbox import tree_walk
from sandbox.session import sessions
from templatemgr import data_paths, downloads, runtimes, store
from templatemgr.build import input_changes, publishing
from templatemgr.build.log_writer import LogWriter
from templatemgr.build.workspace import BuildWorkspace, advance, check, definition_of, step
from templatemgr.builders import native, registries, registry
from templatemgr.builders.base import Builder, Job
from templatemgr.definitions import source_files
from templatemgr.definitions.smoke import SmokeCase
from templatemgr.errors import BuildError
from templatemgr.models import (
    Build,
    BuildState,
)
from templatemgr.trees import manifests, places


def execute(build: Build, log_writer: LogWriter) -> None:
    """Run every step of a claimed build and record its end as ready or reproduced.

    Raises BuildError, BuildCancelledError or LeaseLostError. Staging is removed in every case.
    """
    workspace = BuildWorkspace(
        build=build,
        log_writer=log_writer,
        home=data_paths.staging(build.template.name, build.pk),
    )
    places.folder(workspace.home.parent, data_paths.aside())
    store.remove(workspace.home)
    try:
        with step(workspace, BuildState.FETCHING):
            _copy_inputs(workspace)
            _fetch(workspace)
        with step(workspace, BuildState.INSTALLING):
            _install(workspace)
        with step(workspace, BuildState.SEALING):
            _seal(workspace)
        with step(workspace, BuildState.SMOKE):
            _fill_cache(workspace)
            _smoke(workspace)
            publishing.publish(workspace)
    finally:
        store.remove(workspace.home)


def _job(workspace: BuildWorkspace) -> Job:
    definition = definition_of(workspace)
    return Job(
        definition=definition,
        workspace=workspace.work,
        log=workspace.log_writer.line,
        cancel=workspace.log_writer.cancel,
        disk_bytes=settings.STENCIL_BUILD_BYTES,
        sources=frozenset(settings.STENCIL_PACKAGE_SOURCES),
        fetch_hosts=settings.STENCIL_FETCH_HOSTS,
        start_files=settings.STENCIL_START_FILES,
    )


def _copy_inputs(workspace: BuildWorkspace) -> None:
    build = workspace.build
    if build.from_version is not None:
        source = data_paths.version(build.from_version) / "inputs"
        shown = f"the inputs of {build.from_version}"
    else:
        source, shown = data_paths.definition(build.template.name), "the definition folder"
    # Other users of this machine cannot enter it while the cage's user can write in parts of it.
    workspace.home.mkdir(parents=True, mode=0o700)
    workspace.log_writer.line("build", f"Starting from {shown}.")
    source_files.check_sizes(source)
    store.copy(source_files.locate(source), workspace.inputs)
    input_changes.edit(build, workspace.inputs)
    # Read the copy again: the checked files are built, even if the folder is edited now.
    workspace.definition = input_changes.read(
        build.kind, build.options.get("files", {}), workspace.inputs
    )
    if workspace.definition.name != build.template.name:
        message = f"The definition has the name {workspace.definition.name}: names cannot change."
        raise BuildError(message, step=build.step)
    store.copy_files(workspace.inputs, workspace.work / "tree", list(workspace.definition.files))


def _fetch(workspace: BuildWorkspace) -> None:
    """Update the lock from the registries; then fetch the packages that are not kept by hash."""
    job, kept = _job(workspace), data_paths.downloads(definition_of(workspace).builder)
    builder = registry.builder(definition_of(workspace).builder)
    job.downloads.mkdir()
    for folder in (kept.parent, kept):
        places.folder(folder, data_paths.aside())
    with store.locked(kept.with_suffix(".lock"), shared=True):
        pass  # wait until a running clean-up has released the lock
    written = input_changes.lock(workspace.build, definition_of(workspace), job)
    _check_reflected_secrets(workspace, job, written)
    input_changes.copy_back(job, workspace.inputs, written)
    wanted = builder.contents(job)
    with store.locked(kept.with_suffix(".lock"), shared=True):
        job.origins.update(downloads.take(kept, wanted, job.workspace))
    builder.fetch(job)
    files = builder.fetched(job, wanted)
    with store.locked(kept.with_suffix(".lock")):
        downloads.keep(kept, wanted, files, job.origins)
        freed = downloads.trim(kept, settings.STENCIL_DOWNLOAD_BYTES)
    if freed.files:
        text = f"{freed.files} old downloads of {freed.bytes} bytes were removed."
        workspace.log_writer.line("build", text)
    advance(workspace.build, origins=_origins(builder, job))


def _check_reflected_secrets(workspace: BuildWorkspace, job: Job, written: list[str]) -> None:
    """Raise BuildError if a registry's answer contains a secret of this machine."""
    for name in written:
        file = job.tree / name
        if file.is_file() and workspace.log_writer.redact.holds(file.read_text("utf-8", "replace")):
            message = f"{name} would contain a secret of this machine's configuration."
            remedy = "The registry repeats the credentials that it gets: check whether to trust it."
            raise BuildError(message, step=workspace.build.step, remedy=remedy)


def _origins(builder: Builder, job: Job) -> dict[str, Any]:
    return {
        "packages": dict(builder.came_from(job)),
        "configured": sorted(map(registries.shown, job.configured)),
        "reached": sorted(map(registries.shown, job.reached)),
    }


def _install(workspace: BuildWorkspace) -> None:
    job = _job(workspace)
    registry.builder(definition_of(workspace).builder).install(job)
    native.compile_parts(job)  # last: no package's code runs after it
    job.tree.rename(workspace.tree)
    store.remove(workspace.work)


def _seal(workspace: BuildWorkspace) -> None:
    _own(workspace.tree)
    with store.locked(data_paths.store_lock(), shared=True):
        workspace.sealed = store.seal(workspace.tree, data_paths.objects())
    # Set the final modes before the smoke cases run. Publishing renames the folder around the tree,
    # so the tree needs no write bits any more.
    store.close(workspace.tree)
    manifest = workspace.sealed.manifest
    (workspace.home / "manifest.json.gz").write_bytes(manifests.dump(manifest))
    workspace.log_writer.line(
        "build",
        f"{len(manifest.files)} files, {manifest.size} bytes, "
        f"{workspace.sealed.own_bytes} of them new; tree sha256:{manifest.digest()}",
    )
    if workspace.sealed.copied:
        workspace.log_writer.line(
            "build", f"{workspace.sealed.copied} files are copies: no hard link was possible."
        )


def _own(folder: Path) -> None:
    """Take ownership of files that a cage wrote under another user id. Follow no link."""
    if os.geteuid() != 0:
        return
    for visit in tree_walk.walk(folder):
        for name in (*visit.folders, *visit.others):
            os.chown(name, 0, 0, dir_fd=visit.descriptor, follow_symlinks=False)
    os.chown(folder, 0, 0)


def _fill_cache(workspace: BuildWorkspace) -> None:
    """Run the definition's submissions once with a writable cache; users never get that."""
    definition, cache = definition_of(workspace), workspace.home / "cache"
    cache.mkdir()
    cache.chmod(0o777)  # as root the sandbox runs as another user
    cases = {case.name: case for case in definition.smoke}
    for name in definition.cache_submissions:
        _run_case(workspace, cases[name], filling=True)
    _own(cache)
    workspace.cache = manifests.scan(cache)
    store.close(cache)
    (workspace.home / "cache-manifest.json.gz").write_bytes(manifests.dump(workspace.cache))
    if definition.cache_submissions:
        workspace.log_writer.line(
            "build",
            f"Cache filled: {len(workspace.cache.files)} files, {workspace.cache.size} bytes.",
        )


def _smoke(workspace: BuildWorkspace) -> None:
    wrong = [
        f"{case.name}: {reason}"
        for case in definition_of(workspace).smoke
        for reason in _run_case(workspace, case)
    ]
    if wrong:
        message = "Smoke submissions had other results than the definition expects.\n"
        raise BuildError(message + "\n".join(wrong), step=BuildState.SMOKE)


def _run_case(workspace: BuildWorkspace, case: SmokeCase, *, filling: bool = False) -> list[str]:
    check(workspace.log_writer)
    definition = definition_of(workspace)
    tree = runtimes.make_runtime(definition, workspace.home).tree(case.submission.mode)
    outcome = sessions.execute(
        runtimes.writable_cache(tree) if filling else tree,
        runtimes.fill_in(definition, case.submission),
        definition.default,
        slot="build",
        cancel=workspace.log_writer.cancel,
    )
    check(workspace.log_writer)
    reasons = case.expect.mismatches(outcome)
    total = round(outcome.setup_ms + outcome.run_ms, 1)
    what = "cache" if filling else "smoke"
    verdict = "as expected" if not reasons else "; ".join(reasons)
    workspace.log_writer.line(
        "build", f"{what} {case.name}: {outcome.state}, {total} ms, {verdict}"
    )
    if reasons:
        for stream in (outcome.stdout, outcome.stderr):
            for line in stream.data.decode("utf-8", "replace").splitlines()[-20:]:
                workspace.log_writer.line("build", f"  {line}")
    if not filling:
        workspace.smoke.append(
            {"case": case.name, "state": str(outcome.state), "ok": not reasons, "ms": total}
        )
    return reasons
