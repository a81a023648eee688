"""Runs the processes of one machine together: starts, restarts, and stops them whole.

Each child leads a session of its own, so that Ctrl-C in a terminal reaches us alone and the
children are told to stop in good order: web first (no new work), then the executor (drains).
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

STABLE_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 30.0


@dataclass(kw_only=True)
class Program:
    """One program to keep alive: its name for messages and its argv."""

    name: str
    argv: Sequence[str]
    stop_seconds: float = 30.0
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    started: float = field(default=0.0, init=False)
    failures: int = field(default=0, init=False)
    retry_at: float = field(default=0.0, init=False)


class Supervisor:
    """Keeps programs alive until told to stop.

    A program that ends by itself is started again, at once the first time and with a growing
    pause (at most 30 seconds) when it keeps failing.
    """

    def __init__(
        self, programs: Sequence[Program], *, env: Mapping[str, str], say: Callable[[str], None]
    ) -> None:
        self.programs = list(programs)
        self.env = dict(env)
        self.say = say
        self.stopping = threading.Event()

    def start(self) -> None:
        """Start every program once, in order; from here on SIGINT and SIGTERM ask us to stop."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self.stopping.set())
        for program in self.programs:
            self._start(program)

    def wait(self) -> None:
        """Keep the programs alive until SIGINT or SIGTERM, then stop them in order."""
        try:
            while not self.stopping.wait(0.2):
                for program in self.programs:
                    self._tend(program)
        finally:
            self.stop()

    def stop(self) -> None:
        """Ask each program to end, web before executor, and kill what does not in time."""
        for program in self.programs:
            process = program.process
            if process is None or process.poll() is not None:
                continue
            process.terminate()
            try:
                process.wait(program.stop_seconds)
            except subprocess.TimeoutExpired:
                self.say(f"{program.name} did not stop in {program.stop_seconds:g} s: killed")
                self._kill(process)

    def _start(self, program: Program) -> None:
        program.process = subprocess.Popen(
            list(program.argv), env=self.env, stdin=subprocess.DEVNULL, start_new_session=True
        )
        program.started = time.monotonic()

    def _tend(self, program: Program) -> None:
        process, now = program.process, time.monotonic()
        if process is not None:
            status = process.poll()
            if status is None:
                return
            program.process = None
            program.failures = 0 if now - program.started > STABLE_SECONDS else program.failures + 1
            pause = min(LONGEST_PAUSE_SECONDS, 2.0**program.failures - 1)
            program.retry_at = now + pause
            self.say(f"{program.name} ended with status {status}; starting it again in {pause:g} s")
        if now >= program.retry_at:
            self._start(program)

    @staticmethod
    def _kill(process: subprocess.Popen[bytes]) -> None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        process.wait()
