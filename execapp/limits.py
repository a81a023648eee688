"""The limits that a client can set, as JSON."""

from sandbox.limits import Limits

LIMIT_NAMES = (
    "wall_ms",
    "cpu_ms",
    "memory_bytes",
    "disk_bytes",
    "output_bytes",
    "processes",
)


def limits_to_json(limits: Limits) -> dict[str, int]:
    """Return the limits of `LIMIT_NAMES` by name."""
    return {name: getattr(limits, name) for name in LIMIT_NAMES}
