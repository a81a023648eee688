"""Test the order in which workers get the files of tests."""

from tests import xdist_groups
from tests.conftest import ROOT


def test_every_long_file_is_there() -> None:
    """A renamed file would start last, and one worker would run it alone at the end."""
    named = [file for group in xdist_groups.LONGEST for file in group]
    assert [file for file in named if not (ROOT / file).is_file()] == []
    assert len(named) == len(set(named))


def test_groups_stay_together_and_begin_in_their_order() -> None:
    first, second = xdist_groups.LONGEST[:2]
    assert {xdist_groups.group_of(f"{file}::test_a[x]") for file in first} == {first[0]}
    ranks = [xdist_groups.rank_of(f"{group[-1]}::test_a") for group in (first, second)]
    assert [*ranks, xdist_groups.rank_of("tests/core/test_jobs.py::test_a")] == [
        0,
        1,
        len(xdist_groups.LONGEST),
    ]
