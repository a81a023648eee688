"""Waiting for executions without a thread for each: on an event loop, by one link to the executor.

As with `local`, nothing here is needed for correctness: while the link is away, and in any case
once a second, one query looks at the rows of all executions that are waited for.
"""

import asyncio
import contextlib
import logging
import socket
import threading
import time
import uuid
from collections.abc import Callable, Collection, Coroutine, Mapping
from concurrent.futures import Executor
from typing import Any

from core.engine import protocol
from core.engine.local import LOOK_SECONDS, short_address, socket_path

KEY = "stencil.hub"  # where a server that has a hub puts it into a request's environment
CHUNK = 500  # identifiers of one query
MOST_BEGUN = 10_000
MOST_UNSENT = 4 * 1024 * 1024
GATHER_SECONDS = 0.005  # what one query looks at was registered within this time
CONNECT_PAUSE_SECONDS = 0.2  # between tries, however many begin to wait meanwhile

logger = logging.getLogger(__name__)


class Hub:
    """Everyone in this process who waits for an execution. Made and run on the event loop."""

    def __init__(
        self,
        *,
        pool: Executor,
        finished: Callable[[Collection[uuid.UUID]], set[uuid.UUID]] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._pool = pool
        self._finished = finished or finished_among
        self._waiting: dict[uuid.UUID, set[asyncio.Future[bool]]] = {}
        self._begun: dict[uuid.UUID, bool] = {}  # begun, not waited for yet → ended already
        self._unseen: set[uuid.UUID] = set()  # the executor holds our wait; the row is to be read
        self._link = _Link(self._loop, self._heard, self._lost)
        self._tasks: set[asyncio.Task[None]] = set()
        self._looking = self._loop.create_task(self._look_always())
        self._stopping = asyncio.Event()

    def begin(self, execution_id: uuid.UUID) -> None:
        """Wake the executor for what was committed just now, and ask for its end. Any thread."""
        if len(self._begun) >= MOST_BEGUN:  # whoever asked for these never came to wait
            self._begun.clear()
        self._begun[execution_id] = False
        self._link.send(protocol.Message(type="wait", kind="execution", id=str(execution_id)))

    async def wait(self, execution_id: uuid.UUID, seconds: float, *, begun: bool) -> bool:
        """Wait for news of an execution: True when there is a reason to read its row.

        False when the time is over. `begun`: `begin` asked for it already.
        """
        if self._begun.pop(execution_id, False):
            return True
        if self._stopping.is_set():
            return False
        told: asyncio.Future[bool] = self._loop.create_future()
        self._waiting.setdefault(execution_id, set()).add(told)
        if not begun:
            self._link.send(protocol.Message(type="wait", id=str(execution_id)))
        timer = self._loop.call_later(seconds, _tell, told, False)
        try:
            return await told
        finally:
            timer.cancel()
            self._forget(execution_id, told)

    def count(self) -> int:
        """How many wait now."""
        return sum(map(len, self._waiting.values()))

    def end_waits(self) -> None:
        """The process stops: everyone gets the row as it is."""
        self._stopping.set()
        for told in [told for waiters in self._waiting.values() for told in waiters]:
            _tell(told, False)

    @property
    def stopping(self) -> asyncio.Event:
        """Set once the process stops."""
        return self._stopping

    async def close(self) -> None:
        """Stop looking, and let the link go."""
        self.end_waits()
        self._looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._looking
        self._link.close()

    def _forget(self, execution_id: uuid.UUID, told: asyncio.Future[bool]) -> None:
        waiters = self._waiting.get(execution_id, set())
        waiters.discard(told)
        if not waiters:
            self._waiting.pop(execution_id, None)

    def _heard(self, message: protocol.Message) -> None:
        """The executor said something of an execution."""
        try:
            execution_id = uuid.UUID(message.id)
        except ValueError:
            return
        if message.type == "finished":
            if execution_id in self._begun:
                self._begun[execution_id] = True
            self._tell_all([execution_id])
        elif message.type == "waiting" and execution_id in self._waiting:
            # The executor holds our wait now. What ended before that, only the row says.
            if not self._unseen:
                self._loop.call_later(GATHER_SECONDS, self._look_at_unseen)
            self._unseen.add(execution_id)

    def _look_at_unseen(self) -> None:
        unseen, self._unseen = list(self._unseen), set()
        self._start(self._look(unseen))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _lost(self) -> None:
        """The link is gone: what it would have said, only the rows say."""
        self._start(self._look(list(self._waiting)))

    async def _look_always(self) -> None:
        told_on = 0  # the connection on which everyone's wait was told
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            waiting = list(self._waiting)
            if waiting and (number := self._link.number()) != told_on:
                told_on = number
                for execution_id in waiting:
                    self._link.send(protocol.Message(type="wait", id=str(execution_id)))
            await self._look(waiting)

    async def _look(self, execution_ids: list[uuid.UUID]) -> None:
        for start in range(0, len(execution_ids), CHUNK):
            chunk = execution_ids[start : start + CHUNK]
            try:
                ended = await self._loop.run_in_executor(self._pool, self._finished, chunk)
            except Exception:  # whatever the database has: we look again in a second
                logger.exception("the rows of those who wait could not be read")
                return
            self._tell_all(ended)

    def _tell_all(self, execution_ids: Collection[uuid.UUID]) -> None:
        for execution_id in execution_ids:
            for told in list(self._waiting.get(execution_id, ())):
                _tell(told, True)


def of(environment: Mapping[str, object]) -> Hub | None:
    """The hub of the server that a request came by, if it has one."""
    found = environment.get(KEY)
    return found if isinstance(found, Hub) else None


def finished_among(execution_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Which of these have ended, by their rows."""
    from execapp.models import FINAL_STATES, Execution

    rows = Execution.objects.filter(id__in=execution_ids, state__in=FINAL_STATES)
    return set(rows.values_list("id", flat=True))


def _tell(told: "asyncio.Future[bool]", value: bool) -> None:
    if not told.done():
        told.set_result(value)


class _Link:
    """One connection to the executor: anyone sends, the event loop reads."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        heard: Callable[[protocol.Message], None],
        lost: Callable[[], None],
    ) -> None:
        self._loop, self._heard, self._lost = loop, heard, lost
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._tried = -CONNECT_PAUSE_SECONDS
        self._rest = b""
        self._unsent = bytearray()  # what the link has not taken yet
        self._made = 0

    def send(self, message: protocol.Message) -> None:
        """Send, at once or when the link takes it; dropped when nobody listens or keeps up."""
        line = protocol.encode(message)
        with self._lock:
            link = self._socket or self._connect()
            if link is None:
                return
            if self._unsent:
                self._unsent += line
                if len(self._unsent) > MOST_UNSENT:
                    self._drop(link)
                return
            try:
                sent = link.send(line)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._drop(link)
                return
            if sent < len(line):
                self._unsent += line[sent:]
                self._loop.call_soon_threadsafe(self._write_on, link)

    def _write_on(self, link: socket.socket) -> None:
        if link.fileno() >= 0:
            self._loop.add_writer(link.fileno(), self._flush, link)

    def _flush(self, link: socket.socket) -> None:
        with self._lock:
            if self._socket is link:
                try:
                    del self._unsent[: link.send(self._unsent)]
                except BlockingIOError:
                    return
                except OSError:
                    self._drop(link)
            if self._socket is not link or not self._unsent:
                self._loop.remove_writer(link.fileno())

    def number(self) -> int:
        """Which connection this is, by count; connects if there is none."""
        with self._lock:
            if self._socket is None:
                self._connect()
            return self._made

    def close(self) -> None:
        """Let the connection go."""
        with self._lock:
            if self._socket is not None:
                self._loop.remove_reader(self._socket.fileno())
                self._loop.remove_writer(self._socket.fileno())
                self._socket.close()
                self._socket = None

    def _connect(self) -> socket.socket | None:
        now = time.monotonic()
        if now - self._tried < CONNECT_PAUSE_SECONDS:
            return None
        self._tried = now
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        link.setblocking(False)
        try:
            with short_address(socket_path()) as address:
                link.connect(address)
        except OSError:
            link.close()
            return None
        self._socket = link
        self._made += 1
        self._loop.call_soon_threadsafe(self._listen, link)
        return link

    def _listen(self, link: socket.socket) -> None:
        if link.fileno() >= 0:
            self._rest = b""
            self._loop.add_reader(link.fileno(), self._read, link)

    def _drop(self, link: socket.socket) -> None:
        """With the lock held, from any thread. The reader sees the end, and tells of it."""
        with contextlib.suppress(OSError):
            link.shutdown(socket.SHUT_RDWR)
        if self._socket is link:
            self._socket = None
            self._unsent.clear()

    def _read(self, link: socket.socket) -> None:
        try:
            data = link.recv(64 * 1024)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        *lines, self._rest = (self._rest + data).split(b"\n")
        try:
            for line in lines:
                self._heard(protocol.decode(line))
        except protocol.WireError as error:
            logger.warning("socket: %s", error)
            data = b""
        if not data:
            self._loop.remove_reader(link.fileno())
            self._loop.remove_writer(link.fileno())
            with self._lock:
                self._drop(link)
            link.close()
            self._lost()
