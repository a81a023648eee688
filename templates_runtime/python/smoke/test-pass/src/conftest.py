import pytest


@pytest.fixture
def fixed():
    return [1, 2, 3]
