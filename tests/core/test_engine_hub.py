"""Test waits for executions: they share one link, and ask the database while it is silent."""

import asyncio
import contextlib
import socket
import uuid
from collections.abc import Awaitable, Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pytest_django import Settings

from core.engine import hub
from core.engine.local import receiver
from core.engine.local.engine import LocalEngine
from core.engine.local.link import SocketLink
from core.engine.local.receiver import SocketReceiver
from core.engine.local.sockets import socket_path
from tests.timeouts import HANGS_SECONDS


class Rows:
    """Ended executions, and the size of each query for them."""

    def __init__(self) -> None:
        self.ended: set[uuid.UUID] = set()
        self.asked: list[int] = []

    def finished(self, among: Collection[uuid.UUID]) -> set[uuid.UUID]:
        """Answer the query of the hub."""
        self.asked.append(len(among))
        return self.ended & set(among)


@pytest.fixture
def rows() -> Rows:
    return Rows()


@pytest.fixture
def run(tmp_path: Path, settings: Settings, rows: Rows) -> Iterator[Callable[..., None]]:
    """Run a coroutine with a hub on an event loop."""
    settings.STENCIL_DATA = tmp_path
    with ThreadPoolExecutor(1) as pool:

        async def all_of_it(work: Callable[[hub.Hub], Awaitable[None]]) -> None:
            made = LocalEngine().hub(pool=pool, ended=rows.finished)
            try:
                async with asyncio.timeout(HANGS_SECONDS):
                    await work(made)
                assert made.count() == 0
            finally:
                await made.close()

        yield lambda work: asyncio.run(all_of_it(work))


@contextlib.contextmanager
def executor() -> Iterator[tuple[SocketReceiver, list[str]]]:
    """Yield the executor's end of the socket and the wake-ups that it received."""
    woken: list[str] = []
    listener = SocketReceiver(socket_path(), on_wake=woken.append, on_cancel=lambda _: None)
    listener.start()
    try:
        yield listener, woken
    finally:
        listener.close()


async def until(look: Callable[[], object]) -> None:
    while not look():
        await asyncio.sleep(0.01)


def waiting(listener: SocketReceiver) -> int:
    return sum(len(links) for links in listener._waiting.values())


def test_all_waits_share_one_link(run: Callable[..., None], rows: Rows) -> None:
    async def work(made: hub.Hub) -> None:
        ids = [uuid.uuid4() for _ in range(200)]
        with executor() as (listener, _):
            waits = [
                asyncio.create_task(made.wait(each, 60, begun=False)) for each in ids for _ in "ab"
            ]
            await until(lambda: waiting(listener) == 200)
            assert len(listener._pending) == 1, "one connection"
            for each in ids:
                listener.finished(each)
            assert all(await asyncio.gather(*waits))
        assert len(rows.asked) < 60, "the rows are asked for many at a time"

    run(work)


def test_more_ends_than_the_kernel_buffers_are_all_delivered(
    run: Callable[..., None], rows: Rows
) -> None:
    async def work(made: hub.Hub) -> None:
        ids = [uuid.uuid4() for _ in range(2000)]
        with executor() as (listener, _):
            waits = [asyncio.create_task(made.wait(each, 300, begun=False)) for each in ids]
            await until(lambda: waiting(listener) == 2000)
            for each in ids:
                listener.finished(each)
            assert all(await asyncio.gather(*waits))

    run(work)


def test_an_early_end_is_kept_until_the_wait(run: Callable[..., None], rows: Rows) -> None:
    async def work(made: hub.Hub) -> None:
        with executor() as (listener, woken):
            one = uuid.uuid4()
            await asyncio.to_thread(made.begin, one)
            await until(lambda: waiting(listener) == 1)
            assert woken == ["execution"]
            listener.finished(one)
            await until(lambda: made._begun[one])
            assert await made.wait(one, 60, begun=True)
            assert made._begun == {}

    run(work)


def test_an_end_before_the_beginning_is_reported_once(run: Callable[..., None], rows: Rows) -> None:
    async def work(made: hub.Hub) -> None:
        with executor() as (listener, woken):
            one = uuid.uuid4()
            listener.finished(one)  # a slot was awake: it ran before the message came
            await asyncio.to_thread(made.begin, one)
            assert await made.wait(one, 60, begun=True)
            await until(lambda: woken == ["execution"])
            assert listener._ended == {}
            again = asyncio.create_task(made.wait(one, 60, begun=False))  # it was requeued
            await until(lambda: waiting(listener) == 1)
            assert not again.done()
            listener.finished(one)
            assert await again

    run(work)


def test_a_begun_wait_needs_no_row_to_be_read(run: Callable[..., None], rows: Rows) -> None:
    async def work(made: hub.Hub) -> None:
        with executor() as (listener, _):
            for _ in range(20):
                one = uuid.uuid4()
                await asyncio.to_thread(made.begin, one)
                waits = asyncio.create_task(made.wait(one, 60, begun=True))
                await until(lambda: waiting(listener) == 1)
                listener.finished(one)
                assert await waits
        assert len(rows.asked) < 5, "only the look of each second"

    run(work)


def test_few_ends_are_remembered(run: Callable[..., None], rows: Rows) -> None:
    async def work(_made: hub.Hub) -> None:
        with executor() as (listener, _):
            for _ in range(receiver.MOST_ENDED + 10):
                listener.finished(uuid.uuid4())
            assert len(listener._ended) == receiver.MOST_ENDED

    run(work)


def test_an_end_before_the_wait_is_found_in_the_database(
    run: Callable[..., None], rows: Rows
) -> None:
    async def work(made: hub.Hub) -> None:
        with executor():
            one = uuid.uuid4()
            rows.ended.add(one)
            assert await made.wait(one, 60, begun=False)

    run(work)


def test_without_an_executor_the_database_is_asked(run: Callable[..., None], rows: Rows) -> None:
    async def work(made: hub.Hub) -> None:
        one = uuid.uuid4()
        waits = asyncio.create_task(made.wait(one, 60, begun=False))
        await until(lambda: len(rows.asked) >= 2)
        rows.ended.add(one)
        assert await waits

    run(work)


def test_a_restarted_executor_gets_every_wait(run: Callable[..., None], rows: Rows) -> None:
    async def work(made: hub.Hub) -> None:
        ids = [uuid.uuid4() for _ in range(20)]
        with executor() as (listener, _):
            waits = [asyncio.create_task(made.wait(each, 60, begun=False)) for each in ids]
            await until(lambda: waiting(listener) == 20)
        rows.ended.add(ids[0])  # while no executor can report it
        assert await waits[0]
        with executor() as (listener, _):
            await until(lambda: waiting(listener) == 19)
            for each in ids:
                listener.finished(each)
            assert all(await asyncio.gather(*waits))

    run(work)


def test_a_malformed_message_ends_the_link_and_no_wait(
    run: Callable[..., None], rows: Rows
) -> None:
    async def work(made: hub.Hub) -> None:
        one, mine = uuid.uuid4(), made._link
        assert isinstance(mine, SocketLink)
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(socket_path()))
        server.listen()
        server.setblocking(False)
        waits = asyncio.create_task(made.wait(one, 60, begun=False))
        link, _ = await asyncio.get_running_loop().sock_accept(server)
        for line in (b'{"type": "finished", "id": "x"}\n', b"rubbish\n"):
            link.sendall(line)
        await until(lambda: mine._socket is None)
        link.close()
        server.close()
        assert not waits.done()
        rows.ended.add(one)
        assert await waits

    run(work)


def test_time_and_the_end_of_the_server_end_waits(run: Callable[..., None], rows: Rows) -> None:
    async def work(made: hub.Hub) -> None:
        assert not await made.wait(uuid.uuid4(), 0.05, begun=False)
        waits = asyncio.create_task(made.wait(uuid.uuid4(), 60, begun=False))
        await until(made.count)
        made.end_waits()
        assert not await waits
        assert not await made.wait(uuid.uuid4(), 60, begun=False)

    run(work)


def test_a_cancelled_wait_is_forgotten(run: Callable[..., None], rows: Rows) -> None:
    async def work(made: hub.Hub) -> None:
        waits = asyncio.create_task(made.wait(uuid.uuid4(), 60, begun=False))
        await until(made.count)
        waits.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits

    run(work)
