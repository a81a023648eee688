"""Result values of one submission. Frozen; durations in milliseconds."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from sandbox.session.collecting import Collected
from sandbox.session.runner_messages import TestReport

Start = Literal["fork", "warm", "cold"]


class State(StrEnum):
    """How an execution ended. Each state but ERROR is caused by the program or the client."""

    SUCCEEDED = "succeeded"  # exit status 0 and, for tests, a complete report that agrees
    FAILED = "failed"  # another exit status, or failing tests
    TIMED_OUT = "timed_out"  # killed for wall-clock or CPU time
    OUT_OF_MEMORY = "out_of_memory"  # killed for memory
    OUTPUT_LIMIT = "output_limit"  # killed for writing more than a stream may hold
    CRASHED = "crashed"  # died by a signal that Stencil did not send
    CANCELLED = "cancelled"  # killed on request
    ERROR = "error"  # Stencil failed; callers use it for a SandboxError


@dataclass(frozen=True, kw_only=True)
class Stream:
    """The kept bytes of one output stream."""

    data: bytes = b""
    truncated: bool = False


@dataclass(frozen=True, kw_only=True)
class Usage:
    """CPU time since the delivery of the job; peak memory of the sandbox, None if unknown."""

    cpu_ms: float
    memory_peak_bytes: int | None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The end of one submission.

    `exit_code` is None after a death by `signal` ("SIGSEGV") or a kill. `report` is None in run
    mode. `setup_ms` ends with the delivery of the job, `run_ms` with the end of the program, and
    `collect_ms` when its processes are gone and its output is read. `start` says whether the
    sandbox was forked from a loaded process, was loaded and waited, or had to load for this job;
    `cold_reason` says why it is "cold", else it is None. `collected` is None if no files were asked
    for.
    """

    state: State
    exit_code: int | None
    signal: str | None
    message: str | None
    stdout: Stream
    stderr: Stream
    report: TestReport | None
    usage: Usage
    setup_ms: float
    run_ms: float
    start: Start
    collect_ms: float = 0.0
    cold_reason: str | None = None
    collected: Collected | None = None

    @property
    def warm(self) -> bool:
        """Return whether the runtime was loaded before the job came."""
        return self.start != "cold"
