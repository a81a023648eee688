"""The run of one job in one started sandbox: delivery, supervision, end, classification."""

import os
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from sandbox.cgroup.process_tree import all_sleep
from sandbox.errors import LostError
from sandbox.isolation.container import Container
from sandbox.limits import Limits
from sandbox.session import verdict
from sandbox.session.meter import Meter
from sandbox.session.outcome import Outcome, Start, Usage
from sandbox.session.runner_messages import Collector, ReportedExit, TestCase
from sandbox.session.streams import Capture, Pump
from sandbox.session.submission import Submission, encode_job
from sandbox.session.verdict import KillReason
from sandbox.session.wall import WallClock

OnCase = Callable[[TestCase], None]
OnOutput = Callable[[str, bytes], None]

TICK = 0.02  # seconds between looks at CPU, memory and the cancel event
_YOUNG_TICK = 0.005  # the same at first, so that it is soon seen whether the program computes
_YOUNG = 0.06  # seconds
_WAITING_TICK = 0.05  # the same while the program waits and is far from its CPU limit
_CORES = len(os.sched_getaffinity(0))
_DRAIN = 2.0  # seconds to read the rest of a dead sandbox's output


class Run:
    """One job in one container. Use it once."""

    def __init__(
        self,
        container: Container,
        submission: Submission,
        limits: Limits,
        cancel: threading.Event | None,
        on_case: OnCase | None,
        on_output: OnOutput | None,
        late: Sequence[str] = (),
        meter: Meter | None = None,
    ) -> None:
        self._container = container
        self._submission = submission
        self._limits = limits
        self._late = late
        self._cancel = cancel
        self._on_case = on_case
        self._meter = meter
        self._collector = Collector()
        self._reported_exit = ReportedExit(key=secrets.token_hex(16))
        self._stdout = Capture(limits.output_bytes, _labelled("stdout", on_output))
        self._stderr = Capture(limits.output_bytes, _labelled("stderr", on_output))
        self._cpu_base = container.group.cpu_ms()
        self._cpu_ms = 0.0

    def outcome(self, *, setup_ms: float, start: Start) -> Outcome:
        """Deliver the job, wait for its end, and return its outcome."""
        pump = Pump(self._container.child.pidfd)
        began = time.monotonic()
        if self._meter is not None:
            self._meter.begun(began)
        try:
            self._connect(pump)
            stop = self._watch(pump, began)
            ended = time.monotonic()
            run_ms = (ended - began) * 1000
            out_of_memory = self._look()
            exit_status = None if stop else self._end(pump, out_of_memory=out_of_memory)
            if stop is not None:
                self._stop(pump)
        finally:
            pump.close()
        self._collector.end()
        if out_of_memory and stop is None:
            stop = KillReason.MEMORY
        judged = self._judge(stop, exit_status, setup_ms=setup_ms, run_ms=run_ms, start=start)
        return replace(judged, collect_ms=(time.monotonic() - ended) * 1000)

    def _end(self, pump: Pump, *, out_of_memory: bool) -> int | None:
        """Return the exit status; None if the kernel has killed all processes for their memory.

        If the runner reported its exit status, do not wait for the kernel to free its memory
        (decision 0012). A forged report gains nothing: sending it ends the process.
        """
        if self._reported_exit.code is None or pump.exited:
            try:
                return self._container.ended()
            except LostError:
                if out_of_memory:
                    return None
                raise
            finally:
                self._stop(pump)
        self._container.send_kill()
        _take_written(pump)
        return self._reported_exit.code

    def _stop(self, pump: Pump) -> None:
        self._container.kill()
        drain(pump)

    def _connect(self, pump: Pump) -> None:
        container = self._container
        assert container.channel is not None  # noqa: S101 - launched with one
        pump.read(container.stdout, self._stdout.feed)
        pump.read(container.stderr, self._stderr.feed)
        pump.read(container.channel.fileno(), self._receive)
        # Fill stdin first: a program whose stdin is non-blocking may read it at once.
        pump.write(container.take_stdin(), self._submission.stdin)
        pump.write(container.channel.fileno(), self._job(), keep=True)

    def _job(self) -> bytes:
        return encode_job(self._submission, self._reported_exit.key, self._late)

    def _receive(self, data: bytes) -> None:
        if self._submission.mode != "test":
            self._reported_exit.feed(data)
            return
        for case in self._collector.feed(data):
            if self._on_case is not None:
                self._on_case(case)

    def _watch(self, pump: Pump, began: float) -> KillReason | None:
        limit = self._limits.wall_ms
        wall = WallClock(self._container.group, began=began, limit_ms=limit, cores=_CORES)
        tick, look_at = _YOUNG_TICK, began + _YOUNG_TICK
        while True:
            pump.turn(min(tick, wall.deadline - time.monotonic()))
            if self._stdout.over or self._stderr.over:
                return KillReason.OUTPUT
            if pump.exited or self._reported_exit.code is not None:
                return None
            if self._cancel is not None and self._cancel.is_set():
                return KillReason.CANCEL
            now = time.monotonic()
            if now >= look_at:
                before = self._cpu_ms
                if self._look():
                    return KillReason.MEMORY
                self._tell_waiting(now - began)
                if self._cpu_ms >= self._limits.cpu_ms:
                    return KillReason.CPU
                tick = self._tick(now - began, self._cpu_ms - before)
                look_at = now + tick
                wall.look(now)
            if wall.over(now, self._cpu_ms):
                return KillReason.WALL

    def _tick(self, age: float, used_ms: float) -> float:
        """Return the seconds to the next look, in which the CPU limit is not passed unseen.

        A program that waits is looked at less often: hundreds of looks a second cost what the
        programs that compute could use.
        """
        if age < _YOUNG:
            return _YOUNG_TICK if age < _YOUNG / 2 else 2 * _YOUNG_TICK
        left_ms = self._limits.cpu_ms - self._cpu_ms
        waits = used_ms < 1 and left_ms > _WAITING_TICK * 1000 * _CORES
        return _WAITING_TICK if waits and self._container.group.enforces_memory else TICK

    def _tell_waiting(self, age: float) -> None:
        """Tell the meter if a young program waits: its rate is not known yet."""
        if self._meter is not None and age < _YOUNG and all_sleep(self._container.group.pids()):
            self._meter.waits()

    def _look(self) -> bool:
        group = self._container.group
        self._cpu_ms = max(self._cpu_ms, group.cpu_ms() - self._cpu_base)
        if self._meter is not None:
            self._meter.measured(self._cpu_ms, time.monotonic())
        return group.out_of_memory()

    def _judge(
        self,
        stop: KillReason | None,
        status: int | None,
        *,
        setup_ms: float,
        run_ms: float,
        start: Start,
    ) -> Outcome:
        testing = self._submission.mode == "test"
        report = self._collector.report() if testing else None
        started_again = self._collector.cold if testing else self._reported_exit.cold
        classification = verdict.classify(
            stop=stop,
            status=status,
            limits=self._limits,
            cpu_ms=self._cpu_ms,
            collected=self._collector if testing else None,
        )
        return Outcome(
            state=classification.state,
            exit_code=classification.exit_code,
            signal=classification.signal,
            message=classification.message,
            stdout=self._stdout.stream(),
            stderr=self._stderr.stream(),
            report=report,
            usage=Usage(cpu_ms=self._cpu_ms, memory_peak_bytes=self._container.group.memory_peak()),
            setup_ms=setup_ms,
            run_ms=run_ms,
            start=start if started_again is None else "cold",
            cold_reason=started_again,
        )


def _labelled(name: str, on_output: OnOutput | None) -> Callable[[bytes], None] | None:
    return None if on_output is None else lambda data: on_output(name, data)


def drain(pump: Pump) -> None:
    """Read each stream to its end, for at most the time that a dead sandbox may need."""
    deadline = time.monotonic() + _DRAIN
    while pump.reading and (left := deadline - time.monotonic()) > 0:
        pump.turn(left)


def _take_written(pump: Pump) -> None:
    """Read the bytes in the pipes; do not wait for a process that still holds the pipes open."""
    deadline = time.monotonic() + _DRAIN
    while pump.reading and time.monotonic() < deadline and pump.turn(0):
        pass
