"""The measurements of a run, published to the part of the executor that admits others."""

from typing import Protocol


class Meter(Protocol):
    """Receives measurements in the thread of the run. The methods must be quick."""

    def begun(self, now: float) -> None:
        """Note the delivery of the job; `now` is in seconds of the monotonic clock."""

    def measured(self, cpu_ms: float, now: float) -> None:
        """Note the CPU time used since the delivery."""

    def waits(self) -> None:
        """Note after a measurement that no thread of the program wants a processor now."""
