"""What the operator of a machine allows definitions: kinds of sources, registries, ceilings."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

GIB = 1024**3
MIB = 1024**2
# Where a package may come from besides the registry. None of them is needed by default.
KINDS = ("file", "git", "http", "link", "shrinkwrap", "workspace")


@dataclass(frozen=True, kw_only=True)
class Ceilings:
    """The highest limits that a definition may give its submissions on this machine."""

    wall_ms: int = 10 * 60 * 1000
    cpu_ms: int = 10 * 60 * 1000
    memory_bytes: int = 4 * GIB
    disk_bytes: int = GIB
    output_bytes: int = 16 * MIB
    processes: int = 1024

    def values(self) -> Mapping[str, int]:
        """Return them by the name of the limit."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What may stand in a definition.

    `kinds` are of KINDS. `registries` are the beginnings of the addresses that a lock may name for
    a package ("https://npm.example.org/"); none: a lock names no address at all. `stale_lock`: it
    is written anew from the manifest before it is used, and may hold aliases that nobody asks for.
    """

    kinds: frozenset[str] = frozenset()
    registries: tuple[str, ...] = ()
    ceilings: Ceilings = field(default_factory=Ceilings)
    stale_lock: bool = False


def setting(limit: str) -> str:
    """Return the name of the setting that holds the ceiling of a limit."""
    return f"STENCIL_CEILING_{limit.upper()}"
