import os
from pathlib import Path

import pytest

from templatemgr.trees import hashing, manifests
from templatemgr.trees.manifests import Manifest, ManifestError, Problem


def write_tree(root: Path) -> Path:
    (root / "lib" / "deep").mkdir(parents=True)
    (root / "lib" / "a.js").write_text("a")
    (root / "lib" / "deep" / "b.js").write_text("b")
    (root / "run").write_text("#!")
    (root / "run").chmod(0o755)
    (root / "link").symlink_to("lib/a.js")
    return root


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "tree")


@pytest.fixture
def sealed(tree: Path) -> Manifest:
    """Return the manifest of the tree, after setting the modes that sealing sets."""
    manifest = manifests.scan(tree)
    for entry in reversed(manifest.entries):
        if entry.kind != "link":
            (tree / entry.path).chmod(entry.mode if entry.kind == "file" else 0o755)
    for entry in manifest.entries:
        if entry.kind == "folder":
            (tree / entry.path).chmod(entry.mode)
    return manifest


def problems(manifest: Manifest, tree: Path) -> list[tuple[str, str]]:
    return [(found.path, found.problem) for found in manifests.compare(manifest, tree)]


def test_entries_are_sorted_by_bytes_with_normalised_modes(tree: Path) -> None:
    found = manifests.scan(tree)
    assert [(entry.path, entry.kind, oct(entry.mode)) for entry in found.entries] == [
        ("lib", "folder", "0o555"),
        ("lib/a.js", "file", "0o444"),
        ("lib/deep", "folder", "0o555"),
        ("lib/deep/b.js", "file", "0o444"),
        ("link", "link", "0o777"),
        ("run", "file", "0o555"),
    ]
    assert found.size == 4


def test_folder_umask_owner_and_time_make_no_difference(tmp_path: Path) -> None:
    one = manifests.scan(write_tree(tmp_path / "one"))
    before = os.umask(0o077)
    try:
        other = write_tree(tmp_path / "quite" / "elsewhere")
    finally:
        os.umask(before)
    os.utime(other / "run", (0, 0))
    assert manifests.scan(other).digest() == one.digest()


def test_content_path_mode_and_link_target_each_change_the_digest(tree: Path) -> None:
    seen = {manifests.scan(tree).digest()}
    (tree / "lib/a.js").write_text("A")
    seen.add(manifests.scan(tree).digest())
    (tree / "lib/a.js").rename(tree / "lib/c.js")
    seen.add(manifests.scan(tree).digest())
    (tree / "run").chmod(0o644)
    seen.add(manifests.scan(tree).digest())
    (tree / "link").unlink()
    (tree / "link").symlink_to("lib/c.js")
    seen.add(manifests.scan(tree).digest())
    assert len(seen) == 5


def test_a_manifest_is_written_as_the_same_bytes_each_time_and_read_back(tree: Path) -> None:
    (tree / os.fsdecode(b"not-utf8-\xff")).write_text("x")
    found = manifests.scan(tree)
    data = manifests.dump(found)
    assert manifests.load(data) == found
    assert manifests.dump(manifests.load(data)) == data


def test_a_malformed_manifest_is_refused() -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        manifests.load(b"nonsense")


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "lib/../../outside"])
def test_a_link_that_leaves_the_tree_cannot_be_sealed(tree: Path, target: str) -> None:
    (tree / "bad").symlink_to(target)
    with pytest.raises(ManifestError, match="bad is a link that leaves the tree"):
        manifests.scan(tree)


def test_a_special_file_cannot_be_sealed(tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    with pytest.raises(ManifestError, match="pipe is neither"):
        manifests.scan(tree)


def test_an_untouched_tree_has_no_problems(tree: Path, sealed: Manifest) -> None:
    assert problems(sealed, tree) == []


def test_each_kind_of_damage_is_named(tree: Path, sealed: Manifest) -> None:
    for folder in (tree / "lib", tree / "lib/deep", tree):
        folder.chmod(0o755)
    (tree / "lib/a.js").chmod(0o644)
    (tree / "lib/a.js").write_text("A")
    (tree / "lib/deep/b.js").unlink()
    (tree / "link").unlink()
    (tree / "link").symlink_to("run")
    (tree / "extra").write_text("")
    (tree / "run").chmod(0o755)
    assert problems(sealed, tree) == [
        ("extra", "added"),
        ("lib", "mode"),
        ("lib/a.js", "changed"),
        ("lib/a.js", "mode"),
        ("lib/deep", "mode"),
        ("lib/deep/b.js", "missing"),
        ("link", "link"),
        ("run", "mode"),
    ]


def test_a_folder_in_place_of_a_file_is_a_change(tree: Path, sealed: Manifest) -> None:
    tree.joinpath("run").unlink()
    tree.joinpath("run").mkdir()
    assert problems(sealed, tree) == [("run", "changed")]


def test_a_missing_tree_is_reported_as_one_problem(tmp_path: Path, sealed: Manifest) -> None:
    assert manifests.compare(sealed, tmp_path / "gone") == [Problem(path=".", problem="missing")]


def test_an_inode_is_hashed_once(
    tree: Path, sealed: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    original = hashing.hash_file

    def counted(path: Path) -> str:
        read.append(path)
        return original(path)

    monkeypatch.setattr(hashing, "hash_file", counted)
    hashed: dict[manifests.Reading, str] = {}
    manifests.compare(sealed, tree, hashed)
    manifests.compare(sealed, tree, hashed)
    assert len(read) == 3
