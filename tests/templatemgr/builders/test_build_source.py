"""Test how a source distribution is read before its code runs, and how the lock records it."""

import gzip
import hashlib
import tarfile
from pathlib import Path

import pytest

from templatemgr.builders import steps
from templatemgr.builders.pip import build_source, online_pip, pip_lockfile, source_cage
from templatemgr.builders.pip.pip_lockfile import Lock, Pin, Recipe
from tests.templatemgr.builders import sdists


def pyproject(folder: Path, text: str) -> str:
    (folder / "pyproject.toml").write_text(text)
    return str(folder)


def test_a_project_without_a_build_system_is_built_by_setuptools(tmp_path: Path) -> None:
    meant = {
        "requires": ["setuptools>=40.8.0"],
        "build-backend": "setuptools.build_meta:__legacy__",
        "backend-path": [],
    }
    assert build_source.build_system(str(tmp_path)) == meant
    assert build_source.build_system(pyproject(tmp_path, "[project]\nname = 'x'\n")) == meant


def test_the_build_requirements_of_a_project_are_read(tmp_path: Path) -> None:
    text = '[build-system]\nrequires = ["flit_core<5"]\nbuild-backend = "flit_core.buildapi"\n'
    assert build_source.build_system(pyproject(tmp_path, text)) == {
        "requires": ["flit_core<5"],
        "build-backend": "flit_core.buildapi",
        "backend-path": [],
    }


@pytest.mark.parametrize(
    "text",
    [
        "[build-system]\n",
        "[build-system]\nrequires = 'setuptools'\n",
        "[build-system]\nrequires = [1]\n",
        "[build-system]\nrequires = []\nbackend-path = '.'\n",
        "[build-system\n",
    ],
)
def test_a_malformed_build_system_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"build-system|line 1"):
        build_source.build_system(pyproject(tmp_path, text))


def test_the_size_of_a_source_distribution_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = sdists.pack(tmp_path, "thing", "1.0", {"a": "x" * 50, "b": "y" * 50})
    assert build_source.unpack(str(path), str(tmp_path / "one")) == str(tmp_path / "one/thing-1.0")
    monkeypatch.setattr(build_source, "MAX_BYTES", 99)
    with pytest.raises(ValueError, match="more than 50000 files or 99 bytes"):
        build_source.unpack(str(path), str(tmp_path / "two"))
    monkeypatch.setattr(build_source, "MAX_BYTES", 100)
    build_source.unpack(str(path), str(tmp_path / "three"))
    monkeypatch.setattr(build_source, "MAX_MEMBERS", 1)
    with pytest.raises(ValueError, match="more than 1 files"):
        build_source.unpack(str(path), str(tmp_path / "four"))


def test_a_wrong_size_in_the_archive_does_not_lift_the_bound(tmp_path: Path) -> None:
    path = tmp_path / "thing-1.0.tar.gz"
    member = tarfile.TarInfo("thing-1.0/huge")
    member.size = 1 << 40
    with gzip.open(path, "wb") as file:
        file.write(member.tobuf())
    with pytest.raises(ValueError, match="more than"):
        build_source.unpack(str(path), str(tmp_path / "out"))


@pytest.mark.parametrize("event", online_pip.STARTS)
def test_each_event_that_starts_a_program_is_refused(event: str) -> None:
    with pytest.raises(PermissionError, match=r"may not start a program.*'git'"):
        online_pip.refuse(event, ("git", ["git", "clone"]))
    online_pip.refuse("socket.connect", (object(), ("index.example", 443)))


class Link:
    """Stand in for pip's link to a file of an index, and for the session that downloads it."""

    filename = "thing-1.0.tar.gz"
    url_without_fragment = "https://index.example/thing-1.0.tar.gz"

    def __init__(self, *, says: str, brings: bytes) -> None:
        self.hash_name, self.hash, self.content = "sha256", says, brings

    def get(self, url: str, **_options: object) -> "Link":
        assert url == self.url_without_fragment
        return self

    def raise_for_status(self) -> None:
        """Report success."""

    def iter_content(self, _size: int) -> list[bytes]:
        return [self.content[:3], self.content[3:]]


def test_a_download_must_match_the_hash_of_the_lock_or_else_of_the_index(tmp_path: Path) -> None:
    place, content = tmp_path / "thing.tar.gz", b"the bytes"
    digest = hashlib.sha256(content).hexdigest()
    honest, other = Link(says=digest, brings=content), Link(says="0" * 64, brings=content)
    assert online_pip._download(honest, honest, str(place), []) == digest
    assert place.read_bytes() == content
    with pytest.raises(OSError, match="DO NOT MATCH THE HASHES"):
        online_pip._download(other, other, str(place), [])
    with pytest.raises(OSError, match="DO NOT MATCH THE HASHES"):
        online_pip._download(honest, honest, str(place), ["0" * 64])
    assert online_pip._download(other, other, str(place), [digest]) == digest


LOCK = Lock(
    packages={
        "base": Pin(version="1.0", hashes=frozenset({"bb", "aa"})),
        "a-thing": Pin(version="1.2", hashes=frozenset({"cc"})),
    },
    recipes={
        "a-thing": Recipe(
            build={"base": Pin(version="3.0", hashes=frozenset({"dd"}))},
            needs=("base<2", 'more[x]>=1; extra == "fast" or python_version < "3.9"'),
        )
    },
)
TEXT = """--no-binary a-thing
a-thing==1.2 \\
    --hash=sha256:cc
base==1.0 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
base==3.0 ; extra == "build-of-a-thing" \\
    --hash=sha256:dd
base<2 ; extra == "needs-of-a-thing"
more[x]>=1 ; (extra == "fast" or python_version < "3.9") and extra == "needs-of-a-thing"
"""


def test_a_lock_is_written_and_read() -> None:
    assert pip_lockfile.write(LOCK) == TEXT
    again = pip_lockfile.read(TEXT)
    assert again.packages == LOCK.packages
    assert again.recipes["a-thing"].build == LOCK.recipes["a-thing"].build
    needs = [need.replace(" ;", ";") for need in again.recipes["a-thing"].needs]
    assert needs == list(LOCK.recipes["a-thing"].needs)
    assert pip_lockfile.write(again) == TEXT


def test_a_lock_of_another_tool_is_read() -> None:
    text = (
        "# by hand\n--no-binary :all:\nOne_Two==1 ; python_version > '3' --hash=sha256:ab\nx>=1\n"
    )
    found = pip_lockfile.read(text)
    assert found.packages == {"one-two": Pin(version="1", hashes=frozenset({"ab"}))}
    assert found.recipes == {}


def test_the_wheels_of_a_lock_exclude_the_sources() -> None:
    foreign = "# a comment\nother==1 ; sys_platform == 'linux' --hash=sha256:ee\n"
    assert pip_lockfile.wheels(TEXT + foreign, {"a-thing"}) == (
        "base==1.0 --hash=sha256:aa --hash=sha256:bb\n" + foreign
    )


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("fatal error: Python.h: No such file or directory", "no compiler"),
        ("error: command 'gcc' failed: No such file or directory", "no compiler"),
        ("error: [Errno 2] No such file or directory: 'aarch64-linux-gnu-g++'", "no compiler"),
        ("CMake Error: CMAKE_C_COMPILER not set; compiler cc not found", "no compiler"),
        ("ModuleNotFoundError: No module named 'numpy'", "does not name all"),
        ("socket.gaierror: [Errno -3] Temporary failure in name resolution", "no network"),
        ("OSError: [Errno 30] Read-only file system: '/template/x'", "outside of its own"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
    ],
)
def test_a_known_failure_of_a_build_has_a_remedy(line: str, word: str) -> None:
    remedy = steps.remedy(["running build_ext", line], source_cage.REMEDIES)
    assert remedy is not None
    assert word in remedy
