"""The lock of a pip template: made anew, or changed as little as is asked for.

pip itself resolves; what it would install is written down with the hashes of the wheels of every
platform that has all of them. What is built from its source distribution stands in as a wheel of
metadata alone while pip resolves.
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

Sources = Mapping[str, Source]  # by plain name


def relock(job: Job) -> None:
    """Resolve requirements.in for this machine; lock the wheels of all machines, without hosts."""
    prepare(job)
    sources = pip_sources.gather(job, Lock())
    _write(job, _resolved(job, sources, {}), sources)


def align(job: Job) -> None:
    """Change as little of the lock as requirements.in asks for."""
    prepare(job)
    _move(job, requirements.unmet(_text(job.tree / MANIFEST), locked(job)))


def update(job: Job, packages: Sequence[str]) -> None:
    """Move packages within their ranges, or to exact versions, which requirements.in then names."""
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
    """Resolve with the rest of the lock held; with less of it held where that is impossible."""
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
        job.log("build", f"That moves others, too: only what {MANIFEST} names is held.")
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
    """Ask pip what it would install for requirements.in, with these versions held."""
    versions = {name: held[name] for name in held if name not in sources}
    text = pip_report.lines(versions) + pip_sources.stand_ins(job, sources)
    (job.workspace / HELD).write_text(text, encoding="utf-8")
    argv = ("-r", f"/build/tree/{MANIFEST}", "-c", f"/build/{HELD}")
    return pip_report.report(job, argv, wall_ms=wall_ms)


def _resolved(job: Job, sources: Sources, held: Mapping[str, str]) -> Found:
    """Resolve; of a failure say what to write where that would help."""
    try:
        return resolve(job, sources, held)
    except BuildError as error:
        raise pip_sources.explained(job, error) from error


def read(job: Job) -> Lock:
    """Return the lock; an empty one when there is none."""
    return pip_lockfile.read(_text(job.tree / LOCKS[0]))


def locked(job: Job) -> dict[str, str]:
    """Return the versions that the lock names; empty without one."""
    return {name: pin.version for name, pin in read(job).packages.items()}


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def prepare(job: Job) -> None:
    """Check that there is something to resolve, and bring the Python that does it."""
    if not (job.tree / MANIFEST).is_file():
        message = f"The definition has no {MANIFEST} among its files."
        raise BuildError(message, step="fetching")
    pip_cage.prepare(job)
