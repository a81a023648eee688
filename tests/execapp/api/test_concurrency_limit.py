"""Test the limit of concurrent waits: per client and in total."""

import contextlib
import threading

import pytest

from execapp.api.http import concurrency


def test_waits_are_limited_per_client_and_in_total() -> None:
    places = concurrency.ConcurrencyLimit()
    mine = [places.acquire("me", most=5, most_of_client=3) for _ in range(3)]
    with pytest.raises(concurrency.LimitReached) as full:
        places.acquire("me", most=5, most_of_client=3)
    assert (full.value.scope, full.value.limit) == ("client", 3)
    others = [places.acquire(f"other {number}", most=5, most_of_client=3) for number in range(2)]
    with pytest.raises(concurrency.LimitReached) as full:
        places.acquire("new", most=5, most_of_client=3)
    assert (full.value.scope, full.value.limit) == ("server", 5)
    mine[0].release()
    mine[0].release()
    assert places.taken() == 4
    others.pop()  # dropping the last reference releases the place
    assert places.taken() == 3


def test_the_count_is_exact_between_threads() -> None:
    places, got = concurrency.ConcurrencyLimit(), []

    def take() -> None:
        for _ in range(200):
            with contextlib.suppress(concurrency.LimitReached):
                got.append(places.acquire("me", most=1000, most_of_client=500))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(got), places.taken()) == (500, 500)
