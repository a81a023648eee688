import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from templatemgr import store
from templatemgr.trees import manifests
from tests.timeouts import HANGS_SECONDS


def write(root: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def inode(path: Path) -> int:
    return path.stat().st_ino


def test_equal_files_are_one_inode_across_trees(tmp_path: Path) -> None:
    objects = tmp_path / "objects"
    one = write(tmp_path / "one", {"a": "same", "b/c": "same", "d": "other"})
    two = write(tmp_path / "two", {"x": "same"})
    first, second = store.seal(one, objects), store.seal(two, objects)
    assert inode(one / "a") == inode(one / "b/c") == inode(two / "x") != inode(one / "d")
    assert (first.own_bytes, second.own_bytes) == (9, 0)
    assert first.copied == second.copied == 0
    assert not list(tmp_path.rglob(".link-*"))


def test_an_executable_and_a_plain_file_of_the_same_bytes_are_two_objects(tmp_path: Path) -> None:
    tree = write(tmp_path / "tree", {"text": "x", "program": "x"})
    (tree / "program").chmod(0o700)
    store.seal(tree, tmp_path / "objects")
    assert inode(tree / "text") != inode(tree / "program")
    assert stat.S_IMODE((tree / "program").stat().st_mode) == 0o555
    assert stat.S_IMODE((tree / "text").stat().st_mode) == 0o444


def test_an_object_that_was_changed_is_not_trusted(tmp_path: Path) -> None:
    objects = tmp_path / "objects"
    one = write(tmp_path / "one", {"a": "same"})
    sealed = store.seal(one, objects)
    stored = store.object_path(objects, sealed.manifest.files[0])
    stored.chmod(0o644)
    stored.write_text("evil")
    two = write(tmp_path / "two", {"a": "same"})
    again = store.seal(two, objects)
    assert (two / "a").read_text() == stored.read_text() == "same"
    assert inode(two / "a") != inode(one / "a")
    assert again.own_bytes == 4


@pytest.mark.parametrize("number", [errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP, errno.EXDEV])
def test_without_hard_links_the_file_stays_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    tree = write(tmp_path / "tree", {"a": "same", "b": "same"})
    sealed = store.seal(tree, tmp_path / "objects")
    assert sealed.copied == 2
    assert (tree / "a").read_text() == (tree / "b").read_text() == "same"
    assert stat.S_IMODE((tree / "b").stat().st_mode) == 0o444


def test_publishing_renames_and_then_removes_the_write_bits(tmp_path: Path) -> None:
    staged = write(tmp_path / "staging" / "1", {"tree/lib/a": "x", "inputs/toml": "y"})
    (staged / "tree" / "link").symlink_to("lib/a")
    final = tmp_path / "versions" / "0001"
    store.publish(staged, final)
    assert not staged.exists()
    modes = {
        path.relative_to(final).as_posix(): stat.S_IMODE(path.lstat().st_mode)
        for path in final.rglob("*")
        if not path.is_symlink()
    }
    assert modes == {
        "tree": 0o555,
        "tree/lib": 0o555,
        "tree/lib/a": 0o444,
        "inputs": 0o555,
        "inputs/toml": 0o444,
    }
    assert stat.S_IMODE(final.stat().st_mode) == 0o555


def test_removing_a_closed_folder_leaves_the_modes_of_shared_files(tmp_path: Path) -> None:
    tree = write(tmp_path / "tree", {"lib/a": "x"})
    sealed = store.seal(tree, tmp_path / "objects")
    store.close(tree)
    store.remove(tree)
    assert not tree.exists()
    stored = store.object_path(tmp_path / "objects", sealed.manifest.files[0])
    assert stat.S_IMODE(stored.stat().st_mode) == 0o444


def test_removing_a_link_leaves_its_target(tmp_path: Path) -> None:
    kept = write(tmp_path / "kept", {"a": "x"})
    (tmp_path / "link").symlink_to(kept)
    store.remove(tmp_path / "link")
    store.remove(tmp_path / "absent")
    assert (kept / "a").exists()
    assert not (tmp_path / "link").is_symlink()


def test_copies_carry_bytes_and_the_executable_bit_only(tmp_path: Path) -> None:
    source = write(tmp_path / "source", {"a": "x", "b/run": "y"})
    (source / "b/run").chmod(0o4700)
    store.copy_files(source, tmp_path / "target", ["a", "b/run"])
    assert stat.S_IMODE((tmp_path / "target/a").stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "target/b/run").stat().st_mode) == 0o755


def test_shared_locks_coexist_and_an_exclusive_lock_waits(tmp_path: Path) -> None:
    lock, taken = tmp_path / "store.lock", threading.Event()

    def publish() -> None:
        with store.locked(lock):
            taken.set()

    thread = threading.Thread(target=publish)
    with store.locked(lock, shared=True), store.locked(lock, shared=True):
        thread.start()
        assert not taken.wait(0.1)
    assert taken.wait(HANGS_SECONDS)
    thread.join()


def test_a_sealed_tree_compares_clean(tmp_path: Path) -> None:
    tree = write(tmp_path / "tree", {"lib/a": "x", "lib/b": "x"})
    sealed = store.seal(tree, tmp_path / "objects")
    store.close(tree)
    assert manifests.compare(sealed.manifest, tree) == []
