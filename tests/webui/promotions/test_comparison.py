"""Test the differences between two lists of packages, and between two folders of inputs."""

from pathlib import Path

import pytest

from tests.factories import package_list
from webui.promotions import config_diff
from webui.promotions.package_changes import Distance, compare, distance


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("8.3.8", "9.0.0", Distance.MAJOR),
        ("1.3.2", "1.4.0", Distance.MINOR),
        ("1.33.0", "1.33.1", Distance.PATCH),
        ("2.0.0-beta.1", "2.0.0", Distance.PATCH),
        ("10.0.0", "9.0.0", Distance.MAJOR),
        ("next", "1.0.0", Distance.OTHER),
    ],
)
def test_distance_is_the_first_number_that_differs(old: str, new: str, expected: Distance) -> None:
    assert distance(old, new) == expected


def test_the_farthest_change_comes_first() -> None:
    old = package_list()
    new = package_list(zod="5.0.0", vitest="5.1.1", typescript="7.1.0", vite="8.0.0")
    found = compare(old, new)
    assert [(c.name, str(c.distance)) for c in found.changes] == [
        ("zod", "major"),
        ("typescript", "minor"),
        ("vitest", "patch"),
        ("vite", "added"),
    ]
    assert (found.major, found.minor, found.added, found.removed, found.same) == (1, 2, 1, 0, 0)
    assert found.more == 2


def test_a_move_backwards_says_so() -> None:
    (change,) = compare(package_list(vitest="5.10.0"), package_list(vitest="5.9.0")).changes
    assert (change.down, change.word) == (True, "minor, down")


def test_a_package_at_several_versions_counts_only_changed_versions() -> None:
    old = [{"name": "a", "version": v, "direct": False} for v in ("1.0.0", "2.0.0")]
    new = [{"name": "a", "version": v, "direct": False} for v in ("2.0.0", "1.0.1", "3.0.0")]
    found = compare(old, new)
    assert [(c.old, c.new) for c in found.changes] == [("1.0.0", "1.0.1"), (None, "3.0.0")]
    assert found.same == 1


def test_configuration_shows_the_lines_that_moved_and_leaves_the_lock_out(tmp_path: Path) -> None:
    for side, pin in (("old", "8.3.8"), ("new", "9.0.0")):
        folder = tmp_path / side
        folder.mkdir()
        (folder / "package.json").write_text(f'{{\n  "vite": "{pin}"\n}}\n')
        (folder / "package-lock.json").write_text(pin)
        (folder / "same.txt").write_text("same")
    (tmp_path / "new" / "logo.bin").write_bytes(b"\xff\xfe")
    binary, text = config_diff.changes(tmp_path / "old", tmp_path / "new")
    assert (binary.path, binary.lines) == ("logo.bin", ())
    assert (text.path, text.moved) == ("package.json", 1)
    assert [line.text for line in text.lines if line.tone] == [
        '-  "vite": "8.3.8"',
        '+  "vite": "9.0.0"',
    ]


def test_configuration_of_folders_that_are_gone_is_empty(tmp_path: Path) -> None:
    assert config_diff.changes(tmp_path / "a", tmp_path / "b") == []
