"""The sandboxes of the cases of one execution: a fresh one for each, one after the other.

A sandbox of its own is the wall between two cases: files, processes, IPC, sockets and descriptors
of one do not exist in the next. While a case runs, the sandbox of the next one is made: it waits
without its job, as a warm one does. The sandbox of the case before is removed meanwhile. So at most
three exist, of which one runs a program. Decision 0046.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Self

from sandbox.limits import Limits
from sandbox.session.meter import Meter
from sandbox.session.outcome import Outcome
from sandbox.session.sessions import Session
from sandbox.session.submission import Submission

_THREADS = 2  # one makes the next sandbox, one removes the last


class Deliver:
    """Runs one case after the other, each by `sandboxed` in a sandbox of its own.

    `ahead` makes the sandbox of a case by its number, or returns None: `sandboxed` then finds one.
    `waited_ms` returns how long the execution has waited for a core so far, which is no set-up.
    Use it as a context, which ends what is left.
    """

    def __init__(
        self,
        sandboxed: Callable[..., Outcome],
        meter: Meter,
        *,
        ahead: Callable[[int], Session | None],
        total: int,
        waited_ms: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._sandboxed = sandboxed
        self._waited_ms = waited_ms
        self._meter = ContinuedMeter(meter)
        self._make, self._total = ahead, total
        self._number = 0
        self._next: Future[Session | None] | None = None
        self._last: Future[None] | None = None
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="cases")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._threads:  # it waits for both threads
            made = None if self._next is None else self._next.result()
            if made is not None:
                made.close()
        self._await_last()

    def __call__(self, submission: Submission, limits: Limits) -> Outcome:
        """Run one case; `setup_ms` is all the time before the program."""
        began, waited_ms = time.monotonic(), self._waited_ms()
        self._number += 1
        waiting, self._next = self._next, None
        warm = None if waiting is None else waiting.result()
        if self._number < self._total:
            self._next = self._threads.submit(self._make, self._number + 1)
        gone = ExitStack()
        try:
            outcome = self._sandboxed(
                gone, submission, limits, meter=self._meter, case=self._number, warm=warm
            )
            took = (time.monotonic() - began) * 1000 - (self._waited_ms() - waited_ms)
        finally:
            self._await_last()
            self._last = self._threads.submit(gone.close)
        return replace(outcome, setup_ms=max(0.0, took - outcome.run_ms - outcome.collect_ms))

    def _await_last(self) -> None:
        last, self._last = self._last, None
        if last is not None:
            last.result()


class ContinuedMeter:
    """Publishes the measurements of several runs as those of one: its CPU time only grows."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._before: float | None = None  # CPU time of the ended runs
        self._last = 0.0

    def begun(self, now: float) -> None:
        """Note the delivery of a job; the first one is the beginning of the whole."""
        if self._before is None:
            self._before = 0.0
            self._meter.begun(now)
        else:
            self._before += self._last
        self._last = 0.0

    def measured(self, cpu_ms: float, now: float) -> None:
        """Note the CPU time used since the delivery of the last job."""
        self._last = cpu_ms
        self._meter.measured((self._before or 0.0) + cpu_ms, now)

    def waits(self) -> None:
        """Note that no thread of the program wants a processor now."""
        self._meter.waits()
