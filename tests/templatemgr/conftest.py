"""A data directory, a database that can be flushed, and a definition that builds in a second."""

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
    """A data directory and a definitions folder of this test's own."""
    settings.STENCIL_DATA = tmp_path / "var"
    settings.STENCIL_DEFINITIONS = tmp_path / "definitions"
    settings.STENCIL_DATA.mkdir()
    yield settings.STENCIL_DATA
    version_runtimes._kept_runtime.cache_clear()
    store.remove(settings.STENCIL_DATA)  # pytest cannot remove read-only folders unless root


@pytest.fixture
def committed(transactional_db: None) -> Iterator[None]:
    """A database with real commits, which the flush at the end may empty.

    The flush is a DELETE, which append-only tables refuse; it sends post_migrate, which installs
    the triggers again.
    """
    yield
    triggers.remove(connection)


@pytest.fixture
def tiny(data_dir: Path, committed: None, settings: Settings) -> Path:
    """The tiny definition's folder, with its template row."""
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
    """The whole log of a build."""
    return "\n".join(f"{line.step} {line.text}" for line in build.lines.all())


type MakeSealedVersion = Callable[..., Version]


@pytest.fixture
def make_sealed_version(data_dir: Path, committed: None) -> MakeSealedVersion:
    """`factories.make_sealed_version`, with a data directory of this test's own."""
    return factories.make_sealed_version


def link_of(name: str) -> str | None:
    """Where `current` leads on disk."""
    link = data_paths.template(name) / "current"
    return str(link.readlink()) if link.is_symlink() else None
