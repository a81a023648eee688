"""Test that a damaged cache that cannot be removed is not used, and that the version is served."""

import os
import shutil

import pytest

from templatemgr import data_paths, store, version_runtimes
from tests.faults.damage import mount, write_in_place
from tests.faults.installation import Installation
from tests.faults.test_damage import back_in_service

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")


def caches(place: Installation) -> set[object]:
    return {tree.cache for tree in version_runtimes.runtime_of(place.version).trees.values()}


@needs_root
def test_executions_run_without_a_cache_that_cannot_be_removed(place: Installation) -> None:
    before = place.health.epoch
    mount(place, place.outside, place.home / "cache")
    place.verify(heal=True)
    assert place.shown()["severity"] == "not_provable"
    assert "cannot be removed" in str(place.shown()["findings"])
    assert place.submit() == 201
    assert caches(place) == {None}
    assert place.health.epoch > before  # warm sandboxes that see it are not used
    again = place.health.epoch
    place.undo.pop()()
    place.let_time_pass()
    back_in_service(place)
    assert caches(place) == {place.home / "cache"}
    assert place.health.epoch > again


def test_a_cache_is_in_doubt_while_the_store_cannot_be_locked(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_in_place(place.home / "cache/filled", b"X")

    def refuse(*_args: object, **_more: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(store, "locked", refuse)
        place.verify(heal=False)
    assert place.shown()["severity"] == "not_provable"
    assert place.submit() == 201
    assert caches(place) == {None}
    place.let_time_pass()
    back_in_service(place)


def test_inputs_stay_until_their_copy_is_whole(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_in_place(place.home / "inputs/said.txt", b"J")

    def full(*_args: object, **_more: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copytree", full)
        place.verify(heal=True)
    assert sorted(path.name for path in (place.home / "inputs").iterdir()) == sorted(
        path.name for path in data_paths.definition("fake").iterdir()
    )
    assert "No space left on device" in place.health.message
    place.let_time_pass()
    back_in_service(place)
