"""The steps of a build, from inputs to a published version."""

import os
from pathlib import Path
from typing import Any

from django.conf import settings

from sandbox import tree_walk
from sandbox.session import sessions
from templatemgr import builders, catalog, data_paths, downloads, store
from templatemgr.build import input_changes, publishing
from templatemgr.build.log_writer import Recorder
from templatemgr.build.workspace import Bench, advance, check, definition_of, step
from templatemgr.builders import registries
from templatemgr.definitions import definition as definitions
from templatemgr.definitions.definition import SmokeCase
from templatemgr.errors import BuildError
from templatemgr.models import (
    Build,
    BuildState,
)
from templatemgr.trees import manifests


def execute(build: Build, recorder: Recorder) -> None:
    """Do every step of a claimed build and record its end as ready or reproduced.

    Raises BuildError, BuildCancelledError or LeaseLostError; staging is gone in every case.
    """
    bench = Bench(
        build=build,
        recorder=recorder,
        home=data_paths.staging(build.template.name, build.pk),
    )
    store.remove(bench.home)
    try:
        with step(bench, BuildState.FETCHING):
            _copy_inputs(bench)
            _fetch(bench)
        with step(bench, BuildState.INSTALLING):
            _install(bench)
        with step(bench, BuildState.SEALING):
            _seal(bench)
        with step(bench, BuildState.SMOKE):
            _fill_cache(bench)
            _smoke(bench)
            publishing.publish(bench)
    finally:
        store.remove(bench.home)


def _job(bench: Bench) -> builders.Job:
    definition = definition_of(bench)
    return builders.Job(
        definition=definition,
        bench=bench.work,
        log=bench.recorder.line,
        cancel=bench.recorder.cancel,
        disk_bytes=settings.STENCIL_BUILD_BYTES,
        sources=frozenset(settings.STENCIL_PACKAGE_SOURCES),
        fetch_hosts=settings.STENCIL_FETCH_HOSTS,
        start_files=settings.STENCIL_START_FILES,
    )


def _copy_inputs(bench: Bench) -> None:
    build = bench.build
    if build.from_version is not None:
        source = data_paths.version(build.from_version) / "inputs"
        shown = f"the inputs of {build.from_version}"
    else:
        source, shown = data_paths.definition(build.template.name), "the definition folder"
    # Nobody else on this machine looks in while parts of it are writable for the cage's user.
    bench.home.mkdir(parents=True, mode=0o700)
    bench.recorder.line("build", f"Starting from {shown}.")
    definitions.check_sizes(source)
    store.copy(definitions.sources(source), bench.inputs)
    input_changes.edit(build, bench.inputs)
    # Read again from the copy: what is built is what was checked, whoever edits the folder now.
    bench.definition = input_changes.read(build.kind, build.options.get("files", {}), bench.inputs)
    if bench.definition.name != build.template.name:
        message = f"The definition calls itself {bench.definition.name}: names do not change."
        raise BuildError(message, step=build.step)
    store.copy_files(bench.inputs, bench.work / "tree", list(bench.definition.files))


def _fetch(bench: Bench) -> None:
    """Make the lock by what registries say now; then fetch, except what is kept by its hash."""
    job, kept = _job(bench), data_paths.downloads(definition_of(bench).builder)
    builder = builders.find(definition_of(bench).builder)
    job.downloads.mkdir()
    with store.locked(kept.with_suffix(".lock"), shared=True):
        pass  # whoever tidies there goes first
    written = input_changes.lock(bench.build, definition_of(bench), job)
    _check_told(bench, job, written)
    input_changes.copy_back(job, bench.inputs, written)
    wanted = builder.contents(job)
    with store.locked(kept.with_suffix(".lock"), shared=True):
        job.origins.update(downloads.take(kept, wanted, job.bench))
    builder.fetch(job)
    files = builder.fetched(job, wanted)
    with store.locked(kept.with_suffix(".lock")):
        downloads.keep(kept, wanted, files, job.origins)
        freed = downloads.trim(kept, settings.STENCIL_DOWNLOAD_BYTES)
    if freed.files:
        text = f"{freed.files} files of {freed.bytes} bytes left the downloads, the oldest first."
        bench.recorder.line("build", text)
    advance(bench.build, origins=_origins(builder, job))


def _check_told(bench: Bench, job: builders.Job, written: list[str]) -> None:
    """Raise BuildError if a registry's answer has a secret of this machine in it."""
    for name in written:
        file = job.tree / name
        if file.is_file() and bench.recorder.redact.holds(file.read_text("utf-8", "replace")):
            message = f"{name} would have held a secret of this machine's configuration."
            remedy = "The registry sends back what it is sent: look at it before you trust it."
            raise BuildError(message, step=bench.build.step, remedy=remedy)


def _origins(builder: builders.Builder, job: builders.Job) -> dict[str, Any]:
    return {
        "packages": dict(builder.came_from(job)),
        "configured": sorted(map(registries.shown, job.configured)),
        "reached": sorted(map(registries.shown, job.reached)),
    }


def _install(bench: Bench) -> None:
    job = _job(bench)
    builders.find(definition_of(bench).builder).install(job)
    job.tree.rename(bench.tree)
    store.remove(bench.work)


def _seal(bench: Bench) -> None:
    _own(bench.tree)
    with store.locked(data_paths.store_lock(), shared=True):
        bench.sealed = store.seal(bench.tree, data_paths.objects())
    # Now, not only when published: smoke runs on final modes. What will be renamed is the folder
    # around it, so its write bits are not needed any more.
    store.close(bench.tree)
    manifest = bench.sealed.manifest
    (bench.home / "manifest.json.gz").write_bytes(manifests.dump(manifest))
    bench.recorder.line(
        "build",
        f"{len(manifest.files)} files, {manifest.size} bytes, {bench.sealed.own_bytes} of them new;"
        f" tree sha256:{manifest.digest()}",
    )
    if bench.sealed.copied:
        bench.recorder.line(
            "build", f"{bench.sealed.copied} files are copies: no hard link was possible."
        )


def _own(folder: Path) -> None:
    """Take over what a cage or sandbox wrote under another user number. Links are not followed."""
    if os.geteuid() != 0:
        return
    for visit in tree_walk.descend(folder):
        for name in (*visit.folders, *visit.others):
            os.chown(name, 0, 0, dir_fd=visit.descriptor, follow_symlinks=False)
    os.chown(folder, 0, 0)


def _fill_cache(bench: Bench) -> None:
    """Run our own submissions once with the cache writable; nobody else ever gets that."""
    definition, cache = definition_of(bench), bench.home / "cache"
    cache.mkdir()
    cache.chmod(0o777)  # as root the sandbox runs as another user
    cases = {case.name: case for case in definition.smoke}
    for name in definition.cache_submissions:
        _run_case(bench, cases[name], filling=True)
    _own(cache)
    bench.cache = manifests.scan(cache)
    store.close(cache)
    (bench.home / "cache-manifest.json.gz").write_bytes(manifests.dump(bench.cache))
    if definition.cache_submissions:
        bench.recorder.line(
            "build", f"Cache filled: {len(bench.cache.files)} files, {bench.cache.size} bytes."
        )


def _smoke(bench: Bench) -> None:
    wrong = [
        f"{case.name}: {reason}"
        for case in definition_of(bench).smoke
        for reason in _run_case(bench, case)
    ]
    if wrong:
        message = "Smoke submissions came out otherwise than the definition expects.\n"
        raise BuildError(message + "\n".join(wrong), step=BuildState.SMOKE)


def _run_case(bench: Bench, case: SmokeCase, *, filling: bool = False) -> list[str]:
    check(bench.recorder)
    definition = definition_of(bench)
    tree = catalog.make_runtime(definition, bench.home).tree(case.submission.mode)
    outcome = sessions.execute(
        catalog.writable_cache(tree) if filling else tree,
        catalog.fill_in(definition, case.submission),
        definition.default,
        slot="build",
        cancel=bench.recorder.cancel,
    )
    check(bench.recorder)
    reasons = case.expect.mismatches(outcome)
    total = round(outcome.setup_ms + outcome.run_ms, 1)
    what = "cache" if filling else "smoke"
    verdict = "as expected" if not reasons else "; ".join(reasons)
    bench.recorder.line("build", f"{what} {case.name}: {outcome.state}, {total} ms, {verdict}")
    if reasons:
        for stream in (outcome.stdout, outcome.stderr):
            for line in stream.data.decode("utf-8", "replace").splitlines()[-20:]:
                bench.recorder.line("build", f"  {line}")
    if not filling:
        bench.smoke.append(
            {"case": case.name, "state": str(outcome.state), "ok": not reasons, "ms": total}
        )
    return reasons
