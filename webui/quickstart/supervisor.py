"""Run the processes of one machine together: start, restart and stop them with their children.

Each child leads its own session, so Ctrl-C in a terminal reaches only the supervisor. It stops the
executor first, which drains, and web last, so that waiting clients get their replies. Decision 0030
says why this is not a process manager from PyPI.
"""

import fcntl
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

LONGEST_PAUSE_SECONDS = 60.0
FORGIVEN_SECONDS = 120.0  # a run of this length takes back one failure
LOOK_SECONDS = 0.2


class AlreadyRunningError(Exception):
    """Another supervisor uses this data directory; the message names its process."""


@dataclass(kw_only=True)
class Program:
    """A program to keep alive: its name for messages, its argv, and its obstacle.

    `obstacle` returns a sentence about what the start must wait for, such as a port in use, or
    None. `failures` grows by one with each end and shrinks with the length of each run.
    """

    name: str
    argv: Sequence[str]
    stop_seconds: float = 30.0
    obstacle: Callable[[], str | None] = lambda: None
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    started: float = field(default=0.0, init=False)
    failures: float = field(default=0.0, init=False)
    retry_at: float = field(default=0.0, init=False)
    waits_for: str | None = field(default=None, init=False)

    def pause_after(self, uptime: float) -> float:
        """Note an end after `uptime` seconds; return the seconds to wait before the next start.

        Failures in a row give 0, 1, 3, 7, … 60 seconds. A program that ends every few seconds
        reaches the longest pause; a program that ran for hours starts again at once.
        """
        self.failures = max(0.0, self.failures - uptime / FORGIVEN_SECONDS)
        pause: float = min(LONGEST_PAUSE_SECONDS, 2.0**self.failures - 1)
        self.failures = min(self.failures + 1, 16.0)
        return round(pause, 1)


class Supervisor:
    """Keep programs alive until a stop signal. They start and stop in the given order."""

    def __init__(
        self, programs: Sequence[Program], *, env: Mapping[str, str], say: Callable[[str], None]
    ) -> None:
        self.programs = list(programs)
        self.env = dict(env)
        self.say = say
        self.stopping = threading.Event()

    def start(self) -> None:
        """Start each program in order. From now on SIGINT and SIGTERM set `stopping`."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self.stopping.set())
        for program in self.programs:
            self._start(program)

    def wait(self) -> None:
        """Restart programs that end, until SIGINT or SIGTERM; then stop all in order."""
        try:
            while not self.stopping.wait(LOOK_SECONDS):
                for program in self.programs:
                    self._restart_if_ended(program)
        finally:
            self.stop()

    def stop(self) -> None:
        """Terminate each program in turn, and kill it after its `stop_seconds`."""
        for program in self.programs:
            process = program.process
            if process is None:
                continue
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(program.stop_seconds)
                except subprocess.TimeoutExpired:
                    self.say(f"{program.name} did not stop in {program.stop_seconds:g} s: killed")
            self._kill(process)
            program.process = None

    def _start(self, program: Program) -> None:
        program.process = subprocess.Popen(
            list(program.argv), env=self.env, stdin=subprocess.DEVNULL, start_new_session=True
        )
        program.started = time.monotonic()

    def _restart_if_ended(self, program: Program) -> None:
        process, now = program.process, time.monotonic()
        if process is not None:
            status = process.poll()
            if status is None:
                return
            self._kill(process)  # its own children may outlive it, and hold its port
            program.process = None
            pause = program.pause_after(now - program.started)
            program.retry_at = now + pause
            when = f"in {pause:g} s" if pause else "now"
            self.say(f"{program.name} ended with status {status}; starting it again {when}")
        if now < program.retry_at:
            return
        obstacle = program.obstacle()
        if obstacle is not None:
            if obstacle != program.waits_for:
                self.say(f"{program.name} is not started yet: {obstacle}")
            program.waits_for = obstacle
            return
        program.waits_for = None
        self._start(program)

    @staticmethod
    def _kill(process: subprocess.Popen[bytes]) -> None:
        """Send SIGKILL to the process group, and wait for the process."""
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class SupervisorLock:
    """The lock of a data directory. The kernel releases it when the process dies."""

    def __init__(self, path: Path) -> None:
        """Take the lock. Raises AlreadyRunningError."""
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            held_by = os.pread(self._descriptor, 200, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            message = (
                f"Stencil runs on {path.parent} already (process {held_by or 'unknown'}): stop "
                "that one first, or set STENCIL_DATA to another directory."
            )
            raise AlreadyRunningError(message) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{json.dumps(os.getpid())}\n".encode(), 0)

    def release(self) -> None:
        """Release the lock. The file stays, because removing it would break the lock."""
        os.close(self._descriptor)
