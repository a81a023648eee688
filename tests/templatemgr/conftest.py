"""Fixtures: a data directory, a database that can be flushed, a small definition."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings

from core.database import triggers
from templatemgr import catalog, data_paths, store, version_runtimes
from templatemgr.build import builds
from templatemgr.models import Build, Version
from tests import factories
from tests.tiny_definition import write_definition


@pytest.fixture
def data_dir(tmp_path: Path, settings: Settings) -> Iterator[Path]:
    """Give each test a data directory and a definitions folder of its own."""
    settings.STENCIL_DATA = tmp_path / "var"
    settings.STENCIL_DEFINITIONS = tmp_path / "definitions"
    settings.STENCIL_DATA.mkdir()
    yield settings.STENCIL_DATA
    version_runtimes._kept_runtime.cache_clear()
    store.remove(settings.STENCIL_DATA)  # without root, pytest cannot remove read-only folders


@pytest.fixture
def committed(transactional_db: None) -> Iterator[None]:
    """Give a database with real commits, which the flush at the end may empty.

    The flush is a DELETE, which append-only tables refuse; it sends post_migrate, which installs
    the triggers again.
    """
    yield
    triggers.remove(connection)


@pytest.fixture
def tiny(data_dir: Path, committed: None, settings: Settings) -> Path:
    """Write the tiny definition with its template row; return its folder."""
    folder = write_definition(settings.STENCIL_DEFINITIONS / "tiny")
    catalog.sync_definitions()
    return folder


def run_build(template: str = "tiny", **values: Any) -> Build:
    """Request, claim and run a build, as an executor does."""
    build = builds.request(
        template=template, kind=values.pop("kind", "rebuild"), actor="ann", **values
    )
    claimed = builds.claim(worker="w1", build_id=build.pk)
    assert claimed is not None
    return builds.run(build=claimed, worker="w1")


def log_text(build: Build) -> str:
    """Return the whole log of a build."""
    return "\n".join(f"{line.step} {line.text}" for line in build.lines.all())


type MakeSealedVersion = Callable[..., Version]


@pytest.fixture
def make_sealed_version(data_dir: Path, committed: None) -> MakeSealedVersion:
    """Return `factories.make_sealed_version`, bound to the data directory of this test."""
    return factories.make_sealed_version


def link_of(name: str) -> str | None:
    """Return the target of `current` on disk."""
    link = data_paths.template(name) / "current"
    return str(link.readlink()) if link.is_symlink() else None
