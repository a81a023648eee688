"""Rules that the operator sets for definitions: kinds of sources, registries, ceilings."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

GIB = 1024**3
MIB = 1024**2
# Sources of packages other than the registry. By default none of them is allowed.
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
        """Return the ceilings by the name of the limit."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The rules for the content of a definition.

    `kinds` is a subset of KINDS. `registries` holds the URL prefixes that a lock may use for a
    package ("https://npm.example.org/"); if it is empty, a lock may hold no registry URL.
    `stale_lock` means that the build writes the lock again from the manifest before it is used, so
    that the lock may still hold aliases that the manifest does not ask for.
    """

    kinds: frozenset[str] = frozenset()
    registries: tuple[str, ...] = ()
    ceilings: Ceilings = field(default_factory=Ceilings)
    stale_lock: bool = False


def setting(limit: str) -> str:
    """Return the name of the setting for the ceiling of a limit, such as STENCIL_CEILING_CPU_MS."""
    return f"STENCIL_CEILING_{limit.upper()}"
