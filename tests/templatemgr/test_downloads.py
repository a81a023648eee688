import os
from pathlib import Path

import pytest
from pytest_django import Settings

from templatemgr import downloads, hashing
from templatemgr.services import places
from tests.templatemgr.conftest import log_text, run_build

BLOCK = 4096


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Four files of a block each, downloaded one after the other long ago."""
    for number, name in enumerate(("a/one", "a/two", "b/three", "b/four"), start=1):
        path = tmp_path / "cache" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(BLOCK))
        os.utime(path, (number * 1000, number * 1000))
    return tmp_path / "cache"


def left(cache: Path) -> set[str]:
    return {path.relative_to(cache).as_posix() for path in cache.rglob("*")}


def test_what_fits_stays(cache: Path) -> None:
    before = left(cache)
    assert downloads.trim(cache, 4 * BLOCK).files == 0
    assert left(cache) == before


def test_what_was_used_longest_ago_goes_first_and_empty_folders_with_it(cache: Path) -> None:
    freed = downloads.trim(cache, 2 * BLOCK)
    assert (freed.files, freed.bytes) == (2, 2 * BLOCK)
    assert left(cache) == {"b", "b/three", "b/four"}


def test_what_a_build_read_counts_as_used(cache: Path) -> None:
    downloads.forget_reads(cache)
    hashing.hash_file(cache / "a/one")
    if (cache / "a/one").stat().st_atime_ns == 0:
        os.utime(cache / "a/one")  # this filesystem notes no reads: as one that does would
    downloads.trim(cache, 2 * BLOCK)
    assert left(cache) == {"a", "a/one", "b", "b/four"}
    downloads.forget_reads(cache)
    downloads.trim(cache, BLOCK)  # and it is remembered until the next build
    assert left(cache) == {"a", "a/one"}


def test_a_build_keeps_its_downloads_within_the_setting(tiny: Path, settings: Settings) -> None:
    assert run_build().state == "ready"
    kept = places.downloads("npm")
    assert sum(path.stat().st_size for path in kept.rglob("*") if path.is_file()) > 0
    settings.STENCIL_DOWNLOAD_BYTES = 0
    build = run_build()
    assert build.state == "reproduced"
    assert "left the downloads" in log_text(build)
    assert [path for path in kept.rglob("*") if path.is_file()] == []
    assert run_build().state == "reproduced"  # from an empty cache
