"""The operator's rules for definitions, read from the settings at each call."""

from django.conf import settings

from sandbox.limits import Limits
from templatemgr.definitions.readers.rules import Ceilings, Rules


def current() -> Rules:
    """Return the rules in force."""
    return Rules(
        kinds=frozenset(settings.STENCIL_PACKAGE_SOURCES),
        registries=tuple(settings.STENCIL_LOCK_REGISTRIES),
        ceilings=ceilings(),
    )


def ceilings() -> Ceilings:
    """Return the highest limits of a submission on this machine."""
    return Ceilings(
        wall_ms=settings.STENCIL_CEILING_WALL_MS,
        cpu_ms=settings.STENCIL_CEILING_CPU_MS,
        memory_bytes=settings.STENCIL_CEILING_MEMORY_BYTES,
        disk_bytes=settings.STENCIL_CEILING_DISK_BYTES,
        output_bytes=settings.STENCIL_CEILING_OUTPUT_BYTES,
        processes=settings.STENCIL_CEILING_PROCESSES,
    )


def lowered(limits: Limits, bounds: Ceilings | Limits) -> Limits:
    """Return limits, none of them over the bounds."""
    kept = {name: min(getattr(limits, name), getattr(bounds, name)) for name in Ceilings().values()}
    return Limits(
        **kept,
        file_bytes=limits.file_bytes,
        open_files=limits.open_files,
        startup_ms=limits.startup_ms,
    )
