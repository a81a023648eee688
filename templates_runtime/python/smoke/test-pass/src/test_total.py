import pytest

from total import total


@pytest.mark.parametrize(("numbers", "result"), [([], 0), ([1, 2], 3)])
def test_total(numbers, result):
    assert total(numbers) == result


def test_uses_a_fixture(fixed):
    assert total(fixed) == 6
