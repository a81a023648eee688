"""Compare the output of a program with the expected output. Pure, on bytes.

The bytes come from a hostile program: each way takes time in proportion to their number.
"""

import math
import re
from itertools import zip_longest

from execapp.cases.asked import Compare

WAYS = ("exact", "trim", "tokens")
FLOAT = "float"
MOST_DIGITS = 400  # a longer token is compared as text, not as a number
_NUMBER = re.compile(rb"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,4})?")
_SPACE = b" \t\r\f\v"


def same(compare: Compare, written: bytes, expected: bytes) -> bool:
    """Return whether the output is accepted.

    "exact": the same bytes. "trim": the same, without white space at the ends of lines and empty
    lines at the end. "tokens": the same words, however they are separated by white space.
    {"float": t}: the same words, where two numbers a and b are the same if
    |a - b| <= t * max(1, |b|), with b expected.
    """
    if written == expected:
        return True
    if not isinstance(compare, str):
        return _near(written, expected, compare[FLOAT])
    if compare == "trim":
        return _trimmed(written) == _trimmed(expected)
    if compare == "tokens":
        return written.split() == expected.split()
    return False


def _trimmed(data: bytes) -> list[bytes]:
    lines = [line.rstrip(_SPACE) for line in data.split(b"\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _near(written: bytes, expected: bytes, tolerance: float) -> bool:
    return all(
        mine == theirs
        or (mine is not None and theirs is not None and _close(mine, theirs, tolerance))
        for mine, theirs in zip_longest(written.split(), expected.split())
    )


def _close(mine: bytes, theirs: bytes, tolerance: float) -> bool:
    if max(len(mine), len(theirs)) > MOST_DIGITS:
        return False
    if not (_NUMBER.fullmatch(mine) and _NUMBER.fullmatch(theirs)):
        return False
    expected = float(theirs)
    if not math.isfinite(expected):
        return False
    return abs(float(mine) - expected) <= tolerance * max(1.0, abs(expected))
