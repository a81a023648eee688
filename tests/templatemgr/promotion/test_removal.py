import fcntl
import os
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from templatemgr import catalog, data_paths, store
from templatemgr.build import builds
from templatemgr.errors import InUseError, InvalidReasonError, UnavailableError, UnknownVersionError
from templatemgr.integrity import checking
from templatemgr.models import AuditEvent, Version, VersionHealth
from templatemgr.promotion import promotions, removal, usage
from templatemgr.store import Freed
from tests import factories
from tests.templatemgr.conftest import MakeSealedVersion, run_build
from tests.tiny_definition import write_definition

pytestmark = pytest.mark.usefixtures("data_dir", "committed")

WARM = len("warm")  # the cache of each version


@pytest.fixture
def versions(make_sealed_version: MakeSealedVersion) -> list[Version]:
    """Make fake@1 to fake@4, which share one file; 3 is current, 2 is the roll-back target."""
    made = [make_sealed_version({"shared": "shared!", "own": str(n) * 10}) for n in range(1, 5)]
    for number in (2, 3):
        promotions.promote(template="fake", version=number, actor="ann", reason="r")
    return made


def nobody(_version: Version) -> list[str]:
    return []


def remove(number: int, in_use: removal.InUse = nobody) -> Freed:
    return removal.remove(
        template="fake", version=number, actor="ann", reason="superseded", in_use=in_use
    )


def on_disk(data_dir: Path) -> set[tuple[int, int]]:
    """Return (inode, size) of every file of trees, caches and objects."""
    files = [*data_dir.glob("templates/*/versions/*/[tc]*/**/*"), *data_dir.glob("objects/*/*")]
    infos = [path.lstat() for path in files if path.is_file()]
    return {(info.st_ino, info.st_size) for info in infos}


def whole() -> None:
    """Assert that every version that is served or available matches its manifest."""
    for number in (2, 3, 4):
        assert checking.verify(template="fake", version=number, actor="ann").problems == []


def test_removing_frees_exactly_the_files_that_are_not_shared(
    versions: list[Version], data_dir: Path
) -> None:
    before = on_disk(data_dir)
    assert remove(1) == Freed(files=2, bytes=10 + WARM)
    after = on_disk(data_dir)
    assert after < before
    assert sum(size for _, size in before - after) == 10 + WARM
    home = data_paths.version(versions[0])
    assert not (home / "tree").exists()
    assert (home / "inputs/template.toml").is_file()
    assert home.stat().st_mode & 0o777 == 0o555
    health = VersionHealth.objects.get(version=versions[0])
    assert (health.state, health.message) == ("retired", "superseded")
    event = AuditEvent.objects.get(action="version.remove")
    assert (event.actor, event.object) == ("ann", "fake@1")
    assert event.details == {"reason": "superseded", "was": "verified"}
    with pytest.raises(UnavailableError, match="retired"):
        catalog.resolve(reference="fake@1")
    assert checking.verify(template="fake", version=1, actor="ann").state == "retired"
    whole()
    assert remove(1) == Freed()
    assert AuditEvent.objects.filter(action="version.remove").count() == 1


def test_a_version_in_use_is_not_removed(versions: list[Version]) -> None:
    with pytest.raises(InUseError, match=r"fake@3 cannot be removed: it is current\."):
        remove(3)
    with pytest.raises(InUseError, match="a roll back would make it current"):
        remove(2)
    with pytest.raises(InUseError, match="2 executions run on it"):
        remove(1, lambda version: [f"2 executions run on it ({version})"])
    factories.make_build_row(versions[0].template, "queued", options={"heal": 4})
    with pytest.raises(InUseError, match="a build is healing it"):
        remove(4)
    promotions.pin(template="fake", actor="ann", reason="exam")
    with pytest.raises(InUseError, match="current and pinned"):
        remove(3)
    with pytest.raises(UnknownVersionError):
        remove(9)
    with pytest.raises(InvalidReasonError):
        removal.remove(template="fake", version=1, actor="ann", reason=" ")
    assert set(VersionHealth.objects.values_list("state", flat=True)) == {"verified"}
    assert removal.refusals(version=versions[0], in_use=nobody) == []


def test_an_execution_found_after_retirement_keeps_the_version(versions: list[Version]) -> None:
    answers = [["an execution runs on it"], []]
    with pytest.raises(InUseError, match="an execution runs on it"):
        remove(1, lambda _version: answers.pop())
    assert catalog.resolve(reference="fake@1") == versions[0]
    assert (data_paths.version(versions[0]) / "tree").is_dir()
    assert AuditEvent.objects.filter(action="version.keep").count() == 1


@pytest.mark.parametrize("stage", ["take_away", "unshared", "remove", "collect"])
def test_a_removal_killed_half_way_is_finished_by_the_sweep(
    versions: list[Version], data_dir: Path, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store, stage, die)
        with pytest.raises(KeyboardInterrupt):
            remove(1)
    assert VersionHealth.objects.get(version=versions[0]).state == "retired"
    builds.reap()
    if stage == "collect":  # only unused objects are left, which `doctor` finds
        call_command("doctor", stdout=StringIO())
    assert not (data_paths.version(versions[0]) / "tree").exists()
    assert list(data_dir.glob("templates/*/staging/*")) == []
    assert all(path.stat().st_nlink > 1 for path in data_dir.glob("objects/*/*"))
    whole()


def test_a_removed_version_comes_back_by_a_rebuild_of_its_inputs(tiny: Path) -> None:
    first = run_build().version
    assert first is not None
    write_definition(tiny, pin="6.0.0")
    run_build()
    removal.remove(template="tiny", version=1, actor="ann", reason="r")
    build = run_build(from_version=1)
    assert (build.state, build.reproduces) == ("reproduced", first)
    assert catalog.resolve(reference="tiny@1") == first
    assert checking.verify(template="tiny", version=1, actor="ann").problems == []
    assert AuditEvent.objects.filter(action="version.restore", object="tiny@1").exists()


def test_probes_decide_and_without_probes_a_running_executor_counts(
    versions: list[Version], data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if no app above this one were installed: the probe of the executions is left out.
    monkeypatch.setattr(usage, "_probes", {})
    assert usage.reasons(versions[0]) == []
    lock = os.open(data_dir / "executor.lock", os.O_RDWR | os.O_CREAT)
    try:
        assert usage.reasons(versions[0]) == []
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "stop it first" in usage.reasons(versions[0])[0]
        usage.register("test", lambda version: "needed" if version.number == 1 else None)
        try:
            assert usage.reasons(versions[0]) == ["needed"]
            assert usage.reasons(versions[1]) == []
        finally:
            usage.unregister("test")
    finally:
        os.close(lock)


def test_remove_version_reports_the_freed_space(versions: list[Version]) -> None:
    out = StringIO()
    call_command("remove_version", "fake", "1", "--reason", "old", stdout=out)
    assert out.getvalue() == "fake@1 is removed: 2 files, 14 bytes freed.\n"
    with pytest.raises(CommandError, match="it is current"):
        call_command("remove_version", "fake", "3", "--reason", "old")
