"""The steps of a build, from inputs to a published version."""

import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils import timezone

from sandbox import runner
from sandbox.errors import SandboxError
from templatemgr import audit, builders, store
from templatemgr import definition as definitions
from templatemgr import manifest as manifests
from templatemgr.builders.npm import architecture
from templatemgr.definition import Definition, SmokeCase
from templatemgr.errors import BuildCancelledError, BuildError, LeaseLostError
from templatemgr.manifest import Manifest, ManifestError
from templatemgr.models import (
    ACTIVE_STATES,
    Build,
    BuildKind,
    BuildState,
    HealthState,
    Template,
    Version,
    VersionHealth,
)
from templatemgr.services import catalog, places
from templatemgr.services.recording import Recorder
from templatemgr.store import Sealed


@dataclass(kw_only=True)
class Bench:
    """Where one build works, and what it has found out so far."""

    build: Build
    recorder: Recorder
    home: Path  # staging/<build>, renamed as a whole when it is published
    definition: Definition | None = None
    sealed: Sealed | None = None
    cache: Manifest | None = None
    smoke: list[dict[str, Any]] = field(default_factory=list)

    @property
    def inputs(self) -> Path:
        return self.home / "inputs"

    @property
    def work(self) -> Path:
        return self.home / "work"

    @property
    def tree(self) -> Path:
        return self.home / "tree"


def execute(build: Build, recorder: Recorder) -> None:
    """Do every step of a claimed build and record its end as ready or reproduced.

    Raises BuildError, BuildCancelledError or LeaseLostError; staging is gone in every case.
    """
    bench = Bench(
        build=build,
        recorder=recorder,
        home=places.staging(build.template.name, build.pk),
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
            _publish(bench)
    finally:
        store.remove(bench.home)


@contextmanager
def step(bench: Bench, state: BuildState) -> Iterator[None]:
    """Record a step's start and end. What goes wrong inside becomes a BuildError that names it."""
    check(bench.recorder)
    bench.recorder.step = state
    entry: dict[str, Any] = {
        "name": str(state),
        "started_at": timezone.now().isoformat(),
        "finished_at": None,
        "state": "active",
    }
    bench.build.steps = [*bench.build.steps, entry]
    advance(bench.build, state=state, step=state, steps=bench.build.steps)
    try:
        yield
    except (ManifestError, SandboxError, definitions.DefinitionError, OSError) as error:
        raise BuildError(str(error), step=state) from error


def advance(build: Build, **values: Any) -> None:
    """Change a build that is still ours; LeaseLostError when it is not."""
    now = timezone.now()
    steps = values.setdefault("steps", build.steps)
    for entry in steps[:-1]:
        if entry["state"] == "active":
            entry.update(state="done", finished_at=now.isoformat())
    mine = Build.objects.filter(pk=build.pk, attempt=build.attempt, state__in=ACTIVE_STATES)
    if mine.update(**values) != 1:
        raise LeaseLostError
    for name, value in values.items():
        setattr(build, name, value)


def check(recorder: Recorder) -> None:
    """Raise when the build was cancelled or taken away."""
    if recorder.lost:
        raise LeaseLostError
    if recorder.cancel.is_set():
        raise BuildCancelledError


def this_platform() -> str:
    """Return what a tree depends on besides its contents, like "linux-x64-glibc"."""
    libc = platform.libc_ver()[0] or "musl"
    return f"{platform.system().lower()}-{architecture()}-{libc}"


def make_identity(tree: str, definition: str, machine: str) -> str:
    """Return the hex SHA-256 that two equal builds share."""
    return sha256(f"stencil-version-1\n{tree}\n{definition}\n{machine}\n".encode()).hexdigest()


def _definition(bench: Bench) -> Definition:
    if bench.definition is None:
        message = "The build's inputs were not copied."
        raise BuildError(message, step=bench.build.step)
    return bench.definition


def _job(bench: Bench) -> builders.Job:
    definition = _definition(bench)
    return builders.Job(
        definition=definition,
        bench=bench.work,
        log=bench.recorder.line,
        cancel=bench.recorder.cancel,
    )


def _copy_inputs(bench: Bench) -> None:
    build = bench.build
    if build.from_version is not None:
        source = places.version(build.from_version) / "inputs"
        shown = f"the inputs of {build.from_version}"
    else:
        source, shown = places.definition(build.template.name), "the definition folder"
    # Nobody else on this machine looks in while parts of it are writable for the cage's user.
    bench.home.mkdir(parents=True, mode=0o700)
    bench.recorder.line("build", f"Starting from {shown}.")
    definitions.read(source)
    store.copy_files(source, bench.inputs, definitions.input_files(source))
    # Read again from the copy: what is built is what was checked, whoever edits the folder now.
    bench.definition = definitions.read(bench.inputs)
    store.copy_files(bench.inputs, bench.work / "tree", list(bench.definition.files))


def _fetch(bench: Bench) -> None:
    """Fetch into a private copy of what earlier builds downloaded, and keep it for later ones.

    Shared folders would not do: a cage owns what it writes while it runs.
    """
    job, kept = _job(bench), places.downloads(_definition(bench).builder)
    builder = builders.find(_definition(bench).builder)
    with store.locked(kept.with_suffix(".lock"), shared=True):
        shutil.copytree(kept, job.downloads) if kept.is_dir() else job.downloads.mkdir()
    if bench.build.kind == BuildKind.REFRESH:
        builder.relock(job)
        store.copy_files(job.tree, bench.inputs, list(builder.LOCKS))
    builder.fetch(job)
    with store.locked(kept.with_suffix(".lock")):
        store.remove(kept)
        job.downloads.rename(kept)


def _install(bench: Bench) -> None:
    job = _job(bench)
    builders.find(_definition(bench).builder).install(job)
    job.tree.rename(bench.tree)
    store.remove(bench.work)


def _seal(bench: Bench) -> None:
    _own(bench.tree)
    with store.locked(places.store_lock(), shared=True):
        bench.sealed = store.seal(bench.tree, places.objects())
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
    for path, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(Path(path, name), 0, 0, follow_symlinks=False)
    os.chown(folder, 0, 0)


def _fill_cache(bench: Bench) -> None:
    """Run our own submissions once with the cache writable; nobody else ever gets that."""
    definition, cache = _definition(bench), bench.home / "cache"
    cache.mkdir()
    cache.chmod(0o777)  # as root the sandbox runs as another user
    cases = {case.name: case for case in definition.smoke}
    for name in definition.cache_submissions:
        _run_case(bench, cases[name], filling=True)
    _own(cache)
    store.close(cache)
    bench.cache = manifests.scan(cache)
    (bench.home / "cache-manifest.json.gz").write_bytes(manifests.dump(bench.cache))
    if definition.cache_submissions:
        bench.recorder.line(
            "build", f"Cache filled: {len(bench.cache.files)} files, {bench.cache.size} bytes."
        )


def _smoke(bench: Bench) -> None:
    wrong = [
        f"{case.name}: {reason}"
        for case in _definition(bench).smoke
        for reason in _run_case(bench, case)
    ]
    if wrong:
        message = "Smoke submissions came out otherwise than the definition expects.\n"
        raise BuildError(message + "\n".join(wrong), step=BuildState.SMOKE)


def _run_case(bench: Bench, case: SmokeCase, *, filling: bool = False) -> list[str]:
    check(bench.recorder)
    definition = _definition(bench)
    tree = catalog.make_runtime(definition, bench.home).tree(case.submission.mode)
    outcome = runner.execute(
        catalog.writable_cache(tree) if filling else tree,
        catalog.fill_in(definition, case.submission),
        definition.default,
        slot=f"build-{bench.build.pk.hex[-12:]}",
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


def _publish(bench: Bench) -> None:
    """Under the store's lock: find a number, rename into place, then commit the rows.

    A process that dies between the rename and the commit leaves a folder without a row, which the
    next sweep removes.
    """
    check(bench.recorder)
    version = _version(bench)
    with store.locked(places.store_lock()):
        same = Version.objects.filter(template=version.template, identity=version.identity).first()
        if same is not None:
            _finish(bench, BuildState.REPRODUCED, reproduces=same)
            bench.recorder.line("build", f"Reproduces {same}: every byte is the same.")
            return
        last = Version.objects.filter(template=version.template).order_by("-number").first()
        version.number = last.number + 1 if last else 1
        version.directory = f"versions/{version.number:04d}-{version.identity[:12]}"
        place = places.version(version)
        store.publish(bench.home, place)
        try:
            _record(bench, version)
        except BaseException:
            store.remove(place)
            raise
    bench.recorder.line("build", f"{version} is ready.")


def _version(bench: Bench) -> Version:
    definition = _definition(bench)
    if bench.sealed is None or bench.cache is None:
        message = "The tree was not sealed."
        raise BuildError(message, step=bench.build.step)
    manifest = bench.sealed.manifest
    tree, inputs = manifest.digest(), definitions.digest(bench.inputs)
    found = builders.find(definition.builder).packages(bench.tree)
    return Version(
        template=bench.build.template,
        identity=make_identity(tree, inputs, this_platform()),
        tree_digest=tree,
        definition_digest=inputs,
        cache_digest=bench.cache.digest(),
        platform=this_platform(),
        size_bytes=manifest.size,
        own_bytes=bench.sealed.own_bytes,
        file_count=len(manifest.files),
        packages=[vars(package) for package in found],
        toolchain=definition.summary,
        smoke=bench.smoke,
        created_by=bench.build.requested_by,
        build=bench.build,
    )


def _record(bench: Bench, version: Version) -> None:
    with transaction.atomic():
        version.created_at = timezone.now()
        version.save()
        VersionHealth.objects.create(
            version=version,
            state=HealthState.VERIFIED,
            checked_at=version.created_at,
            checked_by=version.created_by,
        )
        Template.objects.filter(pk=version.template_id).update(title=_definition(bench).title)
        _finish(bench, BuildState.READY, version=version)
        audit.append(
            actor=version.created_by,
            action="version.create",
            object=str(version),
            details={"identity": version.identity, "build": str(bench.build.pk)},
        )


def _finish(bench: Bench, state: BuildState, **values: Any) -> None:
    now = timezone.now()
    for entry in bench.build.steps:
        if entry["state"] == "active":
            entry.update(state="done", finished_at=now.isoformat())
    advance(bench.build, state=state, finished_at=now, lease_until=None, **values)
