"""Test that the folders and locks of the data directory are repaired, and stop no executor."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from execapp.executor.daemon import Daemon
from execapp.executor.lock import ExecutorLock, LockedError
from templatemgr import data_paths, store
from templatemgr.trees import places
from tests.faults import damage
from tests.faults.damage import a_socket, at_place, fixed, folder_with, mount_empty
from tests.faults.installation import Installation
from tests.faults.test_damage import back_in_service

Make = Callable[[Path], object]
SHAPES: dict[str, Make] = {
    "folder": folder_with("a"),
    "loop": lambda p: p.symlink_to(p.name),
    "dangling": lambda p: p.symlink_to("nope/nope"),
    "pipe": os.mkfifo,
    "socket": a_socket,
}
PLACES = ["executor.lock", "executor.sock", "store.lock", "refills", "aside", "objects", "spares",
          "templates/fake/staging", "templates/fake/.current.lock"]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("path", PLACES)
def test_an_executor_starts_whatever_lies_in_a_place(
    place: Installation, path: str, shape: str
) -> None:
    at_place(place, path, SHAPES[shape])
    starts_and_serves(place)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file immutable")
@pytest.mark.parametrize("path", ["executor.lock", "executor.sock", "store.lock"])
def test_an_executor_starts_though_a_file_is_immutable(place: Installation, path: str) -> None:
    at_place(place, path, lambda p: p.write_text("not ours"))
    fixed(place.data / path)
    starts_and_serves(place)


def starts_and_serves(place: Installation) -> None:
    daemon = Daemon(slots=1, warm=0, grace=0.1)
    daemon.start()
    daemon.stop()
    place.verify(heal=True)
    place.let_time_pass()
    back_in_service(place)
    notes = place.doctor()
    assert notes["disk"].level == "ok"
    assert "data directory" not in notes


def test_nothing_in_the_way_is_deleted(tmp_path: Path) -> None:
    entry, aside = tmp_path / "objects", tmp_path / "aside"
    entry.write_text("mine")
    aside.write_text("mine, too")
    places.folder(entry, aside)
    assert entry.is_dir()
    kept = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(kept) == ["mine", "mine, too"]


def test_a_sound_place_stays_as_it_is(tmp_path: Path) -> None:
    entry, lock = tmp_path / "objects", tmp_path / "store.lock"
    (entry / "in").mkdir(parents=True)
    lock.write_text("x")
    before = entry.stat(), lock.stat()
    places.folder(entry, tmp_path / "aside")
    os.close(places.open_lock(lock, tmp_path / "aside"))
    assert (entry.stat(), lock.stat()) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["objects", "store.lock"]


def test_who_waits_for_a_lock_that_is_moved_aside_takes_the_new_one(tmp_path: Path) -> None:
    lock = tmp_path / "store.lock"
    with store.locked(lock):
        places.move_aside(lock, tmp_path / "aside")
        with store.locked(lock):
            assert lock.exists()


def test_a_lock_that_cannot_be_repaired_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "executor.lock").mkdir()

    def refuse(*_args: object, **_more: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(LockedError, match=r"cannot be used as a lock: .*Read-only file system"):
        ExecutorLock(tmp_path / "executor.lock")


def test_an_executor_keeps_its_identity_but_a_copied_directory_gets_another(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    identities = []
    for place in (first, first):
        lock = ExecutorLock(place / "executor.lock")
        identities.append(lock.identity)
        lock.release()
    shutil.copytree(first, second)
    lock = ExecutorLock(second / "executor.lock")
    lock.release()
    assert identities[0] == identities[1] != lock.identity


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_leftover_that_cannot_be_removed_blocks_no_later_repair(place: Installation) -> None:
    for _ in range(2):
        mount_empty(place, place.tree / "lib")
        place.verify(heal=True)
        back_in_service(place)
        note = place.doctor()["disk"]
        assert note.level == "weaker"
        assert "something is mounted" in note.detail
    assert len(list((place.home.parents[1] / "staging").iterdir())) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_place_that_is_mounted_over_is_told_and_hurts_nothing_else(place: Installation) -> None:
    lock = data_paths.store_lock()
    lock.unlink(missing_ok=True)
    lock.mkdir()
    damage.mount(place, place.outside, lock)
    note = place.doctor()["data directory"]
    assert note.level == "weaker"
    assert f"something is mounted over {lock}: unmount it" in note.detail
    assert place.submit() == 201
    place.verify(heal=True)
    assert place.health.state == "verified"
