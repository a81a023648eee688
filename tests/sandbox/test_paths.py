import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.session.paths import check_paths

GOOD = ["main.ts", "a/b/c.ts", "package.json", ".npmrc", "ä/ß.ts", "a b.ts", "x" * 255, "A", "a"]
BAD = {
    "": "empty",
    "/etc/passwd": "absolute",
    "../x": "climbs",
    "a/../b": "climbs",
    "a/..": "climbs",
    ".": "'.'",
    "./a": "'.'",
    "a//b": "empty part",
    "a/": "empty part",
    "a\0b": "control",
    "a\nb": "control",
    "\x7f": "control",
    "\ud800": "surrogate",
    "a" * 513: "512 bytes",
    "ä" * 257: "512 bytes",
    "x" * 256: "255 bytes",
    "/".join("a" * 33): "32 levels",
}


@pytest.mark.parametrize("path", GOOD)
def test_ordinary_paths_pass(path: str) -> None:
    assert check_paths([path]) == []


@pytest.mark.parametrize(("path", "reason"), BAD.items(), ids=range(len(BAD)))
def test_bad_paths_are_named_with_their_reason(path: str, reason: str) -> None:
    [(index, said)] = check_paths(["fine.ts", path])
    assert index == 1
    assert reason in said


def test_limits_are_inclusive() -> None:
    assert check_paths(["/".join("a" * 32), f"{'x' * 255}/{'y' * 254}/z"]) == []


def test_a_duplicate_names_the_first() -> None:
    assert check_paths(["a", "b", "a"]) == [(2, "the same path as number 0")]


@pytest.mark.parametrize("paths", [["a", "a/b"], ["a/b", "a"], ["a", "a/b/c/d"]])
def test_a_file_cannot_be_a_folder(paths: list[str]) -> None:
    [(index, reason)] = check_paths(paths)
    assert paths[index] != "a"
    assert "'a', which is a file" in reason


def test_case_and_unicode_form_make_different_files() -> None:
    assert check_paths(["a.ts", "A.ts", "\u00e9", "e\u0301"]) == []


def test_ten_thousand_files_are_checked_quickly() -> None:
    assert check_paths([f"d{number % 97}/f{number}" for number in range(10_000)]) == []


@given(st.lists(st.text(alphabet=st.sampled_from("ab/.\0\ud800é"), max_size=12), max_size=8))
def test_an_accepted_path_stays_below_src_and_can_be_written(paths: list[str]) -> None:
    bad = {index for index, _ in check_paths(paths)}
    good = [path for index, path in enumerate(paths) if index not in bad]
    assert len(set(good)) == len(good)
    for path in good:
        parts = path.split("/")
        assert "\0" not in path.encode().decode()
        assert not {"", ".", ".."} & set(parts)
        assert not any("/".join(parts[:level]) in good for level in range(1, len(parts)))


@given(st.lists(st.text()))
def test_any_text_is_checked_without_an_exception(paths: list[str]) -> None:
    assert all(0 <= index < len(paths) and reason for index, reason in check_paths(paths))
