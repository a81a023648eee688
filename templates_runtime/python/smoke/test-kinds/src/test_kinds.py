import pytest


def test_passes():
    assert True


def test_fails():
    assert 1 + 1 == 3


@pytest.mark.skip(reason="not now")
def test_is_skipped():
    raise AssertionError


@pytest.mark.xfail(reason="known")
def test_is_expected_to_fail():
    raise AssertionError
