"""What pip would install of a lock's packages: within their ranges, and without any.

pip itself resolves, as it does for a lock; of wheels it reads the metadata alone where the index
offers it, and nothing is installed.
"""

from templatemgr import difference
from templatemgr.builders import Job, pip_lock, requirements
from templatemgr.builders.candidates import Candidate
from templatemgr.errors import BuildError

WALL_MS = 50_000  # of each of two questions: both end before a lookup's lease does
NAMES = "names.txt"


def outdated(job: Job) -> list[Candidate]:
    """Return every package of the lock, sorted by name."""
    locked = pip_lock.locked(job)
    if not locked:
        message = f"{pip_lock.LOCKS[0]} names no package."
        raise BuildError(message, step="fetching", remedy="Refresh it first.")
    pip_lock.prepare(job)
    asked = requirements.wanted((job.tree / pip_lock.MANIFEST).read_text(encoding="utf-8"))
    direct = {requirements.plain(item.name) for item in asked}
    wanted = pip_lock.resolve(job, wall_ms=WALL_MS)
    (job.bench / NAMES).write_text("".join(f"{name}\n" for name in sorted(locked)))
    latest = pip_lock.report(job, ("--no-deps", "-r", f"/build/{NAMES}"), wall_ms=WALL_MS)
    return [
        Candidate(
            name=name,
            installed=version,
            wanted=_newer(version, wanted.get(name)),
            latest=_newer(version, latest.get(name)),
            direct=name in direct,
        )
        for name, version in sorted(locked.items())
    ]


def _newer(installed: str, found: tuple[str, str] | None) -> str:
    """The version that was found if it is higher: the lock can hold a pre-release."""
    return installed if found is None else max(installed, found[0], key=difference.order)
