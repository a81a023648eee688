"""Waiting for executions without a thread for each: on an event loop, by one link to executors.

The link is needed for speed, not for correctness: the hub reads the rows of all executions that are
waited for once a second, and also when the link is lost.
"""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable, Collection, Coroutine, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Protocol

KEY = "stencil.hub"  # where a server that has a hub puts it into a request's environment
CHUNK = 500  # identifiers of one query
MOST_BEGUN = 10_000
LOOK_SECONDS = 1.0  # how often the rows are read without a message
GATHER_SECONDS = 0.005  # one query reads the rows of all waits that were registered within this

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class LinkEvents:
    """What a link reports to its hub, on the event loop `loop`.

    `registered`: an end from now on is reported. `finished`: the row of this execution is to be
    read. `changed`: it has new live data. `lost`: the connection broke; messages may be missing.
    """

    loop: asyncio.AbstractEventLoop
    registered: Callable[[uuid.UUID], None]
    finished: Callable[[uuid.UUID], None]
    lost: Callable[[], None]
    changed: Callable[[uuid.UUID], None] = lambda _: None


class Link(Protocol):
    """A hub's connection to executors. `begin` and `watch` are called from any thread."""

    def begin(self, execution_id: uuid.UUID) -> None:
        """Wake an executor for an execution and ask for its end, in one message if possible."""

    def watch(self, execution_id: uuid.UUID) -> None:
        """Ask to be waiter of an execution's end."""

    def follow(self, execution_id: uuid.UUID, version: int) -> None:
        """Ask for a report of the end, and of live data of another version than this one."""

    def number(self) -> int:
        """Return the number of connections made so far; connect if there is none."""

    def close(self) -> None:
        """Close the connection."""


class Hub:
    """Every wait of this process. Made and run on the event loop."""

    def __init__(
        self,
        *,
        pool: Executor,
        ended: Callable[[Collection[uuid.UUID]], set[uuid.UUID]],
        connect: Callable[[LinkEvents], Link],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._pool = pool
        self._ended = ended
        self._following: dict[uuid.UUID, set[asyncio.Future[bool]]] = {}  # a part of the waits
        self._waiting: dict[uuid.UUID, set[asyncio.Future[bool]]] = {}
        self._begun: dict[uuid.UUID, bool] = {}  # begun, not waited for yet → whether it has ended
        self._unread: set[uuid.UUID] = set()  # registered with the executor; rows not read yet
        self._link = connect(
            LinkEvents(
                loop=self._loop,
                registered=self._registered,
                finished=self._finished,
                lost=self._lost,
                changed=self._changed,
            )
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._looking = self._loop.create_task(self._look_always())
        self._stopping = asyncio.Event()

    def begin(self, execution_id: uuid.UUID) -> None:
        """Wake the executor for an execution that was committed just now, and ask for its end.

        Any thread may call it.
        """
        if len(self._begun) >= MOST_BEGUN:  # the requests that began these never waited
            self._begun.clear()
        self._begun[execution_id] = False
        self._link.begin(execution_id)

    async def wait(self, execution_id: uuid.UUID, seconds: float, *, begun: bool) -> bool:
        """Wait for a message about an execution: True when there is a reason to read its row.

        False when the time is over. `begun`: `begin` was called for it.
        """
        if self._begun.pop(execution_id, False):
            return True
        if self._stopping.is_set():
            return False
        waiter: asyncio.Future[bool] = self._loop.create_future()
        self._waiting.setdefault(execution_id, set()).add(waiter)
        if not begun:
            self._link.watch(execution_id)
        timer = self._loop.call_later(seconds, _resolve, waiter, False)
        try:
            return await waiter
        finally:
            timer.cancel()
            self._forget(execution_id, waiter)

    async def follow(self, execution_id: uuid.UUID, seconds: float, *, version: int) -> bool:
        """Wait as `wait` does, but also for live data of another version than this one."""
        if self._stopping.is_set():
            return False
        waiter: asyncio.Future[bool] = self._loop.create_future()
        self._waiting.setdefault(execution_id, set()).add(waiter)
        self._following.setdefault(execution_id, set()).add(waiter)
        self._link.follow(execution_id, version)
        timer = self._loop.call_later(seconds, _resolve, waiter, False)
        try:
            return await waiter
        finally:
            timer.cancel()
            self._forget(execution_id, waiter)
            followers = self._following.get(execution_id, set())
            followers.discard(waiter)
            if not followers:
                self._following.pop(execution_id, None)

    def count(self) -> int:
        """Return the number of waits."""
        return sum(map(len, self._waiting.values()))

    def end_waits(self) -> None:
        """End every wait, now and from now on: the process stops."""
        self._stopping.set()
        for waiter in [waiter for waiters in self._waiting.values() for waiter in waiters]:
            _resolve(waiter, False)

    @property
    def stopping(self) -> asyncio.Event:
        """Return the event that is set once the process stops."""
        return self._stopping

    async def close(self) -> None:
        """End every wait, stop reading rows and close the link."""
        self.end_waits()
        self._looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._looking
        self._link.close()

    def _forget(self, execution_id: uuid.UUID, waiter: asyncio.Future[bool]) -> None:
        waiters = self._waiting.get(execution_id, set())
        waiters.discard(waiter)
        if not waiters:
            self._waiting.pop(execution_id, None)

    def _changed(self, execution_id: uuid.UUID) -> None:
        for waiter in list(self._following.get(execution_id, ())):
            _resolve(waiter, True)

    def _finished(self, execution_id: uuid.UUID) -> None:
        if execution_id in self._begun:
            self._begun[execution_id] = True
        self._resolve_all([execution_id])

    def _registered(self, execution_id: uuid.UUID) -> None:
        """Note that the executor holds this wait. If the execution ended earlier, read its row."""
        if execution_id not in self._waiting:
            return
        if not self._unread:
            self._loop.call_later(GATHER_SECONDS, self._look_at_unread)
        self._unread.add(execution_id)

    def _look_at_unread(self) -> None:
        unread, self._unread = list(self._unread), set()
        self._start(self._look(unread))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _lost(self) -> None:
        """Read every row: messages of the lost link may be missing."""
        for execution_id in list(self._following):
            self._changed(execution_id)
        self._start(self._look(list(self._waiting)))

    async def _look_always(self) -> None:
        watched_on = 0  # the connection on which every wait was registered
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            waiting = list(self._waiting)
            if waiting and (number := self._link.number()) != watched_on:
                watched_on = number
                for execution_id in list(self._following):  # each asks on the new connection
                    self._changed(execution_id)
                for execution_id in waiting:
                    self._link.watch(execution_id)
            await self._look(waiting)

    async def _look(self, execution_ids: list[uuid.UUID]) -> None:
        for start in range(0, len(execution_ids), CHUNK):
            chunk = execution_ids[start : start + CHUNK]
            try:
                ended = await self._loop.run_in_executor(self._pool, self._ended, chunk)
            except Exception:  # an error of the database; the next look comes in a second
                logger.exception("the rows of waiting requests could not be read")
                return
            self._resolve_all(ended)

    def _resolve_all(self, execution_ids: Collection[uuid.UUID]) -> None:
        for execution_id in execution_ids:
            for waiter in list(self._waiting.get(execution_id, ())):
                _resolve(waiter, True)


def of(environment: Mapping[str, object]) -> Hub | None:
    """Return the hub of the server that a request came by, or None."""
    found = environment.get(KEY)
    return found if isinstance(found, Hub) else None


def _resolve(waiter: "asyncio.Future[bool]", value: bool) -> None:
    if not waiter.done():
        waiter.set_result(value)
