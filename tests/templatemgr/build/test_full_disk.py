"""Test builds on a full disk, over their disk quota, and with paths that are too long."""

import contextlib
import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from templatemgr import data_paths, store
from templatemgr.build import pipeline
from templatemgr.build.workspace import BuildWorkspace
from templatemgr.integrity import checking
from templatemgr.models import Version
from tests.sandbox.test_tree_walk import dig
from tests.templatemgr.build.test_builds import leftovers, published
from tests.templatemgr.conftest import run_build
from tests.tiny_definition import write_definition

STEPS = ["fetching", "installing", "sealing", "smoke"]
SIZE = 400 * 1024 * 1024  # the space is never all used: a tmpfs only takes the size of its files


@pytest.fixture
def small_disk(tiny: Path, tmp_path: Path, settings: Settings) -> Iterator[Path]:
    """Give a data directory on a filesystem of its own.

    Without the right to mount, the test raises the error of a full disk in place of the write.
    """
    data = tmp_path / "small"
    data.mkdir()
    settings.STENCIL_DATA = data
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(data)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, check=False).returncode == 0
    yield data
    store.remove(data / "templates")
    if mounted:
        subprocess.run(["umount", str(data)], check=True)


def fill(data: Path) -> None:
    """Fill the mounted disk by writing; without a mount, raise the error of a full disk."""
    if not data.is_mount():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(data))
    with (data / "ballast").open("wb", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("_copy_inputs", "fetching"),
        ("_fetch", "fetching"),
        ("_seal", "sealing"),
        ("_fill_cache", "smoke"),
    ],
)
def test_a_full_disk_fails_a_build_with_a_clear_message_and_no_leftovers(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch, name: str, step: str
) -> None:
    first = run_build().version
    assert first is not None
    write_definition(Path(data_paths.definition("tiny")), pin="6.0.0")
    original = getattr(pipeline, name)

    def full(workspace: BuildWorkspace) -> None:
        if not (small_disk / "ballast").exists():
            fill(small_disk)
        original(workspace)

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, name, full)
        build = run_build()
    assert build.state == "failed"
    # Sealing itself may succeed: it frees the space of files that the store already has.
    assert STEPS.index(build.step) >= STEPS.index(step)
    assert "disk" in build.message
    assert "ree some space" in build.message
    assert leftovers(small_disk) == []
    assert len(published(small_disk)) == Version.objects.count() == 1
    (small_disk / "ballast").unlink(missing_ok=True)
    assert checking.verify(template="tiny", version=1, actor="ann").problems == []
    assert run_build().state == "ready"


def test_folders_deeper_than_a_path_can_be_are_refused_and_removed(
    tiny: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = pipeline._install

    def deep(workspace: BuildWorkspace) -> None:  # as an install script could do
        original(workspace)
        dig(workspace.tree / "deep")

    monkeypatch.setattr(pipeline, "_install", deep)
    build = run_build()
    assert (build.state, build.step) == ("failed", "sealing")
    assert "lies too deep: a tree has at most 128 levels of folders" in build.message
    assert (leftovers(data_dir), published(data_dir)) == ([], [])


def test_a_build_over_its_disk_quota_fails_with_this_reason(
    tiny: Path, data_dir: Path, settings: Settings
) -> None:
    settings.STENCIL_BUILD_BYTES = 20_000
    build = run_build()
    assert (build.state, build.step) == ("failed", "fetching")
    assert "npm ci was stopped: it wrote more than 20000 bytes" in build.message
    assert (leftovers(data_dir), published(data_dir)) == ([], [])
