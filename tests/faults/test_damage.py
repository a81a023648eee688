"""Test each kind of damage: the version is not served, is healed, and the damage is reported."""

import os
from pathlib import Path

import pytest

from templatemgr import catalog, data_paths, version_runtimes
from templatemgr.errors import UnavailableError
from templatemgr.integrity import checking
from templatemgr.models import Build, VersionHealth
from tests.faults import damage, installation
from tests.faults.conftest import third_of
from tests.faults.damage import EVERY, REST, TREE, Fault
from tests.faults.installation import Installation

ROOT = os.geteuid() == 0
# Root can read every file, and only root can cause some faults: leave impossible pairs out.
POSSIBLE = [fault for fault in EVERY if not (fault.user if ROOT else fault.root)]


def named(faults: list[Fault]) -> list[object]:
    return [pytest.param(fault, id=fault.name) for fault in faults]


@pytest.mark.matrix
@pytest.mark.parametrize("fault", named(POSSIBLE))
def test_damage_is_found_reported_and_repaired(place: Installation, fault: Fault) -> None:
    fault.do(place)
    place.verify(heal=False)
    assert_reported(place, fault)
    served_as_it_is_safe(place, fault)
    place.let_time_pass()
    if fault.nowhere:
        a_rebuild_is_on_its_way(place)
    elif fault.heals:
        back_in_service(place)
    else:
        assert place.shown()["severity"] == fault.severity
        assert place.health.state == ("quarantined" if fault.severity == "unsafe" else "verified")
        assert place.submit() == (503 if fault.severity == "unsafe" else 201)
        assert place.health.retry_at is not None
        while place.undo:
            place.undo.pop()()
        place.let_time_pass()
        back_in_service(place)
    nobody_else_was_hurt(place, whole=not fault.nowhere)


def a_rebuild_is_on_its_way(place: Installation) -> None:
    """Assert that a version whose bytes are lost stays quarantined with one queued rebuild."""
    assert place.health.state == "quarantined"
    assert place.submit() == 503
    assert Build.objects.filter(template__name="fake", options__heal=2).count() == 1
    assert place.health.retry_at is not None


def assert_reported(place: Installation, fault: Fault) -> None:
    """Assert that API, page and doctor report the same damage and its severity."""
    shown = place.shown()
    assert shown["severity"] == fault.severity
    said = " ".join(f"{f['path']} {f['problem']} {f['detail']}" for f in shown["findings"])
    assert fault.word in said
    page, doctor = place.page(), place.doctor()
    if fault.severity == "unsafe":
        assert shown["state"] == "quarantined"
        assert all(finding["severity"] for finding in shown["findings"])
        assert "is quarantined and is not served" in page
        assert doctor["fake current"].level == "missing"
        assert "unsafe" in doctor["fake current"].detail
    else:
        assert shown["state"] == "verified"
        assert "served, not provable" in page
        assert doctor["fake current"].level == "weaker"
        assert "not provable" in doctor["fake current"].detail
    assert doctor["other current"].level == "ok" or "other@1" in doctor["other current"].detail
    assert "Healing is tried again" in page
    assert shown["retry"] is not None


def served_as_it_is_safe(place: Installation, fault: Fault) -> None:
    if fault.severity == "unsafe":
        assert place.submit() == 503
        with pytest.raises(UnavailableError):
            catalog.resolve(reference="fake")
        return
    assert place.submit() == 201
    assert version_runtimes.runtime_of(place.version).modes == ("run", "test")
    # The remaining cache has no damaged file.
    cache = place.home / "cache"
    assert not cache.is_symlink()
    assert sorted(path.name for path in cache.iterdir()) in ([], ["filled"])
    if (cache / "filled").exists():
        assert (cache / "filled").read_bytes() == b"filled\n"


def back_in_service(place: Installation) -> None:
    health = place.health
    assert (health.state, health.problems, health.doubts) == ("verified", [], [])
    assert place.whole()
    assert place.submit() == 201
    assert place.shown()["severity"] == "none"
    assert "matches the manifest" in place.page() or "match the manifest" in place.page()
    assert place.doctor()["fake current"].level == "ok"


def nobody_else_was_hurt(place: Installation, *, whole: bool) -> None:
    assert place.canary.read_bytes() == installation.CANARY
    assert place.canary.stat().st_mode & 0o7777 == 0o640
    if whole:
        place.let_time_pass()
        assert installation.others_are_whole()
        assert installation.objects_are_sound()


def test_the_matrix_is_as_large_as_it_says() -> None:
    assert len(EVERY) >= 100
    assert len({fault.name for fault in EVERY}) == len(EVERY)
    assert {len(TREE) > 60, len(REST) > 30} == {True}


def test_every_third_is_run_some_day() -> None:
    thirds = [third_of(f"test_damage_is_found_reported_and_repaired[{f.name}]") for f in EVERY]
    assert {thirds.count(number) > len(EVERY) // 5 for number in range(3)} == {True}


def test_a_version_that_cannot_be_healed_does_not_block_others(place: Installation) -> None:
    """Version A has lost its bytes; version B of another template can be healed."""
    for path in ("own",):
        place.object_of(path).unlink()
        damage.replace(place.tree / path, damage.text("evil"))
    damage.replace(place.home / "inputs", lambda _: None)
    damage.write_in_place(place.data.parent / "definitions/fake/said.txt", b"J")
    for number in (1,):
        folder = data_paths.version(place.version).parent
        first = next(folder.glob(f"{number:04d}-*"))
        damage.replace(first / "inputs", lambda _: None)
    other = place.data / "templates/other"
    tree = next((other / "versions").iterdir()) / "tree"
    damage.replace(tree / "said.txt", damage.text("evil"))
    place.verify(heal=True)
    checking.verify(template="other", version=1, actor="ann")
    place.let_time_pass(times=1)
    assert place.health.state == "quarantined"
    assert "no copy of its content exists" in place.health.message
    assert place.health.retry_at is not None
    assert VersionHealth.objects.get(version__template__name="other").state == "verified"
    assert (tree / "said.txt").read_text() == "hello\n"


def test_without_hard_links_everything_is_a_copy_and_heals(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_args: object, **_more: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    damage.BY_NAME["a byte in place"].do(place)
    place.object_of("lib/deep/b.js").unlink()  # no finding here: nothing could have put it there
    place.verify(heal=False)
    assert place.health.state == "quarantined"
    # No tree has a sound copy of the shared bytes: they were one inode.
    (place.data.parent / "a.js").write_text("shared a")
    stored = place.object_of("lib/a.js")
    stored.unlink()
    stored.write_text("shared a")
    stored.chmod(0o444)
    place.let_time_pass()
    assert (place.health.state, place.health.problems) == ("verified", [])
    assert place.whole()
    assert Path(place.tree / "lib/a.js").stat().st_nlink == 1


@pytest.mark.parametrize(
    "name",
    [
        "added nested folders", "moved folder", "link to a folder copied as by cp -rL",
        "folder to link outside", "file to folder with files", "missing folder", "setuid",
        "another inode", "two files swapped",
    ],
)  # fmt: skip
def test_the_loop_repairs_in_place_where_it_can(place: Installation, name: str) -> None:
    """A copy of the whole folder would also repair it, and hide what the loop cannot do."""
    before = place.tree.stat().st_ino
    damage.BY_NAME[name].do(place)
    place.verify(heal=True)
    back_in_service(place)
    assert place.tree.stat().st_ino == before
    assert place.canary.read_bytes() == installation.CANARY
