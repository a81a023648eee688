"""Test walking and deleting folders deeper than a path can be, with one descriptor."""

import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import tree_walk

LEVELS = 3000
NAME = "n" * 20  # 3,000 levels are far longer than PATH_MAX


def dig(root: Path, levels: int = LEVELS, *, mode: int = 0o755) -> None:
    """Nest folders as `mkdir x && cd x` in a loop does, with a file in the last one."""
    root.mkdir()
    here = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(levels):
        os.mkdir(NAME, 0o755, dir_fd=here)
        below = os.open(NAME, os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
        os.fchmod(here, mode)
        os.close(here)
        here = below
    os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=here))
    os.close(here)


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("few_descriptors")
def test_a_deep_tree_is_walked_and_deleted(tmp_path: Path) -> None:
    root = tmp_path / "deep"
    dig(root)
    visits = list(tree_walk.walk(root))
    assert max(visit.depth for visit in visits) == LEVELS
    assert [visit.others for visit in visits if visit.others] == [("file",)]
    assert sum(visit.left is not None for visit in visits) == LEVELS
    tree_walk.clear(root)
    assert list(root.iterdir()) == []


def test_every_folder_is_visited_once_before_and_once_after_its_content(tmp_path: Path) -> None:
    for path in ("a/b", "a/c", "d"):
        (tmp_path / path).mkdir(parents=True)
        (tmp_path / path / "file").touch()
    (tmp_path / "link").symlink_to("a")
    order = [(visit.depth, visit.left, set(visit.folders)) for visit in tree_walk.walk(tmp_path)]
    assert order[0] == (0, None, {"a", "d"})
    assert [left for _, left, _ in order if left in {"a", "d"}].__len__() == 2
    assert order.index((1, None, {"b", "c"})) < order.index((1, "b", set()))
    assert order.index((1, "b", set())) < order.index((0, "a", set()))
    assert sum(1 for _, left, _ in order if left is None) == 5


def test_closed_folders_are_deleted_and_targets_of_links_are_not(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir(0o500)
    (tmp_path / "tree").mkdir()
    dig(tmp_path / "tree/deep", 3, mode=0o000)
    (tmp_path / "tree/link").symlink_to(kept)
    tree_walk.clear(tmp_path / "tree")
    assert list((tmp_path / "tree").iterdir()) == []
    assert stat.S_IMODE(kept.stat().st_mode) == 0o500


def test_a_folder_moved_during_the_walk_ends_it(tmp_path: Path) -> None:
    (tmp_path / "tree/a/b").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    walk = tree_walk.walk(tmp_path / "tree")
    assert [next(walk).depth for _ in range(3)] == [0, 1, 2]
    (tmp_path / "tree/a/b").rename(tmp_path / "elsewhere/b")
    with pytest.raises(OSError, match="was moved while it was walked through"):
        next(walk)
