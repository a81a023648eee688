"""The sandboxes of the cases of one execution: a fresh one for each, one after the other.

A sandbox of its own is the wall between two cases: files, processes, IPC, sockets and descriptors
of one do not exist in the next. Decision 0046.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

from sandbox.limits import Limits
from sandbox.session.meter import Meter
from sandbox.session.outcome import Outcome
from sandbox.session.submission import Submission


class Deliver:
    """Runs one case after the other, each by `sandboxed` in a sandbox of its own.

    A case begins when the sandbox of the one before is gone: no two of an execution exist at once,
    so its limits on memory and processes hold for all of them.
    """

    def __init__(self, sandboxed: Callable[..., Outcome], meter: Meter) -> None:
        self._sandboxed = sandboxed
        self._meter = ContinuedMeter(meter)
        self._number = 0

    def __call__(self, submission: Submission, limits: Limits) -> Outcome:
        """Run one case and end its sandbox; `setup_ms` is all the time before the program."""
        self._number += 1
        began = time.monotonic()
        with ExitStack() as gone:
            outcome = self._sandboxed(
                gone, submission, limits, meter=self._meter, case=self._number
            )
            took = (time.monotonic() - began) * 1000
        setup_ms = max(0.0, took - outcome.run_ms - outcome.collect_ms)
        return replace(outcome, setup_ms=setup_ms)


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
