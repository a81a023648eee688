"""Test the number of warm sandboxes: by recent requests and by available memory."""

import pytest

from execapp.executor.demand import HALF_LIFE, Demand, WarmRequest, allocate


def test_nothing_asked_for_is_one() -> None:
    assert Demand().desired(0.0, 8) == 1


def test_an_arrival_counts_half_after_its_half_life() -> None:
    demand = Demand()
    demand.arrived(100.0)
    assert demand.rate(100.0 + HALF_LIFE) == pytest.approx(demand.rate(100.0) / 2)


def test_a_steady_stream_is_measured_as_it_is() -> None:
    demand = Demand()
    for number in range(1000):
        demand.arrived(number / 4)
    assert demand.rate(1000 / 4) == pytest.approx(4, rel=0.05)


def test_more_arrivals_and_a_slower_start_want_more_up_to_the_most() -> None:
    demand = Demand(refill_seconds=0.5)
    for number in range(1000):
        demand.arrived(number / 4)
    quick = demand.desired(250.0, 100)
    assert quick == 5  # two while one is started, and twice the root of two
    for _ in range(20):
        demand.refilled(4.0)
    assert demand.desired(250.0, 100) > 2 * quick
    assert demand.desired(250.0, 3) == 3
    assert demand.desired(250.0 + 20 * HALF_LIFE, 100) == 1


def test_each_group_gets_one_before_any_group_gets_two() -> None:
    requests = {"a": WarmRequest(count=5, each_bytes=10), "b": WarmRequest(count=2, each_bytes=10)}
    assert allocate(requests, 30) == {"a": 2, "b": 1}
    assert allocate(requests, 1000) == {"a": 5, "b": 2}
    assert allocate({}, 10) == {}


def test_spares_come_after_current_versions() -> None:
    requests = {
        "spare": WarmRequest(count=1, each_bytes=10, spare=True),
        "current": WarmRequest(count=2, each_bytes=10),
    }
    assert allocate(requests, 10) == {"spare": 0, "current": 1}
    assert allocate(requests, 20) == {"spare": 1, "current": 1}


def test_a_group_that_is_too_large_leaves_the_rest_to_others() -> None:
    requests = {
        "large": WarmRequest(count=2, each_bytes=100),
        "small": WarmRequest(count=2, each_bytes=10),
    }
    assert allocate(requests, 50) == {"large": 0, "small": 2}
