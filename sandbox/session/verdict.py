"""Classification of a run from its exit status, its report and the reason of a kill. Pure."""

import signal
from dataclasses import dataclass
from enum import Enum

from sandbox.limits import Limits
from sandbox.session.outcome import State
from sandbox.session.runner_messages import Collector


class KillReason(Enum):
    """Why Stencil killed a run."""

    WALL = "wall"
    CPU = "cpu"
    MEMORY = "memory"
    OUTPUT = "output"
    CANCEL = "cancel"


@dataclass(frozen=True, kw_only=True)
class Classification:
    """The part of an `Outcome` that depends on how the run ended."""

    state: State
    exit_code: int | None = None
    signal: str | None = None
    message: str | None = None


def classify(
    *,
    stop: KillReason | None,
    status: int | None,
    limits: Limits,
    cpu_ms: float,
    collected: Collector | None,
) -> Classification:
    """Classify the end of a run.

    `status` is the exit status, minus the signal of a death by signal, or None after a kill by
    Stencil, which `stop` then names. `collected` is None in run mode. ValueError if both `status`
    and `stop` are None.
    """
    if stop is not None:
        return _stopped(stop, limits)
    if status is None:
        raise ValueError("it neither ended nor was stopped")
    name = signal_name(status)
    if name == "SIGXCPU" or (name == "SIGKILL" and cpu_ms >= limits.cpu_ms):
        return _stopped(KillReason.CPU, limits)
    if name is not None:
        return Classification(
            state=State.CRASHED, signal=name, message=f"The program died by {name}."
        )
    if collected is not None:
        return _tested(status, collected)
    state = State.SUCCEEDED if status == 0 else State.FAILED
    return Classification(state=state, exit_code=status)


def signal_name(status: int) -> str | None:
    """Return the name of the signal that a negative status means, or None."""
    if status >= 0:
        return None
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"SIGRTMIN+{-status - signal.SIGRTMIN}"


def _stopped(stop: KillReason, limits: Limits) -> Classification:
    state, message = {
        KillReason.WALL: (State.TIMED_OUT, f"Stopped after {limits.wall_ms} ms."),
        KillReason.CPU: (State.TIMED_OUT, f"Stopped after {limits.cpu_ms} ms of CPU time."),
        KillReason.MEMORY: (
            State.OUT_OF_MEMORY,
            f"Stopped for needing more than {limits.memory_bytes} bytes of memory.",
        ),
        KillReason.OUTPUT: (
            State.OUTPUT_LIMIT,
            f"Stopped for writing more than {limits.output_bytes} bytes to one stream.",
        ),
        KillReason.CANCEL: (State.CANCELLED, "Cancelled."),
    }[stop]
    return Classification(state=state, message=message, signal="SIGKILL")


def _tested(status: int, collected: Collector) -> Classification:
    """Compare exit status and report: a submission that forges one has to forge the other, too."""
    message = _disagreement(status, collected)
    if message is None and status == 0:
        return Classification(state=State.SUCCEEDED, exit_code=0)
    return Classification(state=State.FAILED, exit_code=status, message=message)


def _disagreement(status: int, collected: Collector) -> str | None:
    if collected.problem is not None:
        return f"The report of the test run is malformed: {collected.problem}."
    if collected.result is None:
        return f"The test run ended with status {status} before its report was complete."
    if collected.result.exit_code != status:
        reported = collected.result.exit_code
        return f"The report says status {reported}, but the test run ended with {status}."
    good = _nothing_failed(collected)
    if not collected.cases and not collected.result.errors:
        return "No tests were found."
    if status == 0 and not good:
        return "The test run ended with status 0, but its report has failures."
    if status != 0 and good:
        return f"The test run ended with status {status}, but its report has no failures."
    return None


def _nothing_failed(collected: Collector) -> bool:
    report = collected.report()
    return report.failed == 0 and not report.errors
