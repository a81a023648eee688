"""Test that changes during a stop are found before versions are served, and links are repaired."""

import os
from collections.abc import Callable

import pytest

from templatemgr import data_paths
from templatemgr.integrity import checking
from templatemgr.maintenance import startup_check
from templatemgr.models import VersionHealth
from templatemgr.promotion import promotions
from tests.faults import damage
from tests.faults.damage import folder_with, replace, text
from tests.faults.installation import Installation

QUICK = [
    "another inode", "missing file", "added file", "truncated", "file mode", "root mode",
    "note on a folder", "tree is a link to a copy", "home is missing", "moved folder",
    "link elsewhere", "file to pipe",
]  # fmt: skip


@pytest.mark.parametrize("name", QUICK)
def test_a_change_is_found_by_the_record_and_quarantined(place: Installation, name: str) -> None:
    assert place.health.record
    damage.BY_NAME[name].do(place)
    assert startup_check.check_current() == [place.version]
    assert place.health.state == "quarantined"
    assert place.submit() == 503


@pytest.mark.parametrize("name", ["cache byte", "inputs byte", "manifest flip"])
def test_a_change_beside_the_tree_is_found_and_served(place: Installation, name: str) -> None:
    damage.BY_NAME[name].do(place)
    assert startup_check.check_current() == [place.version]
    assert place.health.severity == "not_provable"


def test_nothing_is_read_when_nothing_changed(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "verify_one", lambda **_: pytest.fail("it was read"))
    # Another version that shares every file comes and goes: no other record is touched by that.
    first = next(data_paths.version(place.version).parent.glob("0001-*"))
    replace(first / "tree/own", text("evil"))
    assert startup_check.check_current() == []


def test_a_byte_under_the_same_times_is_found_by_the_full_pass(place: Installation) -> None:
    damage.BY_NAME["a byte, times kept"].do(place)
    assert startup_check.check_current() == []
    assert {found.version.template.name for found in startup_check.read_current()} == {
        "fake",
        "other",
    }
    place.work()
    assert place.health.state == "quarantined"


def test_other_versions_are_checked_beside_executions(place: Installation) -> None:
    first = VersionHealth.objects.get(version__template__name="fake", version__number=1)
    damage.replace(data_paths.version(first.version) / "tree/own", text("evil"))
    assert startup_check.check_others() == [first.version]
    first.refresh_from_db()
    assert first.state == "quarantined"


CURRENT: dict[str, Callable[[Installation], object]] = {
    "folder": lambda h: folder_with("a/b")(h.data / "templates/fake/current"),
    "file": lambda h: (h.data / "templates/fake/current").write_text("x"),
    "dangling": lambda h: (h.data / "templates/fake/current").symlink_to("nowhere"),
    "loop": lambda h: (h.data / "templates/fake/current").symlink_to("current"),
    "pipe": lambda h: os.mkfifo(h.data / "templates/fake/current"),
    "missing": lambda _: None,
}


@pytest.mark.parametrize("shape", CURRENT)
def test_the_link_of_a_version_is_repaired_and_blocks_no_start(
    place: Installation, shape: str
) -> None:
    link = place.data / "templates/fake/current"
    link.unlink()
    CURRENT[shape](place)
    assert promotions.reconcile_all() == {}
    assert str(link.readlink()) == place.version.directory
    notes = place.doctor()
    assert notes["fake link"].level == "ok"
    assert ("set aside" in notes) == (shape == "folder")
    assert place.submit() == 201


def test_one_templates_trouble_is_its_own(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place.data / "templates/other/current").unlink()
    real = promotions.reconcile

    def broken(*, template: str) -> None:
        if template == "fake":
            raise OSError(30, "Read-only file system")
        real(template=template)

    monkeypatch.setattr(promotions, "reconcile", broken)
    assert promotions.reconcile_all() == {"fake": "Read-only file system"}
    assert (place.data / "templates/other/current").is_symlink()
    note = place.doctor()["fake link"]
    assert (note.level, note.detail) == ("weaker", "cannot be set: Read-only file system")
    promotions.promote(template="fake", version=1, actor="ann", reason="r")  # the row decides


@pytest.mark.parametrize(
    "make",
    [
        lambda h: (h.data / "templates/stray").write_text("x"),
        lambda h: (h.data / "templates/fake/versions/stray").mkdir(),
        lambda h: folder_with("a/b")(h.data / "templates/fake/staging/odd"),
        lambda h: ((h.data / "templates/fake/staging").mkdir(exist_ok=True),
                   os.mkfifo(h.data / "templates/fake/staging/pipe")),
        lambda h: (h.data / "templates/fake/versions/loop").symlink_to("loop"),
        lambda h: (h.data / "objects/stray").write_text("x"),
        lambda h: folder_with("in/f")(h.data / "objects/zz/folder"),
        lambda h: folder_with("f")(h.data / "store.lock-"),
        lambda h: (
            (h.data / "store.lock").unlink(missing_ok=True),
            folder_with("f")(h.data / "store.lock"),
        ),
        lambda h: ((h.data / "templates/fake/.current.lock").unlink(missing_ok=True),
                   folder_with()(h.data / "templates/fake/.current.lock")),
    ],
)  # fmt: skip
def test_foreign_files_stop_neither_doctor_nor_start(
    place: Installation, make: Callable[[Installation], object]
) -> None:
    make(place)
    promotions.reconcile_all()
    startup_check.check_current()
    notes = place.doctor()
    assert notes["fake current"].level == "ok"
    assert notes["disk"].level == "ok"
    assert place.submit() == 201
    damage.BY_NAME["missing file"].do(place)
    place.verify(heal=True)
    assert place.health.state == "verified"
