"""Ends of programs in the words of isolate, the sandbox of Piston and of Judge0."""

import signal

from execapp.models import Execution, ExecutionState

State = ExecutionState


def status(execution: Execution) -> tuple[str | None, str | None]:
    """Return the status (None, RE, SG, TO, XX; OL and EL of Piston) and the message of an end."""
    match execution.state:
        case State.SUCCEEDED:
            return None, None
        case State.FAILED:
            return "RE", f"Exited with error status {execution.exit_code}"
        case State.TIMED_OUT if "CPU time" in execution.message:
            return "TO", "Time limit exceeded"
        case State.TIMED_OUT:
            return "TO", "Time limit exceeded (wall clock)"
        case State.OUTPUT_LIMIT if execution.stderr_truncated and not execution.stdout_truncated:
            return "EL", "stderr length exceeded"
        case State.OUTPUT_LIMIT:
            return "OL", "stdout length exceeded"
        case State.CRASHED | State.OUT_OF_MEMORY | State.CANCELLED:
            return "SG", f"Caught fatal signal {signal_number(execution.signal)}"
        case _:
            return "XX", execution.message


def signal_number(name: str) -> int:
    """Return the number of a signal; that of SIGKILL for an unknown name."""
    if name.startswith("SIGRTMIN+"):
        return signal.SIGRTMIN + int(name.removeprefix("SIGRTMIN+"))
    try:
        return int(signal.Signals[name])
    except KeyError:
        return int(signal.SIGKILL)
