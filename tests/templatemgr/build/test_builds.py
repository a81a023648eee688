import os
import stat
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from templatemgr import catalog, data_paths, store, version_runtimes
from templatemgr.build import builds, pipeline
from templatemgr.build.log_writer import LogWriter
from templatemgr.build.workspace import BuildWorkspace
from templatemgr.errors import (
    InvalidBuildError,
    LeaseLostError,
    UnknownBuildError,
    UnknownTemplateError,
    UnknownVersionError,
)
from templatemgr.integrity import checking
from templatemgr.models import AuditEvent, Build, Version
from templatemgr.trees import manifests
from tests.templatemgr.conftest import log_text, run_build
from tests.timeouts import HANGS_SECONDS
from tests.tiny_definition import write_definition

ROOT = Path(__file__).resolve().parents[3]


def leftovers(data_dir: Path) -> list[str]:
    """Return the names of all entries in staging folders."""
    return [path.name for path in data_dir.glob("templates/*/staging/*")]


def published(data_dir: Path) -> list[str]:
    return sorted(path.name for path in data_dir.glob("templates/*/versions/*"))


def test_a_build_makes_a_read_only_version(tiny: Path, data_dir: Path) -> None:
    build = run_build()
    assert build.state == "ready", build.message
    version = build.version
    assert version is not None
    home = data_paths.version(version)
    assert version.number == 1
    assert version.directory == f"versions/0001-{version.identity[:12]}"
    assert sorted(path.name for path in home.iterdir()) == [
        "cache",
        "cache-manifest.json.gz",
        "inputs",
        "manifest.json.gz",
        "tree",
    ]
    assert version.packages == [{"name": "is-number", "version": "7.0.0", "direct": True}]
    assert [case["case"] for case in version.smoke if case["ok"]] == ["run", "test"]
    assert version.healthy
    assert version.toolchain == "is-number alone"
    assert not (home / "tree/node_modules/is-number/LICENSE").exists()
    assert not (home / "tree/node_modules/.package-lock.json").exists()
    assert (home / "tree/bin/number.js").resolve().name == "index.js"
    assert leftovers(data_dir) == []
    for path in home.rglob("*"):
        if not path.is_symlink():
            assert not stat.S_IMODE(path.stat().st_mode) & 0o222, path
            assert path.stat().st_uid == os.geteuid()


def test_a_build_records_steps_log_and_audit(tiny: Path) -> None:
    build = run_build()
    names = [(entry["name"], entry["state"]) for entry in build.steps]
    assert names == [(name, "done") for name in ("fetching", "installing", "sealing", "smoke")]
    assert all(entry["finished_at"] >= entry["started_at"] for entry in build.steps)
    lines = builds.log_lines(build=build)
    assert [line.sequence for line in lines] == list(range(1, len(lines) + 1))
    assert {line.step for line in lines} >= {"fetching", "sealing", "smoke"}
    assert "npm ci" in log_text(build)
    assert "added 1 package" in log_text(build)
    assert builds.log_lines(build=build, after=2, limit=1)[0].sequence == 3
    actions = AuditEvent.objects.order_by("sequence").values_list("action", "object", "actor")
    assert list(actions) == [
        ("build.request", "tiny", "ann"),
        ("version.create", "tiny@1", "ann"),
    ]
    estimate = builds.estimate_seconds("tiny")
    assert estimate is not None
    assert estimate == pytest.approx(build.duration_seconds)


def test_the_same_inputs_reproduce_the_version(tiny: Path, data_dir: Path) -> None:
    first = run_build().version
    assert first is not None
    # The second build has another umask, another time, no kept downloads and touched files.
    for path in tiny.rglob("*"):
        os.utime(path, (1, 1))
    (data_paths.downloads("npm")).rename(data_dir / "gone")
    before = os.umask(0o077)
    try:
        build = run_build()
    finally:
        os.umask(before)
    assert (build.state, build.version) == ("reproduced", None)
    assert build.reproduces == first
    assert Version.objects.count() == 1
    assert leftovers(data_dir) == []
    assert "Reproduces version 1" in log_text(build)


def test_a_changed_pin_makes_version_2_and_the_kept_inputs_rebuild_version_1(tiny: Path) -> None:
    run_build()
    write_definition(tiny, pin="6.0.0")
    second = run_build().version
    assert second is not None
    assert second.number == 2
    assert second.packages[0]["version"] == "6.0.0"
    again = run_build(from_version=1)
    assert again.state == "reproduced"
    assert again.reproduces is not None
    assert again.reproduces.number == 1


def test_versions_share_the_files_they_have_in_common(tiny: Path) -> None:
    first = run_build().version
    write_definition(tiny, **{"said.txt": "hello\n", "smoke/run/src/extra.js": "// more\n"})
    second = run_build().version
    assert first is not None
    assert second is not None
    assert second.tree_digest == first.tree_digest
    assert second.identity != first.identity
    assert second.own_bytes == 0
    one, two = (data_paths.version(version) / "tree/runner/main.sh" for version in (first, second))
    assert one.stat().st_ino == two.stat().st_ino


def test_a_refresh_makes_a_new_lock_that_the_version_keeps(tiny: Path) -> None:
    write_definition(tiny, **{"package.json": _ranged(tiny)})
    build = run_build(kind="refresh")
    version = build.version
    assert version is not None, build.message
    assert version.packages[0]["version"] == "7.0.0"
    kept = data_paths.version(version) / "inputs/package-lock.json"
    assert "6.0.0" not in kept.read_text()
    assert "resolved" not in kept.read_text()
    assert run_build(from_version=version.number).state == "reproduced"


def _ranged(tiny: Path) -> str:
    return (tiny / "package.json").read_text().replace('"7.0.0"', '">=6 <8"')


def test_a_lock_that_disagrees_fails_in_fetching_with_a_remedy(tiny: Path, data_dir: Path) -> None:
    text = (tiny / "package.json").read_text().replace("7.0.0", "6.0.0")
    (tiny / "package.json").write_text(text)
    build = run_build()
    assert (build.state, build.step, build.version) == ("failed", "fetching", None)
    assert "refresh build" in build.message
    assert build.steps[-1]["state"] == "failed"
    assert "npm error" in log_text(build)
    assert (leftovers(data_dir), published(data_dir)) == ([], [])


def test_other_bytes_than_the_lock_names_are_refused(tiny: Path) -> None:
    text = (tiny / "package-lock.json").read_text().replace("sha512-41Cif", "sha512-41Cie")
    (tiny / "package-lock.json").write_text(text)
    build = run_build()
    assert (build.state, build.step) == ("failed", "fetching")
    assert "Do not trust" in build.message


def test_a_smoke_case_with_another_result_fails_the_build(tiny: Path, data_dir: Path) -> None:
    (tiny / "said.txt").write_text("goodbye\n")
    build = run_build()
    assert (build.state, build.step) == ("failed", "smoke")
    assert "run: stdout: expected 'filled\\nhello\\n', got 'filled\\ngoodbye\\n'" in build.message
    assert (leftovers(data_dir), published(data_dir)) == ([], [])


def test_a_tree_that_cannot_be_sealed_fails_in_sealing(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = pipeline._install

    def plant(workspace: BuildWorkspace) -> None:
        original(workspace)
        (workspace.tree / "passwd").symlink_to("/etc/passwd")

    monkeypatch.setattr(pipeline, "_install", plant)
    build = run_build()
    assert (build.state, build.step) == ("failed", "sealing")
    assert "passwd is a link that leaves the tree" in build.message


def test_an_unexpected_exception_fails_the_build(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(_workspace: BuildWorkspace) -> None:
        raise LookupError

    monkeypatch.setattr(pipeline, "_seal", explode)
    build = run_build()
    assert (build.state, build.step) == ("failed", "sealing")
    assert build.message.startswith("Stencil itself failed")


def test_an_impossible_request_is_refused_before_it_is_queued(tiny: Path) -> None:
    with pytest.raises(UnknownTemplateError):
        builds.request(template="none", kind="rebuild", actor="ann")
    with pytest.raises(UnknownVersionError):
        builds.request(template="tiny", kind="rebuild", actor="ann", from_version=9)
    with pytest.raises(InvalidBuildError):
        builds.request(template="tiny", kind="edit", actor="ann")
    with pytest.raises(UnknownBuildError):
        builds.cancel(build_id="not-an-id", actor="ann")


def test_a_build_is_claimed_once_oldest_first(tiny: Path) -> None:
    first = builds.request(template="tiny", kind="rebuild", actor="ann")
    second = builds.request(template="tiny", kind="rebuild", actor="ann")
    claimed = [builds.claim(worker="w"), builds.claim(worker="w"), builds.claim(worker="w")]
    assert claimed == [first, second, None]
    assert claimed[0] is not None
    assert (claimed[0].state, claimed[0].attempt) == ("fetching", 1)
    with pytest.raises(LeaseLostError):
        builds.run(build=claimed[0], worker="somebody else")


def test_a_queued_build_is_cancelled_at_once_and_stays_so(tiny: Path) -> None:
    build = builds.request(template="tiny", kind="rebuild", actor="ann")
    assert builds.cancel(build_id=build.pk, actor="bob").state == "cancelled"
    assert builds.cancel(build_id=str(build.pk), actor="bob").state == "cancelled"
    assert builds.claim(worker="w") is None
    assert AuditEvent.objects.filter(action="build.cancel").count() == 1


def test_a_running_build_stops_soon_after_it_is_cancelled(
    tiny: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = builds.request(template="tiny", kind="rebuild", actor="ann")
    claimed = builds.claim(worker="w")
    assert claimed is not None

    def stall(workspace: BuildWorkspace) -> None:
        builds.cancel(build_id=build.pk, actor="bob")
        assert workspace.log_writer.cancel.wait(HANGS_SECONDS)

    monkeypatch.setattr(pipeline, "_fetch", stall)
    ended = builds.run(build=claimed, worker="w")
    assert (ended.state, ended.step, ended.version) == ("cancelled", "fetching", None)
    assert leftovers(data_dir) == []


def test_no_step_begins_after_cancellation(
    tiny: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = builds.request(template="tiny", kind="rebuild", actor="ann")
    claimed = builds.claim(worker="w")
    assert claimed is not None
    # The log writer never renews, as on a busy machine with a short build.
    monkeypatch.setattr(LogWriter, "_renew", lambda _: None)
    monkeypatch.setattr(pipeline, "_fetch", lambda _: builds.cancel(build_id=build.pk, actor="bob"))
    ended = builds.run(build=claimed, worker="w")
    assert (ended.state, ended.step, ended.version) == ("cancelled", "fetching", None)
    assert leftovers(data_dir) == []


def test_lines_are_in_the_database_while_the_build_runs(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def look(workspace: BuildWorkspace) -> None:
        workspace.log_writer.line("stdout", "live \0 line")
        deadline = time.monotonic() + HANGS_SECONDS
        while not seen and time.monotonic() < deadline:
            time.sleep(0.05)
            lines = builds.log_lines(build=workspace.build)
            seen.extend(line.text for line in lines if "live" in line.text)

    monkeypatch.setattr(pipeline, "_fetch", look)
    run_build()
    assert seen == ["live \ufffd line"]


def test_a_build_with_a_reaped_lease_records_nothing_more(
    tiny: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reaped(workspace: BuildWorkspace) -> None:
        long_ago = timezone.now() - timedelta(minutes=1)
        Build.objects.filter(pk=workspace.build.pk).update(lease_until=long_ago)
        assert builds.reap() == 1

    monkeypatch.setattr(pipeline, "_fetch", reaped)
    build = run_build()
    assert build.state == "interrupted"
    assert (leftovers(data_dir), published(data_dir)) == ([], [])


def test_a_build_whose_lease_is_lost_at_its_last_step_makes_no_version(
    tiny: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = store.publish

    def lost(home: Path, place: Path) -> None:
        publish(home, place)
        Build.objects.update(state="interrupted")  # as another process would

    monkeypatch.setattr(store, "publish", lost)
    build = run_build()
    assert (build.state, build.version, Version.objects.count()) == ("interrupted", None, 0)
    assert (leftovers(data_dir), published(data_dir)) == ([], [])


def test_the_reaper_leaves_running_builds_alone(tiny: Path, data_dir: Path) -> None:
    run_build()
    builds.request(template="tiny", kind="rebuild", actor="ann")
    running = builds.claim(worker="w")
    assert running is not None
    data_paths.staging("tiny", running.pk).mkdir(parents=True)
    before = published(data_dir)
    assert builds.reap() == 0
    assert published(data_dir) == before
    assert leftovers(data_dir) == [str(running.pk)]


def test_two_concurrent_builds_make_one_version(tiny: Path) -> None:
    claimed = []
    for worker in ("one", "two"):
        builds.request(template="tiny", kind="rebuild", actor="ann")
        claimed.append((builds.claim(worker=worker), worker))
    ended: list[Build] = []

    def work(build: Build, worker: str) -> None:
        try:
            ended.append(builds.run(build=build, worker=worker))
        finally:
            connection.close()

    threads = [
        threading.Thread(target=work, args=(build, worker)) for build, worker in claimed if build
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANGS_SECONDS)
    assert sorted(build.state for build in ended) == ["ready", "reproduced"], [
        build.message for build in ended
    ]
    assert Version.objects.count() == 1
    health = checking.verify(template="tiny", version=1, actor="ann")
    assert health.problems == []


def test_a_published_version_matches_its_manifest_and_runs_from_its_kept_inputs(
    tiny: Path,
) -> None:
    version = run_build().version
    assert version is not None
    home = data_paths.version(version)
    manifest = manifests.load((home / "manifest.json.gz").read_bytes())
    assert manifest.digest() == version.tree_digest
    assert manifests.compare(manifest, home / "tree") == []
    write_definition(tiny, **{"template.toml": "broken"})
    runtime = version_runtimes.runtime_of(version)
    assert runtime.modes == ("run", "test")
    assert runtime.entry == "main.js"
    assert runtime.tree("run").root == home / "tree"
    assert runtime.tree("run").cache == home / "cache"


def test_a_rebuild_heals_a_quarantined_version(tiny: Path, data_dir: Path) -> None:
    version = run_build().version
    assert version is not None
    home = data_paths.version(version)
    file = home / "tree/node_modules/is-number/index.js"
    damaged = file.stat().st_ino
    file.chmod(0o644)
    file.write_text("evil")
    (home / "cache").chmod(0o755)
    (home / "cache/filled").unlink()
    assert checking.verify(template="tiny", version=1, actor="ann").state == "quarantined"
    build = run_build(from_version=1)
    assert (build.state, build.reproduces) == ("reproduced", version)
    assert catalog.resolve(reference="tiny@1") == version
    assert checking.verify(template="tiny", version=1, actor="ann").problems == []
    assert file.stat().st_ino != damaged
    assert "tiny@1 was quarantined and is healed" in log_text(build)
    assert AuditEvent.objects.filter(action="version.heal", object="tiny@1").count() == 1
    assert leftovers(data_dir) == []
