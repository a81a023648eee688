"""Fixtures of a small Stencil for each test, and the choice of today's third of the matrix."""

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
    """Keep a third of the matrix: today's, or the third that STENCIL_FAULTS names (0, 1, 2 or all).

    A test that is named on the command line always runs.
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
    """Return the third of a test, by a hash of its name: the same on every machine."""
    return sha256(name.encode()).digest()[0] % THIRDS


@pytest.fixture
def data_dir(tmp_path: Path, settings: Settings) -> Path:
    """Return an empty data directory; set an empty definitions folder."""
    data = tmp_path / "var"
    settings.STENCIL_DATA, settings.STENCIL_DEFINITIONS = data, tmp_path / "definitions"
    data.mkdir()
    return data


@pytest.fixture
def place(
    data_dir: Path, tmp_path: Path, settings: Settings, committed: None
) -> Iterator[installation.Installation]:
    """Yield a small Stencil whose fake@2 the test damages."""
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
