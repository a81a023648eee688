"""Test that a hung disk and files of huge size do not hold up verification."""

import errno
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from templatemgr import store
from templatemgr.maintenance import verification
from templatemgr.models import Verification
from templatemgr.trees import hashing
from tests.faults.damage import add, replace
from tests.faults.installation import Installation
from tests.faults.test_damage import back_in_service

HUGE = 1 << 40  # a hole of the file: it needs no room on the disk


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, HUGE)
    path.chmod(0o444)


def replaced_object(place: Installation) -> None:
    stored = place.object_of("lib/a.js")
    stored.unlink()
    sparse(stored)


def without_manifest(place: Installation) -> None:
    replace(place.tree / "own", sparse)
    replace(place.home / "manifest.json.gz", lambda _: None)
    store.remove(place.data / "spares")


GROWN: dict[str, Callable[[Installation], object]] = {
    "a file of the tree": lambda h: replace(h.tree / "own", sparse),
    "an added file": lambda h: add(h.tree / "lib/new", sparse),
    "a file of the cache": lambda h: replace(h.home / "cache/filled", sparse),
    "a file added to the cache": lambda h: add(h.home / "cache/new", sparse),
    "an object": replaced_object,
    "a tree without any manifest": without_manifest,
}


@pytest.mark.parametrize("name", GROWN)
def test_a_file_that_differs_in_size_or_does_not_belong_is_not_hashed(
    place: Installation, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    read = hashing.hash_file

    def hash_small(path: Path) -> str:
        assert path.stat().st_size < HUGE
        return read(path)

    monkeypatch.setattr(hashing, "hash_file", hash_small)
    GROWN[name](place)
    began = time.monotonic()
    place.verify(heal=False)
    assert place.shown()["severity"] in ("unsafe", "not_provable")
    place.let_time_pass()
    assert time.monotonic() - began < 30
    if name != "a tree without any manifest":
        back_in_service(place)


@pytest.fixture
def hung(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Hashing processes that stop as soon as they start, as on a disk that answers no more."""
    started: list[int] = []

    start = subprocess.Popen

    def stopped(argv: list[str], **options: Any) -> "subprocess.Popen[bytes]":
        child = start(argv, **options)
        if hashing.__file__ in argv:
            started.append(child.pid)
            child.send_signal(signal.SIGSTOP)
        return child

    monkeypatch.setattr(subprocess, "Popen", stopped)
    return started


def test_a_process_that_reads_nothing_is_killed_and_counts_as_failed(
    place: Installation, hung: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing, "STALL_SECONDS", 0.3)
    asked = verification.request(template="fake", version=2, actor="ann", heal=False)
    for attempt in (1, 2, 3):
        assert place.health.state == "verified"
        claimed = verification.claim(worker="verification")
        assert claimed is not None
        verification.run(verification=claimed)
        assert len(hung) == attempt
    assert place.health.state == "quarantined"
    ended = Verification.objects.get(pk=asked.pk)
    assert "read nothing for 0 seconds" in ended.message
    assert [pid for pid in hung if Path(f"/proc/{pid}").exists()] == []


def test_a_slow_process_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe that gives a little at a time is as slow as a disk can be."""
    monkeypatch.setattr(hashing, "STALL_SECONDS", 2.5)
    os.mkfifo(tmp_path / "slow")
    writer = subprocess.Popen(
        ["sh", "-c", "for n in 1 2 3 4 5 6; do echo $n; sleep 1; done > slow"], cwd=tmp_path
    )
    moved: list[float] = []
    found = hashing.hash_apart(
        tmp_path,
        ["slow"],
        busy=lambda: False,
        stop=lambda: False,
        on_file=lambda _: None,
        on_bytes=lambda: moved.append(time.monotonic()),
    )
    writer.wait()
    assert len(found["slow"]) == 64
    assert len(moved) >= 3


def test_a_paused_process_is_not_a_hung_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing, "STALL_SECONDS", 0.5)
    monkeypatch.setattr(hashing, "SHARE", 0.0)  # it may not run while executions run
    (tmp_path / "a").write_text("x")
    began = time.monotonic()
    found = hashing.hash_apart(
        tmp_path,
        ["a"],
        busy=lambda: time.monotonic() < began + 2,
        stop=lambda: False,
        on_file=lambda _: None,
    )
    assert found == hashing.hash_all(tmp_path, ["a"])


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_missing_object_is_a_doubt_also_on_a_full_disk(
    place: Installation, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    place.object_of("lib/a.js").unlink()

    def full(*_args: object, **_more: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "link", full)
        place.verify(heal=False)
    assert place.shown()["severity"] == "not_provable"
    assert [doubt["problem"] for doubt in place.health.doubts] == ["missing"]
    place.let_time_pass()
    back_in_service(place)
