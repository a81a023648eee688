"""Patterns of files: their meaning, their rules, and their time."""

import itertools
import re

import pytest

from sandbox.session.file_patterns import MAX_PATTERNS_BYTES, Patterns, check_patterns

MATCHES = [
    ("a.png", "a.png", True),
    ("*.png", "a.png", True),
    ("*.png", "out/a.png", False),
    ("*.png", "a.pngx", False),
    ("?.png", "ä.png", True),
    ("?.png", ".png", False),
    ("*", ".hidden", False),
    (".*", ".hidden", True),
    ("out/*", "out/a", True),
    ("out/*", "out/a/b", False),
    ("out/**", "out/a/b", True),
    ("out/**", "out", False),
    ("out/**", "out/.git/b", False),
    ("**/a", "a", True),
    ("**/a", "x/y/a", True),
    ("**/a/**/b", "a/b", True),
    ("**/a/**/b", "x/a/y/z/b", True),
    ("**/a/**/b", "x/b", False),
    ("**", "x/y/z", True),
    ("**", ".x", False),
    ("a*b*c", "aXXbYYc", True),
    ("a*b*c", "ab", False),
    ("a**", "x", False),
    ("[ab]{c}\\.*", "[ab]{c}\\.txt", True),
    ("[ab].txt", "a.txt", False),
    ("a*", "a", True),
    ("*a", "banana", True),
    ("*an*", "banana", True),
]


@pytest.mark.parametrize(("pattern", "path", "expected"), MATCHES)
def test_a_pattern_means_what_is_documented(pattern: str, path: str, expected: bool) -> None:
    assert Patterns([pattern]).match(path) is expected


def test_all_short_patterns_agree_with_a_regular_expression() -> None:
    names = ["".join(letters) for n in range(5) for letters in itertools.product("ab", repeat=n)]
    for size in range(1, 5):
        for letters in itertools.product("ab*?", repeat=size):
            pattern = "".join(letters)
            if "**" in pattern:
                continue
            expression = pattern.replace("*", ".*").replace("?", ".")
            wanted = Patterns([pattern])
            for name in names[1:]:
                assert wanted.match(name) == bool(re.fullmatch(expression, name)), (pattern, name)


REFUSED = {
    "": "empty",
    "/etc/passwd": "absolute",
    "../x": "climbs",
    "a/./b": "'.' part",
    "a//b": "empty part",
    "a/": "empty part",
    "a\nb": "control",
    "a\ud800": "Unicode",
    "a**b": "part of its own",
    "a/***/b": "part of its own",
    "x" * 256: "255",
    "/".join("x" * 33): "levels",
}


@pytest.mark.parametrize(("pattern", "why"), REFUSED.items())
def test_a_bad_pattern_is_refused_with_its_fault(pattern: str, why: str) -> None:
    [(index, reason)] = check_patterns(["good", pattern], most=32)
    assert index == 1
    assert why in reason


def test_patterns_are_counted_and_measured_together() -> None:
    assert check_patterns([f"{n}" for n in range(33)], most=32)[0][0] is None
    long = [f"{n}{'x' * 250}" for n in range(MAX_PATTERNS_BYTES // 250 + 1)]
    assert check_patterns(long, most=32)[0][0] is None
    assert check_patterns(["a", "a/b", "**", "*/x"], most=32) == []
    assert check_patterns(["a", "a"], most=32)[0][0] == 1


def test_the_steps_of_a_match_do_not_multiply() -> None:
    """One step for each character, however many stars: a backtracking matcher would never end."""
    pattern = "*a" * 120 + "*b"
    assert not Patterns([pattern]).match("a" * 255)
    many = "/".join(["**", "*a*a*a*b"] * 15)
    assert not Patterns([many] * 8).match("/".join(["aaaaaaaaaaaaaaa"] * 31))


def test_names_without_wildcards_need_no_look_into_the_folder() -> None:
    patterns = Patterns(["out/report.json", "a"])
    assert patterns.names(patterns.begin()) == ["a", "out"]
    inside = patterns.step(patterns.begin(), "out")
    assert patterns.names(inside) == ["report.json"]
    assert Patterns(["**/a"]).names(Patterns(["**/a"]).begin()) is None
