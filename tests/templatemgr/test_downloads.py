"""Test the download cache: stored by hash, verified when a file is taken, limited in size."""

import base64
import hashlib
import os
from pathlib import Path

import pytest
from pytest_django import Settings

from templatemgr import data_paths, downloads
from templatemgr.downloads import Content
from tests.templatemgr.conftest import log_text, run_build
from tests.tiny_definition import INTEGRITY

BLOCK = 4096


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    return hashlib.new(algorithm, data).hexdigest()


def wanted(data: bytes, *, name: str | None = None) -> Content:
    return Content(algorithm="sha256", digest=digest_of(data), folder="kept", name=name)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Keep four files of one block each, one after the other, long ago."""
    folder = tmp_path / "cache"
    for number in range(1, 5):
        data = bytes([number]) * BLOCK
        source = tmp_path / f"file-{number}.whl"
        source.write_bytes(data)
        downloads.keep(folder, [wanted(data)], [source], {digest_of(data): f"host-{number}:443"})
        place = folder / "sha256" / digest_of(data) / source.name
        os.utime(place, (number * 1000, number * 1000))
    return folder


def left(kept: Path) -> set[str]:
    return {path.name for path in kept.rglob("*.whl")}


def test_a_wanted_file_is_taken_with_its_source(kept: Path, tmp_path: Path) -> None:
    data = b"\2" * BLOCK
    origins = downloads.take(kept, [wanted(data), wanted(b"never kept")], tmp_path / "workspace")
    assert origins == {digest_of(data): "host-2:443"}
    assert [path.name for path in (tmp_path / "workspace/kept").iterdir()] == ["file-2.whl"]
    named = Content(algorithm="sha256", digest=digest_of(data), folder="a/b", name="c")
    downloads.take(kept, [named], tmp_path / "workspace")
    assert (tmp_path / "workspace/a/b/c").read_bytes() == data


@pytest.mark.parametrize("how", ["bytes", "link", "folder", "pipe"])
def test_a_file_with_another_digest_than_its_name_is_not_used(
    kept: Path, tmp_path: Path, how: str
) -> None:
    data = b"\2" * BLOCK
    place = kept / "sha256" / digest_of(data) / "file-2.whl"
    place.unlink()
    if how == "bytes":
        place.write_bytes(b"false")
    elif how == "link":
        place.symlink_to(tmp_path / "file-1.whl")
    elif how == "pipe":
        os.mkfifo(place)
    else:
        place = kept / "sha256" / digest_of(data) / "empty"
        place.write_bytes(b"")
    assert downloads.take(kept, [wanted(data)], tmp_path / "workspace") == {}
    assert not list((tmp_path / "workspace").rglob("*.whl"))
    assert not place.exists()


def test_only_files_in_the_lock_are_kept(tmp_path: Path) -> None:
    for name, data in (("good.whl", b"good"), ("other.whl", b"other")):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "link.whl").symlink_to(tmp_path / "good.whl")
    files = sorted(tmp_path.glob("*.whl"))
    old = tmp_path / "cache/_cacache/index-v5/aa"
    old.parent.mkdir(parents=True)
    old.write_text("an answer that an earlier layout kept by its address")
    downloads.keep(tmp_path / "cache", [wanted(b"good")], files, {})
    found = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert found == [tmp_path / "cache/sha256" / digest_of(b"good") / "good.whl"]


@pytest.mark.parametrize("text", ["", "sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=", "md5-x", "sha512-AAAA",
    "sha512-../../../x", "sha256-" + "A" * 88, "sha512"])  # fmt: skip
def test_a_weak_or_malformed_hash_is_ignored(text: str) -> None:
    assert downloads.from_integrity(text) is None


def test_an_integrity_is_read() -> None:
    raw = base64.b64encode(hashlib.sha512(b"x").digest()).decode()
    assert downloads.from_integrity(f"sha512-{raw}") == ("sha512", digest_of(b"x", "sha512"))


@pytest.mark.parametrize("digest", ["..", "a/b", "A" * 64, "g" * 64, "a" * 63, ""])
def test_a_digest_that_is_a_path_is_ignored(kept: Path, tmp_path: Path, digest: str) -> None:
    content = Content(algorithm="sha256", digest=digest, folder="kept")
    assert downloads.take(kept, [content], tmp_path / "workspace") == {}


def test_nothing_is_evicted_within_the_bound(kept: Path) -> None:
    assert downloads.trim(kept, 4 * BLOCK).files == 0
    assert len(left(kept)) == 4


def test_the_least_recently_used_files_are_evicted_with_empty_folders(kept: Path) -> None:
    freed = downloads.trim(kept, 2 * BLOCK)
    assert (freed.files, freed.bytes) == (2, 2 * BLOCK)
    assert left(kept) == {"file-3.whl", "file-4.whl"}
    assert len(list((kept / "sha256").iterdir())) == 2


def test_a_file_taken_by_a_build_counts_as_used(kept: Path, tmp_path: Path) -> None:
    downloads.take(kept, [wanted(b"\1" * BLOCK)], tmp_path / "workspace")
    downloads.trim(kept, 2 * BLOCK)
    assert left(kept) == {"file-1.whl", "file-4.whl"}


def test_a_build_keeps_only_tarballs_and_within_the_setting(tiny: Path, settings: Settings) -> None:
    first = run_build()
    assert first.state == "ready", first.message
    kept = data_paths.downloads("npm")
    found = downloads.from_integrity(INTEGRITY["7.0.0"])
    assert found is not None
    files = [path for path in kept.rglob("*") if path.is_file()]
    home = kept / found[0] / found[1]
    assert sorted(files) == [home / ".origin", home / "content"]
    host = first.origins["packages"]["is-number 7.0.0"]
    assert (home / ".origin").read_text() == host
    assert first.origins["configured"] == first.origins["reached"] == [host]
    second = run_build()
    assert second.origins["packages"] == first.origins["packages"]
    assert second.origins["reached"] == []  # the files were in the cache
    settings.STENCIL_DOWNLOAD_BYTES = 0
    build = run_build()
    assert build.state == "reproduced"
    assert "old downloads" in log_text(build)
    assert [path for path in kept.rglob("*") if path.is_file()] == []
    assert run_build().state == "reproduced"  # the second build starts with an empty cache
