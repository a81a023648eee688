"""The installation of each test, and which third of the matrix runs today."""

import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from pytest_django import Settings

from templatemgr import store, version_runtimes
from templatemgr.trees import listing
from tests.faults import installation
from tests.templatemgr.conftest import committed

__all__ = ["committed"]

THIRDS = 3


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep a third of the matrix; STENCIL_FAULTS says "all", or which (0, 1, 2) instead of today's.

    What is named alone on the command line always runs.
    """
    chosen = os.environ.get("STENCIL_FAULTS", str(datetime.now(UTC).toordinal() % THIRDS))
    if chosen == "all" or any("::" in argument for argument in config.args):
        return
    mine = [item for item in items if item.get_closest_marker("matrix") is not None]
    left = [item for item in mine if third_of(item.name) != int(chosen)]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in set(left)]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "matrix: one of the many kinds of damage")


def third_of(name: str) -> int:
    """Which third a test is of, by its name: the same on every machine."""
    return sha256(name.encode()).digest()[0] % THIRDS


@pytest.fixture
def data_dir(tmp_path: Path, settings: Settings) -> Path:
    """A data directory and a definitions folder of this test's own."""
    data = tmp_path / "var"
    settings.STENCIL_DATA, settings.STENCIL_DEFINITIONS = data, tmp_path / "definitions"
    data.mkdir()
    return data


@pytest.fixture
def place(
    data_dir: Path, tmp_path: Path, settings: Settings, committed: None
) -> Iterator[installation.Installation]:
    """A small Stencil whose fake@2 is to be damaged."""
    Path(settings.STATIC_ROOT).mkdir(exist_ok=True)
    made = installation.build(data_dir, tmp_path / "outside", settings.STENCIL_DEFINITIONS)
    yield made
    for undo in reversed(made.undo):
        undo()
    for mounted in reversed(listing.mounts_below(data_dir)):  # moved with the folder around it
        subprocess.run(["umount", "-l", mounted], check=True)
    if os.geteuid() == 0:
        subprocess.run(["chattr", "-R", "-f", "-i", str(data_dir)], check=False)
    version_runtimes._kept_runtime.cache_clear()
    store.remove(data_dir)
