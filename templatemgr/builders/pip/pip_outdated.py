"""Find newer versions of the locked packages: within their ranges, and without ranges.

pip itself resolves, as for a lock. It reads only the metadata of a wheel if the index offers them.
It installs nothing.
"""

from templatemgr import package_diff
from templatemgr.builders.base import Candidate, Job
from templatemgr.builders.pip import pip_lock, pip_report, pip_sources, requirements
from templatemgr.builders.pip.pip_lockfile import Lock, Pin
from templatemgr.builders.pip.pip_sources import Source
from templatemgr.errors import BuildError

# Limits of each of two requests about wheels, and of the request about source distributions.
# Together they end before the lease of a lookup.
WALL_MS, SOURCES_MS = 50_000, 15_000
NAMES = "names.txt"


def outdated(job: Job) -> list[Candidate]:
    """Return every package of the lock with its newer versions, sorted by name.

    Run with network, but run no code of the packages. Raises BuildError, BuildCancelledError.
    """
    lock = pip_lock.read(job)
    locked = {name: pin.version for name, pin in lock.packages.items()}
    if not locked:
        message = f"{pip_lock.LOCKS[0]} names no package."
        raise BuildError(message, step="fetching", remedy="Refresh it first.")
    pip_lock.prepare(job)
    requested = requirements.wanted((job.tree / pip_lock.MANIFEST).read_text(encoding="utf-8"))
    direct = {requirements.plain(item.name) for item in requested}
    wanted = pip_lock.resolve(job, _sources(job, lock), {}, wall_ms=WALL_MS)
    wheels = sorted(locked.keys() - lock.recipes.keys())
    (job.workspace / NAMES).write_text("".join(f"{name}\n" for name in wheels), encoding="utf-8")
    argv = ("--no-deps", "-r", f"/build/{NAMES}")
    found = pip_report.report(job, argv, wall_ms=WALL_MS)
    latest = {name: wheel.version for name, wheel in found.items()}
    latest |= pip_sources.newest(job, lock.recipes, wall_ms=SOURCES_MS)
    return [
        Candidate(
            name=name,
            installed=version,
            wanted=_newer(version, wanted[name].version if name in wanted else None),
            latest=_newer(version, latest.get(name)),
            direct=name in direct,
        )
        for name, version in sorted(locked.items())
    ]


def _sources(job: Job, lock: Lock) -> dict[str, Source]:
    """Return the packages that are built, with the lock's recipes, so that none must be built."""
    versions = pip_sources.named(job)
    return {
        name: Source(
            pin=Pin(version=versions.get(name, lock.packages[name].version)), recipe=recipe
        )
        for name, recipe in lock.recipes.items()
    }


def _newer(installed: str, found: str | None) -> str:
    """Return the higher version. The installed one is higher if the lock has a pre-release."""
    return installed if found is None else max(installed, found, key=package_diff.order)
