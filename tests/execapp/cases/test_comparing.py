"""Test the comparison of a program's output with the expected one."""

import pytest

from execapp.cases.asked import Compare
from execapp.cases.comparing import same

NEAR: Compare = {"float": 1e-6}
LONG = b"1" * 500


@pytest.mark.parametrize(
    ("compare", "written", "expected", "accepted"),
    [
        ("exact", b"3\n", b"3\n", True),
        ("exact", b"3", b"3\n", False),
        ("exact", b"\xff", b"\xff", True),
        ("trim", b"3", b"3\n", True),
        ("trim", b"1 \r\n2\t\n\n\n", b"1\n2", True),
        ("trim", b" 3", b"3", False),
        ("trim", b"1\n\n2", b"1\n2", False),
        ("trim", b"", b"\n \n", True),
        ("tokens", b"1\n2   3\n", b"1 2 3", True),
        ("tokens", b"12 3", b"1 23", False),
        ("tokens", b"1 2", b"1 2 3", False),
        ("tokens", b"1.0", b"1", False),
        (NEAR, b"0.3333333\n", b"0.333333333", True),
        (NEAR, b"0.334", b"0.333", False),
        (NEAR, b"1000000.5", b"1000000", True),
        (NEAR, b"yes 1", b"yes 1.0", True),
        (NEAR, b"Yes 1", b"yes 1.0", False),
        (NEAR, b"1 2", b"1", False),
        (NEAR, b"", b"1", False),
        (NEAR, b"nan", b"nan", True),
        (NEAR, b"nan", b"1", False),
        (NEAR, b"inf", b"1", False),
        (NEAR, b"1_0", b"10", False),
        (NEAR, b"1e999", b"1e998", False),
        (NEAR, b"7", b"1e999", False),
        (NEAR, b".5 -2. +1e3", b"0.5 -2 1000", True),
        (NEAR, LONG, LONG, True),
        (NEAR, LONG, LONG + b".0", False),
        ({"float": 0}, b"1.50", b"1.5", True),
        ({"float": 0}, b"1.51", b"1.5", False),
    ],
)
def test_comparison(compare: Compare, written: bytes, expected: bytes, *, accepted: bool) -> None:
    assert same(compare, written, expected) is accepted
