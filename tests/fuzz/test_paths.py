"""Fuzz paths on a real disk: an accepted path is written below the sources and nowhere else."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.session.paths import check_paths

PARTS = st.sampled_from(
    ["a", "b", "A", "..", ".", "", "...", ".. ", "\u00e9", "e\u0301", "\uff0e\uff0e", "%2e%2e", "~"]
)
HOSTILE = st.one_of(
    st.text(max_size=20),
    st.text(alphabet=st.sampled_from("ab/.\\\0\n\x7f\ud800\u202e \u00e9"), max_size=16),
    st.lists(PARTS, max_size=40).map("/".join),
    st.tuples(PARTS, st.integers(1, 300)).map(lambda given: given[0] * given[1]),
    st.builds(
        lambda top, path: f"{top}{path}", st.sampled_from(["/", "//", "C:\\", "\\"]), st.text()
    ),
)


@pytest.fixture(scope="module")
def top() -> Iterator[Path]:
    """Return a folder with a sibling, which would show a path that climbs out."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@given(paths=st.lists(HOSTILE, max_size=12))
def test_an_accepted_path_is_written_below_the_sources_and_nowhere_else(
    paths: list[str], top: Path
) -> None:
    faults = check_paths(paths)
    bad = [index for index, _ in faults]
    assert bad == sorted(set(bad))
    assert all(0 <= index < len(paths) and reason for index, reason in faults)
    good = [path for index, path in enumerate(paths) if index not in bad]
    assert check_paths(good) == []
    sources = top / "src"
    sources.mkdir()
    try:
        for number, path in enumerate(good):
            place = f"{sources}/{path}"  # as a runner joins them
            os.makedirs(os.path.dirname(place), exist_ok=True)  # noqa: PTH103, PTH120
            with open(place, "x") as file:
                file.write(str(number))
        found = {
            str(at.relative_to(sources)): int(at.read_text())
            for at in sources.rglob("*")
            if at.is_file()
        }
        assert found == {path: number for number, path in enumerate(good)}
        assert [at.name for at in top.iterdir()] == ["src"]
    finally:
        shutil.rmtree(sources)
