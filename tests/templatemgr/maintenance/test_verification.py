"""Test verification jobs: request, schedule, claim, the hashing process, healing."""

import os
import signal
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django import Settings

from templatemgr import data_paths
from templatemgr.build import builds
from templatemgr.errors import UnknownVerificationError, UnknownVersionError
from templatemgr.integrity import inspection
from templatemgr.maintenance import verification
from templatemgr.models import AuditEvent, Build, Verification, Version, VersionHealth
from templatemgr.promotion import promotions, usage
from templatemgr.queues import VERIFICATIONS
from templatemgr.trees import hashing
from tests.templatemgr.conftest import MakeSealedVersion, run_build
from tests.templatemgr.maintenance.test_healing import DAMAGES, spoil
from tests.tiny_definition import write_definition

pytestmark = pytest.mark.usefixtures("data_dir", "committed")


def request(version: int = 1, template: str = "fake", **values: bool) -> Verification:
    return verification.request(template=template, version=version, actor="ann", **values)


def run_next(**values: object) -> Verification:
    claimed = verification.claim(worker="w1")
    assert claimed is not None
    around = verification.Surroundings(**values)  # type: ignore[arg-type]
    return verification.run(verification=claimed, surroundings=around)


def age(version: Version, hours: float) -> None:
    moment = timezone.now() - timedelta(hours=hours)
    VersionHealth.objects.filter(version=version).update(checked_at=moment)


def test_a_healthy_version_is_read_to_the_last_byte(make_sealed_version: MakeSealedVersion) -> None:
    version = make_sealed_version({"a": "aaaa", "b": "aaaa", "c/d": "dd"})
    asked = request()
    assert (asked.state, asked.percent) == ("queued", 0)
    ended = run_next()
    assert (ended.state, ended.problems, ended.percent) == ("verified", 0, 100)
    # "aaaa" is one inode in the tree; "warm" is in the cache.
    assert (ended.files_done, ended.files_total) == (3, 3)
    assert (ended.bytes_done, ended.bytes_total) == (10, 10)
    assert verification.latest(version=version) == ended
    health = VersionHealth.objects.get(version=version)
    assert (health.state, health.checked_by) == ("verified", "ann")
    actions = AuditEvent.objects.order_by("sequence").values_list("action", flat=True)
    assert list(actions) == ["version.verify_request", "version.verify"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_kind_of_damage_is_found_and_healed(
    make_sealed_version: MakeSealedVersion, damage: str
) -> None:
    version = make_sealed_version({"lib/a.js": "a", "own": "1"}, links={"link": "lib/a.js"})
    DAMAGES[damage](data_paths.version(version) / "tree")
    request(heal=True)
    ended = run_next()
    assert ended.state == "healed"
    assert ended.problems > 0
    assert inspection.inspect(version).problems == ()


def test_a_bad_cache_is_dropped_and_filled_again_without_a_rebuild(tiny: Path) -> None:
    version = run_build().version
    assert version is not None
    spoil(data_paths.version(version) / "cache/filled", "cold")
    request(template="tiny", heal=True)
    ended = run_next()
    assert (ended.state, ended.problems, ended.build) == ("healed", 1, None)
    assert (data_paths.version(version) / "cache/filled").read_text() == "filled\n"
    assert VersionHealth.objects.get().doubts == []


def test_a_cache_that_cannot_be_filled_stays_removed_and_is_tried_again(
    make_sealed_version: MakeSealedVersion,
) -> None:
    version = make_sealed_version({"a": "a"})  # this tree has no runner
    spoil(data_paths.version(version) / "cache/warm", "cold")
    request(heal=True)
    ended = run_next()
    assert ended.state == "verified"
    assert "The cache is not filled" in ended.message
    health = VersionHealth.objects.get()
    assert (health.state, health.parts, health.tries) == ("verified", ["cache"], 1)
    assert health.retry_at is not None
    assert Build.objects.filter(options__heal=1).count() == 0


def test_a_version_that_a_queued_rebuild_cannot_heal_has_a_reason(tiny: Path) -> None:
    version = run_build().version
    assert version is not None
    spoil(data_paths.version(version) / "tree/said.txt")
    spoil(data_paths.version(version) / "inputs/said.txt")
    (tiny / "said.txt").write_text("other\n")
    request(template="tiny", heal=True)
    ended = run_next()
    assert (ended.state, ended.build) == ("quarantined", None)
    assert "restore them from a backup" in ended.message
    assert "restore them from a backup" in VersionHealth.objects.get(version=version).message
    assert AuditEvent.objects.filter(action="version.heal_failed").count() == 1


def test_a_rebuild_by_the_build_worker_that_heals_nothing_leaves_its_reason(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = run_build().version
    assert version is not None
    spoil(data_paths.version(version) / "tree/said.txt")
    request(template="tiny", heal=True)
    assert run_next().build is not None
    monkeypatch.setattr("templatemgr.builders.npm.npm_builder.NPM", ("/usr/bin/false",))
    build = builds.claim(worker="w1")
    assert build is not None
    assert builds.run(build=build, worker="w1").state == "failed"
    health = VersionHealth.objects.get(version=version)
    assert health.state == "quarantined"
    assert "npm ci ended with status 1" in health.message
    assert AuditEvent.objects.get(action="version.heal_failed").actor == "ann"


def test_the_rebuild_by_the_build_worker_heals(tiny: Path) -> None:
    version = run_build().version
    assert version is not None
    damaged = spoil(data_paths.version(version) / "tree/said.txt")
    request(template="tiny", heal=True)
    assert run_next().state == "quarantined"
    build = builds.claim(worker="w1")
    assert build is not None
    assert builds.run(build=build, worker="w1").state == "reproduced"
    assert VersionHealth.objects.get(version=version).state == "verified"
    file = data_paths.version(version) / "tree/said.txt"
    assert file.read_text() == "hello\n"
    assert file.stat().st_ino != damaged


def test_a_rebuild_of_another_version_restores_the_shared_files(tiny: Path) -> None:
    versions = [run_build().version]
    write_definition(tiny, **{"smoke/run/src/extra.js": "// more\n"})
    versions.append(run_build().version)
    assert versions[0] is not None
    home = data_paths.version(versions[0])
    spoil(home / "tree/said.txt")  # both versions have this file
    spoil(home / "inputs/said.txt")  # so that the first version cannot be rebuilt
    request(template="tiny", heal=True)
    ended = run_next()
    assert ended.build is not None
    assert ended.build.options == {"heal": 2}
    build = builds.claim(worker="w1")
    assert build is not None
    assert builds.run(build=build, worker="w1").state == "reproduced"
    assert (home / "tree/said.txt").read_text() == "hello\n"
    first, second = VersionHealth.objects.order_by("version__number")
    # The remaining problem is reported, and the version is served.
    assert (first.state, first.problems, first.parts) == ("verified", [], ["inputs"])
    assert (second.state, second.doubts) == ("verified", [])


def test_a_second_request_returns_the_queued_verification(
    make_sealed_version: MakeSealedVersion,
) -> None:
    make_sealed_version({"a": "a"})
    first = request()
    assert request() == first
    assert AuditEvent.objects.count() == 1
    run_next()
    assert request() != first


def test_an_unknown_version_is_refused(make_sealed_version: MakeSealedVersion) -> None:
    make_sealed_version({"a": "a"})
    with pytest.raises(UnknownVersionError):
        request(7)
    for unknown in ("nonsense", "0198c0de-0000-7000-8000-000000000000"):
        with pytest.raises(UnknownVerificationError):
            verification.get(verification_id=unknown)


def test_requests_of_people_come_before_the_schedule(
    make_sealed_version: MakeSealedVersion,
) -> None:
    for number in (1, 2):
        make_sealed_version({"a": str(number)})
    verification.request(template="fake", version=1, actor="schedule", scheduled=True)
    asked = request(2)
    claimed = verification.claim(worker="w1")
    assert claimed == asked
    assert verification.claim(worker="w2") is not None
    assert verification.claim(worker="w3") is None


def test_the_schedule_verifies_served_versions_often_and_others_rarely(
    make_sealed_version: MakeSealedVersion, settings: Settings
) -> None:
    settings.STENCIL_VERIFY_HOURS, settings.STENCIL_VERIFY_ALL_HOURS = 24, 100
    versions = [make_sealed_version({"a": str(number)}) for number in range(1, 6)]
    for number in (2, 3):
        promotions.promote(template="fake", version=number, actor="ann", reason="r")
    VersionHealth.objects.filter(version=versions[4]).update(state="retired")
    for version in versions:
        age(version, 30)
    usage.register("test", lambda version: "a client is pinned" if version.number == 4 else None)
    try:
        asked = verification.schedule()
    finally:
        usage.unregister("test")
    # The previous, the current and a held version; neither version 1 nor a removed version.
    assert sorted(found.version.number for found in asked) == [2, 3, 4]
    assert {(found.requested_by, found.scheduled) for found in asked} == {("schedule", True)}
    assert verification.schedule() == []
    age(versions[0], 101)
    assert [found.version.number for found in verification.schedule()] == [1]


def test_no_interval_means_no_schedule(
    make_sealed_version: MakeSealedVersion, settings: Settings
) -> None:
    age(make_sealed_version({"a": "a"}), 10_000)
    settings.STENCIL_VERIFY_HOURS = settings.STENCIL_VERIFY_ALL_HOURS = 0
    assert verification.schedule() == []
    settings.STENCIL_VERIFY_ALL_HOURS = 1
    assert len(verification.schedule()) == 1


def test_three_interrupted_verifications_quarantine_the_version(
    make_sealed_version: MakeSealedVersion,
) -> None:
    make_sealed_version({"a": "a"})
    request()
    for _ in range(2):
        assert verification.claim(worker="w1") is not None
        assert verification.take_over(worker="w1") == 1
        assert Verification.objects.get().state == "queued"
    assert verification.claim(worker="w1") is not None
    Verification.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert verification.reap() == 1
    found = Verification.objects.get()
    assert found.state == "quarantined"
    assert "ended, 3 times" in found.message
    health = VersionHealth.objects.get()
    assert health.state == "quarantined"
    assert health.problems[0]["problem"] == "unreadable"


def test_a_stopped_verification_is_queued_again_and_records_nothing(
    make_sealed_version: MakeSealedVersion,
) -> None:
    make_sealed_version({"a": "a"})
    request()
    for _ in range(VERIFICATIONS.max_attempts):  # a stop is no failed attempt
        assert run_next(stop=lambda: True).state == "queued"
    assert not AuditEvent.objects.filter(action="version.verify").exists()
    assert run_next().state == "verified"


def test_a_hashing_process_that_dies_three_times_quarantines_the_version(
    make_sealed_version: MakeSealedVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_sealed_version({"a": "a"})
    request(heal=False)
    monkeypatch.setattr(hashing, "__file__", "/nowhere/hashing.py")
    for _ in range(2):
        assert run_next().state == "queued"
        assert VersionHealth.objects.get().state == "verified"
    ended = run_next()
    assert ended.state == "quarantined"
    assert "ended after 0 of 1 files" in ended.message
    health = VersionHealth.objects.get()
    assert (health.state, health.problems[0]["problem"]) == ("quarantined", "unreadable")
    # Healing checks the version again, in this process, and finds no problem.
    monkeypatch.undo()
    request(heal=True)
    assert run_next().state == "verified"


def test_hashing_pauses_under_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [f"f{number}" for number in range(8)]
    for path in paths:
        (tmp_path / path).write_bytes(os.urandom(1024))
    signals: list[int] = []
    send = subprocess.Popen.send_signal

    def noted(child: subprocess.Popen[bytes], number: int) -> None:
        signals.append(number)
        send(child, number)

    monkeypatch.setattr(subprocess.Popen, "send_signal", noted)
    heard: list[str] = []
    found = hashing.hash_apart(
        tmp_path, paths, busy=lambda: True, stop=lambda: False, on_file=heard.append
    )
    assert found == hashing.hash_all(tmp_path, paths)
    assert heard == paths
    assert signals[:2] == [signal.SIGSTOP, signal.SIGCONT]


def test_the_hashing_process_has_the_lowest_cpu_priority(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "waits")  # the process waits in open() until a writer opens the pipe
    seen: list[tuple[int, str]] = []

    def look() -> bool:
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                text = status.read_text()
                argv = (status.parent / "cmdline").read_bytes()
            except OSError:
                continue
            fields = text.rpartition(")")[2].split()
            if str(tmp_path).encode() in argv.split(b"\0") and fields[16] == "19":
                seen.append((int(fields[1]), fields[16]))
        return bool(seen)

    with pytest.raises(hashing.StoppedError):
        hashing.hash_apart(
            tmp_path, ["waits"], busy=lambda: False, stop=look, on_file=lambda _: None
        )
    assert seen[0] == (os.getpid(), "19")


def test_an_unreadable_file_counts_as_changed(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("x")
    reads: list[hashing.Hasher] = [
        hashing.look_at_all,
        lambda root, paths: hashing.hash_apart(
            root, paths, busy=lambda: False, stop=lambda: False, on_file=lambda _: None
        ),
    ]
    for read in reads:
        found = read(tmp_path, ["there", "gone"])
        assert found["gone"] == hashing.UNREADABLE
        assert found["there"] == hashing.hash_file(tmp_path / "there")
    assert Build.objects.count() == 0
