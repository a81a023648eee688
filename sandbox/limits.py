"""Resource limits of one submission. Frozen; durations in milliseconds, sizes in bytes."""

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of one submission. Wall and CPU time count from the delivery of the job.

    `output_bytes` is for each stream; `disk_bytes` sizes /workspace and /tmp, each for itself
    (their pages count as memory, too); `file_bytes` bounds a single file.
    """

    wall_ms: int = 10_000
    cpu_ms: int = 10_000
    memory_bytes: int = 512 * MIB
    disk_bytes: int = 64 * MIB
    output_bytes: int = 1 * MIB
    processes: int = 64
    file_bytes: int = 64 * MIB
    open_files: int = 1024
    startup_ms: int = 20_000
