"""Sandboxes with a runner in a template's tree: started cold or kept warm, each for one submission.

The host never touches a folder that a sandbox can write: files and results travel as messages
over the channel. Times are measured on the host, from the delivery of the job. Before Linux 6.15
`exit(137)` looks like a SIGKILL, and both are CRASHED (see `isolation.exit_status`).
"""

import logging
import math
import resource
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace

from sandbox.errors import LimitsError, SandboxError, StartupError, UsedError
from sandbox.isolation import confinement
from sandbox.isolation.container import Container
from sandbox.isolation.launch import Shares, launch, parking_key, this_host
from sandbox.isolation.parking import ParkedPool
from sandbox.limits import Limits
from sandbox.session.collecting import Anchor, Collected, Wanted, collect
from sandbox.session.job import TICK, OnCase, OnOutput, Run, drain
from sandbox.session.meter import Meter
from sandbox.session.outcome import Outcome, Start, State
from sandbox.session.paths import check_paths
from sandbox.session.runner_messages import Ready, ReportError, parse
from sandbox.session.streams import Capture, Pump
from sandbox.session.submission import SourceFile, Submission, Tree, tree_profile
from sandbox.session.variables import Variables

__all__ = [
    "Session",
    "SourceFile",
    "Submission",
    "Tree",
    "check_paths",
    "execute",
    "start",
    "tree_profile",
]


logger = logging.getLogger(__name__)
_STARTUP_OUTPUT = 64 * 1024
_READY_BYTES = 4096


def start(
    tree: Tree,
    limits: Limits,
    *,
    slot: str,
    low_priority: bool = False,
    cold: bool = False,
    parked_pool: ParkedPool | None = None,
    env: Mapping[str, str] | None = None,
) -> "Session":
    """Start a sandbox; wait until its runner is ready and the host has checked its confinement.

    `low_priority`: it yields the processors to others until its job is delivered. `cold`: the job
    is there already, so the runner should load what that job needs and no more. `parked_pool`: a
    pool that may hold a parked sandbox for it, whose control group is then the pool's. `env`:
    variables of the job; those that the tree's runtime reads at its start are set from there.
    StartupError if the runner does not get ready, IsolationUnavailableError if this machine cannot
    isolate, ConfinementError if the host finds that the sandbox is not locked down (0018).
    """
    began = time.monotonic()
    shares = shares_of(limits, low_priority=low_priority)
    given = tree.variables.for_runner(env or {})
    inside = tree_profile(tree, limits, cold=cold, env=given)
    container = launch(
        inside,
        shares,
        slot=slot,
        startup_ms=limits.startup_ms,
        channel=True,
        parked=None if parked_pool is None else parked_pool.take(parking_key(inside, channel=True)),
    )
    try:
        await_ready(container, began + limits.startup_ms / 1000)
        confinement.check(container.init, as_root=this_host().as_root)
        container.hold_command()
    except BaseException:
        container.close()
        raise
    return Session(
        container,
        limits,
        setup_ms=(time.monotonic() - began) * 1000,
        setup_cpu_ms=container.group.cpu_ms(),
        low_priority=low_priority,
        start="cold" if cold else "warm",
        variables=tree.variables,
        env=given,
    )


def shares_of(limits: Limits, *, low_priority: bool = False) -> Shares:
    """Return the limits that hold from the first instruction of a sandbox."""
    cpu_seconds = math.ceil((limits.startup_ms + limits.cpu_ms) / 1000) + 1
    return Shares(
        memory_bytes=limits.memory_bytes,
        processes=limits.processes,
        rlimits={
            resource.RLIMIT_CPU: cpu_seconds,  # a backstop: the real limit is polled
            resource.RLIMIT_FSIZE: limits.file_bytes,
            resource.RLIMIT_NOFILE: limits.open_files,
        },
        low_priority=low_priority,
    )


def await_ready(container: Container, deadline: float) -> None:
    """Wait for the runner's first message. StartupError after `deadline` (monotonic seconds)."""
    assert container.channel is not None  # noqa: S101 - launched with one
    pump = Pump(container.child.pidfd)
    message = bytearray()
    errors = Capture(_STARTUP_OUTPUT)
    pump.read(container.channel.fileno(), message.extend)
    pump.read(container.stdout, Capture(0).feed)
    pump.read(container.stderr, errors.feed)
    try:
        while b"\n" not in message and len(message) < _READY_BYTES:
            left = deadline - time.monotonic()
            container.group.cpu_ms()  # without control groups this call measures memory
            if pump.exited or left <= 0 or container.group.out_of_memory():
                raise StartupError(_why_not_ready(container, pump, errors))
            pump.turn(min(left, TICK * 5))
    finally:
        pump.close()
    _check_ready(bytes(message))


def _check_ready(message: bytes) -> None:
    try:
        if not message.endswith(b"\n") or not isinstance(parse(message[:-1]), Ready):
            raise StartupError("the runner's first message is not 'ready'")
    except ReportError as error:
        raise StartupError(f"the runner's first message is not 'ready': {error}") from error


def _why_not_ready(container: Container, pump: Pump, errors: Capture) -> str:
    out_of_memory = container.group.out_of_memory()
    exited = pump.exited
    container.kill()
    drain(pump)
    said = bytes(errors.data).decode("utf-8", "replace").strip()[-2000:]
    if out_of_memory:
        what = "the runner ran out of memory before it was ready"
    elif exited:
        what = f"the runner ended with status {container.child.wait()} before it was ready"
    else:
        what = "the runner was not ready in time"
    return f"{what}: {said}" if said else what


class Session:
    """One started, locked-down, single-use sandbox whose runner waits for its job.

    Use it from one thread at a time; any thread may call `close`.
    """

    def __init__(
        self,
        container: Container,
        limits: Limits,
        *,
        setup_ms: float,
        setup_cpu_ms: float,
        low_priority: bool = False,
        start: Start = "warm",
        variables: Variables | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.limits = limits
        self.setup_ms = setup_ms
        self.setup_cpu_ms = setup_cpu_ms  # CPU time of the start; not part of a job's usage
        self._container = container
        self._low_priority = low_priority
        self.started: Start = start
        self._variables = variables or Variables()
        self._env = dict(env or {})
        self._used = threading.Lock()

    @property
    def alive(self) -> bool:
        """Return whether the session can still take a job."""
        return not self._used.locked() and self._container.alive()

    @property
    def memory_bytes(self) -> int:
        """Return its memory in use in bytes; 0 when it is gone."""
        try:
            return self._container.group.memory_used()
        except OSError:
            return 0

    def fits(self, limits: Limits) -> bool:
        """Return whether its limits can still be lowered to `limits`."""
        return fits(self.limits, limits)

    def deliver(
        self,
        submission: Submission,
        limits: Limits,
        *,
        cancel: threading.Event | None = None,
        on_case: OnCase | None = None,
        on_output: OnOutput | None = None,
        later: ExitStack | None = None,
        meter: Meter | None = None,
        exclusive: bool = False,
        files: Wanted | None = None,
    ) -> Outcome:
        """Run one submission to its end, then end the sandbox.

        `on_case` and `on_output` are called in this thread while the job runs. The sandbox is
        killed when this returns. The wait until its processes are gone and its memory is free
        happens here, or when the caller closes `later`: work deferred until the reply is sent.
        `meter` receives the CPU time during the run. `exclusive`: a larger share of the processors.
        `files`: what to collect when the program has ended; it costs the wait for its processes.
        LimitsError if the sandbox cannot take these limits, StartupError if it died while it
        waited, UsedError for a second job.
        """
        began = time.monotonic()
        if not self._used.acquire(blocking=False):
            raise UsedError("a sandbox takes one job only")
        with ExitStack() as end:
            end.callback(self._container.close)
            self._lower(limits)
            if not self._container.alive():
                raise StartupError("the sandbox died while it waited for its job")
            if self._low_priority:
                self._container.group.set_priority(low=False)
            if exclusive:
                self._container.group.favour()
            setup_ms = (
                (time.monotonic() - began) * 1000 if self.started != "cold" else self.setup_ms
            )
            late = self._late(submission)
            collecting = None if files is None else Collecting(self._container, files, end)
            run = Run(self._container, submission, limits, cancel, on_case, on_output, late, meter)
            outcome = run.outcome(setup_ms=setup_ms, start=self.started)
            if collecting is not None:
                outcome = collecting.complete(outcome)
            if later is not None:
                later.callback(end.pop_all().close)
            return outcome

    def _late(self, submission: Submission) -> list[str]:
        """Return the variables that the runtime should have read at its start: it must restart."""
        wanted = self._variables.at_start(submission.env)
        return [name for name in wanted if self._env.get(name) != submission.env[name]]

    def close(self) -> None:
        """End the sandbox if it has no job yet; a job that runs in another thread is not ended."""
        if self._used.acquire(blocking=False):
            self._container.close()

    def _lower(self, limits: Limits) -> None:
        if not self.fits(limits):
            raise LimitsError("a started sandbox's limits can only be lowered")
        mine, group = self.limits, self._container.group
        if (limits.memory_bytes, limits.processes) != (mine.memory_bytes, mine.processes):
            group.lower(memory_bytes=limits.memory_bytes, processes=limits.processes)
        if (limits.file_bytes, limits.open_files) != (mine.file_bytes, mine.open_files):
            for pid in group.pids():
                _lower_files(pid, limits)


class Collecting:
    """The files of one sandbox, decision 0047. A failure of ours is a note and a log line."""

    def __init__(self, container: Container, wanted: Wanted, end: ExitStack) -> None:
        """Hold the folder of a sandbox that has no job yet, until `end`."""
        self._container, self._wanted = container, wanted
        self._anchor: Anchor | None = None
        try:
            self._anchor = Anchor.take(container.init)
        except SandboxError:
            logger.exception("files of a sandbox cannot be collected")
            return
        end.callback(self._anchor.close)
        # The number of a dead process may be another sandbox's by now; that of a living one is not.
        if not container.first_process_lives():
            raise StartupError("the sandbox died while it waited for its job")

    def complete(self, outcome: Outcome) -> Outcome:
        """Return the outcome with the files; a cancelled one has none."""
        if outcome.state is State.CANCELLED:
            return outcome
        began = time.monotonic()
        collected = self._collected()
        spent = (time.monotonic() - began) * 1000
        return replace(outcome, collected=collected, collect_ms=outcome.collect_ms + spent)

    def _collected(self) -> Collected:
        if self._anchor is not None:
            try:
                if not self._container.end_all():
                    raise SandboxError("processes of the sandbox live on after their kill")
                return collect(self._anchor, self._wanted)
            except (SandboxError, OSError):
                logger.exception("files of a sandbox cannot be collected")
        return Collected(notes=("a failure of Stencil, which its log has",))


def fits(started: Limits, wanted: Limits) -> bool:
    """Return whether `wanted` only lowers `started`; the disk size of a sandbox is fixed."""
    return wanted.disk_bytes == started.disk_bytes and (
        wanted.memory_bytes <= started.memory_bytes
        and wanted.processes <= started.processes
        and wanted.file_bytes <= started.file_bytes
        and wanted.open_files <= started.open_files
        and wanted.cpu_ms <= started.cpu_ms
    )


def _lower_files(pid: int, limits: Limits) -> None:
    wanted = {
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_NOFILE: limits.open_files,
    }
    try:
        for kind, value in wanted.items():
            resource.prlimit(pid, kind, (value, value))
    except ProcessLookupError:
        return
    except PermissionError as error:  # a process of another uid, and root lacks CAP_SYS_RESOURCE
        raise LimitsError("the limits of a running process may not be changed here") from error


def execute(
    tree: Tree,
    submission: Submission,
    limits: Limits,
    *,
    slot: str = "adhoc",
    cancel: threading.Event | None = None,
    on_case: OnCase | None = None,
    on_output: OnOutput | None = None,
) -> Outcome:
    """Start a cold sandbox for this submission and run it. Raises as `start` does."""
    session = start(tree, limits, slot=slot, cold=True, env=submission.env)
    return session.deliver(submission, limits, cancel=cancel, on_case=on_case, on_output=on_output)
