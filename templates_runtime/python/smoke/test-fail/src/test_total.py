from total import total


def test_adds():
    assert total(1, 2) == 3


def test_keeps_cents():
    print("rounding is hard:", total(0.1, 0.2))
    assert total(0.1, 0.2) == 0.3
