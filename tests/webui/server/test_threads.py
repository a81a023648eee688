"""Test the threads of the web server: how many run, in which order, and how they end."""

import asyncio
import functools
import threading
import time
from collections.abc import Awaitable, Callable

import pytest

from tests.timeouts import HANGS_SECONDS
from webui.server import threads as threads_module
from webui.server.threads import Threads


def running[T](act: Callable[[Threads], Awaitable[T]], *, most: int = 4, usual: int = 1) -> T:
    """Return what `act` returns on an event loop, with threads that end afterwards."""

    async def whole() -> T:
        threads = Threads(most=most, usual=usual, name="test")
        try:
            async with asyncio.timeout(HANGS_SECONDS):
                return await act(threads)
        finally:
            threads.close()

    before = set(threading.enumerate())
    found = asyncio.run(whole())
    for thread in set(threading.enumerate()) - before:
        thread.join(HANGS_SECONDS)
        assert not thread.is_alive()
    return found


class Together:
    """Work that notes how many run at the same time."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.now, self.most = seconds, 0, 0
        self.lock = threading.Lock()

    def __call__(self) -> None:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(self.seconds)
        with self.lock:
            self.now -= 1


def test_results_and_errors_reach_their_callers_in_order() -> None:
    ended: list[int] = []

    def work(number: int) -> int:
        ended.append(number)
        if number == 3:
            raise KeyError(number)
        return number * 2

    async def act(threads: Threads) -> list[object]:
        futures = [threads.run(functools.partial(work, number)) for number in range(6)]
        return list(await asyncio.gather(*futures, return_exceptions=True))

    found = running(act)
    assert ended == list(range(6))
    assert [each for each in found if not isinstance(each, KeyError)] == [0, 2, 4, 8, 10]
    assert isinstance(found[3], KeyError)


@pytest.mark.parametrize("usual", [1, 2])
def test_few_threads_run_short_work(usual: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads_module, "LASTS_SECONDS", HANGS_SECONDS)  # a busy machine is slow
    work = Together(0.0005)

    async def act(threads: Threads) -> None:
        await asyncio.gather(*(threads.run(work) for _ in range(100)))

    running(act, usual=usual, most=16)
    assert work.most == usual


def test_work_that_lasts_holds_up_no_other_work() -> None:
    let_go = threading.Event()

    async def act(threads: Threads) -> list[int]:
        held = [threads.run(let_go.wait) for _ in range(3)]
        found = [await threads.run(functools.partial(abs, number)) for number in range(5)]
        let_go.set()
        await asyncio.gather(*held)
        return found

    assert running(act) == [0, 1, 2, 3, 4]


def test_no_more_threads_run_than_allowed() -> None:
    work = Together(0.05)

    async def act(threads: Threads) -> None:
        await asyncio.gather(*(threads.run(work) for _ in range(12)))

    running(act, most=3)
    assert work.most == 3


def test_cancelled_work_does_not_begin() -> None:
    let_go, begun = threading.Event(), []

    async def act(threads: Threads) -> object:
        first = threads.run(let_go.wait)
        second = threads.run(lambda: begun.append(2))
        third = threads.run(lambda: begun.append(3))
        second.cancel()
        let_go.set()
        await asyncio.gather(first, third)
        return second.cancelled()

    assert running(act, most=1) is True
    assert begun == [3]


def test_running_work_can_be_cancelled_and_its_thread_goes_on() -> None:
    let_go = threading.Event()

    async def act(threads: Threads) -> str:
        first = threads.run(let_go.wait)
        await asyncio.sleep(0.001)
        first.cancel()
        let_go.set()
        return await threads.run(lambda: "next")

    assert running(act, most=1) == "next"


def test_closing_drops_work_that_has_not_begun() -> None:
    let_go, begun = threading.Event(), []

    async def act(threads: Threads) -> bool:
        first = threads.run(let_go.wait)
        second = threads.run(lambda: begun.append(2))
        threads.close()
        let_go.set()
        assert await first
        return second.cancelled()

    assert running(act, most=1) is True
    assert begun == []
