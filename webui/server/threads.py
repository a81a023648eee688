"""Long-lived threads that run whole requests for the event loop.

The interpreter runs one thread at a time. With more runnable threads than a few, each of them and
the event loop wait for their turns, and each turn is a switch of threads (decision 0038). So few
run at a time. Work that lasts most likely waits for a lock, a disk or an executor, without the
interpreter: more work begins beside it.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

LASTS_SECONDS = 0.01  # work that runs for longer does not count as using the interpreter

type _Task = tuple[Callable[[], Any], asyncio.Future[Any]]


class Threads:
    """At most `most` threads; `usual` of them run short work at a time. For one event loop."""

    def __init__(self, *, most: int, usual: int, name: str) -> None:
        self._most, self._usual, self._name = most, min(usual, most), name
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._made = 0
        self._waiting: deque[_Task] = deque()
        self._begun: dict[asyncio.Future[Any], float] = {}  # in order of their beginning
        self._ended: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._told = False  # the event loop will collect what has ended
        self._timer: asyncio.TimerHandle | None = None

    def run[T](self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Return the future result of `work`, which runs in its turn; cancel it to drop it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append((work, future))
        self._begin(loop)
        return future

    def close(self) -> None:
        """Drop the work that has not begun, and end the threads when theirs has ended."""
        if self._timer is not None:
            self._timer.cancel()
        while self._waiting:
            self._waiting.popleft()[1].cancel()
        for _ in range(self._made):
            self._tasks.put(None)

    # --- on the event loop

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin as much work as may run now; if work is left, look again in a moment."""
        while self._waiting and self._free(loop):
            task = self._waiting.popleft()
            if task[1].done():  # cancelled
                continue
            self._begun[task[1]] = loop.time()
            if len(self._begun) > self._made:
                self._made += 1
                name = f"{self._name}-{self._made}"
                threading.Thread(target=self._serve, args=(loop,), name=name).start()
            self._tasks.put(task)
        if self._waiting and self._timer is None and len(self._begun) < self._most:
            self._timer = loop.call_later(LASTS_SECONDS / 2, self._again, loop)

    def _free(self, loop: asyncio.AbstractEventLoop) -> bool:
        running = len(self._begun)
        if running < self._usual:
            return True
        if running >= self._most:
            return False
        since = loop.time() - LASTS_SECONDS
        return running - sum(begun <= since for begun in self._begun.values()) < self._usual

    def _again(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        self._begin(loop)

    def _collect(self, loop: asyncio.AbstractEventLoop) -> None:
        self._told = False  # before the deque is read: what ends from now on is told again
        while self._ended:
            future, result, error = self._ended.popleft()
            del self._begun[future]
            if future.done():  # cancelled
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
        self._begin(loop)

    # --- in a thread

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        while (task := self._tasks.get()) is not None:
            work, future = task
            try:
                self._ended.append((future, work(), None))
            except BaseException as error:  # noqa: BLE001 - raised where the result is awaited
                self._ended.append((future, None, error))
            del task, work, future
            if not self._told:
                self._told = True
                try:
                    loop.call_soon_threadsafe(self._collect, loop)
                except RuntimeError:  # the loop is closed: nobody awaits the result
                    return
