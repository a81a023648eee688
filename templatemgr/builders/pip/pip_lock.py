"""Write the lock of a pip template: resolve it again, or change as little as possible.

pip itself resolves. The lock has the packages that pip would install, with the hashes of their
wheels for each platform that has a wheel of every package. While pip resolves, a wheel that has
only metadata stands in for each package that is built from its source distribution.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from templatemgr.builders.base import Job
from templatemgr.builders.pip import pip_cage, pip_lockfile, pip_report, pip_sources, requirements
from templatemgr.builders.pip.pip_lockfile import Lock
from templatemgr.builders.pip.pip_report import Found
from templatemgr.builders.pip.pip_sources import Source
from templatemgr.errors import BuildError

MANIFEST = pip_sources.MANIFEST
LOCKS = ("requirements.lock",)
HELD = "held.txt"
CONFLICT = re.compile(r"ResolutionImpossible|conflicting|No matching distribution")

Sources = Mapping[str, Source]  # by normalised name


def relock(job: Job) -> None:
    """Resolve requirements.in for this machine, and lock the wheels of all machines.

    The lock names no host. Raises BuildError.
    """
    prepare(job)
    sources = pip_sources.gather(job, Lock())
    _write(job, _resolved(job, sources, {}), sources)


def align(job: Job) -> None:
    """Make the lock satisfy requirements.in with few changes. Raises BuildError."""
    prepare(job)
    _move(job, requirements.unmet(_text(job.tree / MANIFEST), locked(job)))


def update(job: Job, packages: Sequence[str]) -> None:
    """Move packages ("name") within their ranges, or ("name@1.2.3") to an exact version.

    Write an exact version into requirements.in as well. Without packages, resolve all again.
    Raises BuildError, also for a package that is not in the lock.
    """
    if not packages:
        relock(job)
        return
    chosen = {name: version for name, _, version in (item.partition("@") for item in packages)}
    unknown = sorted(name for name in chosen if requirements.plain(name) not in locked(job))
    if unknown:
        message = f"Not in {LOCKS[0]}: {', '.join(unknown)}."
        raise BuildError(message, step="fetching", remedy=f"Add it to {MANIFEST} by an edit.")
    prepare(job)
    text = _text(job.tree / MANIFEST)
    for name, version in chosen.items():
        text = requirements.hold(text, name, version) if version else text
    (job.tree / MANIFEST).write_text(text, encoding="utf-8")
    _move(job, {requirements.plain(name) for name in chosen})


def _move(job: Job, free: Collection[str]) -> None:
    """Resolve with all packages held but the `free` ones (normalised names); write the lock.

    If pip finds a conflict, hold only the packages that requirements.in names.
    """
    sources = pip_sources.gather(job, read(job))
    direct = {
        requirements.plain(item.name) for item in requirements.wanted(_text(job.tree / MANIFEST))
    }
    kept = {name: version for name, version in locked(job).items() if name not in free}
    try:
        found = resolve(job, sources, kept)
    except BuildError as error:
        if CONFLICT.search(error.message) is None:
            raise
        job.log("build", f"Other packages must change, too: only those in {MANIFEST} are held.")
        found = _resolved(job, sources, {name: kept[name] for name in kept.keys() & direct})
    _write(job, found, sources)


def _write(job: Job, found: Found, sources: Sources) -> None:
    wheels = {name: wheel for name, wheel in found.items() if name not in sources}
    lock = Lock(
        packages=pip_report.pins(job, wheels) | {name: s.pin for name, s in sources.items()},
        recipes={name: source.recipe for name, source in sources.items()},
    )
    (job.tree / LOCKS[0]).write_text(pip_lockfile.write(lock), encoding="utf-8")


def resolve(
    job: Job,
    sources: Sources,
    held: Mapping[str, str],
    *,
    wall_ms: int = pip_cage.WALL_MS,
) -> Found:
    """Return the wheels that pip would install for requirements.in, with the held versions.

    `held` has versions by normalised name; those of `sources` come from there. `wall_ms` limits
    the run, in milliseconds. Raises BuildError.
    """
    versions = {name: held[name] for name in held if name not in sources}
    text = pip_report.lines(versions) + pip_sources.stand_ins(job, sources)
    (job.workspace / HELD).write_text(text, encoding="utf-8")
    argv = ("-r", f"/build/tree/{MANIFEST}", "-c", f"/build/{HELD}")
    return pip_report.report(job, argv, wall_ms=wall_ms)


def _resolved(job: Job, sources: Sources, held: Mapping[str, str]) -> Found:
    """Resolve; give an error of pip a remedy with the lines to write, if there are such lines."""
    try:
        return resolve(job, sources, held)
    except BuildError as error:
        raise pip_sources.explained(job, error) from error


def read(job: Job) -> Lock:
    """Return the lock of the tree; an empty lock if there is no file."""
    return pip_lockfile.read(_text(job.tree / LOCKS[0]))


def locked(job: Job) -> dict[str, str]:
    """Return the locked versions by normalised name; empty if there is no lock."""
    return {name: pin.version for name, pin in read(job).packages.items()}


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def prepare(job: Job) -> None:
    """Copy the interpreter into the tree. Raises BuildError if there is no requirements.in."""
    if not (job.tree / MANIFEST).is_file():
        message = f"The definition has no {MANIFEST} among its files."
        raise BuildError(message, step="fetching")
    pip_cage.prepare(job)
