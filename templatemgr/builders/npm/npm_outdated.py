"""Run `npm outdated` on a skeleton of the locked packages: seconds, not a minute of installing.

npm compares installed packages and reads only their package.json files. The lockfile contains the
necessary fields, so the files are written from it and no package is fetched.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sandbox import cage
from sandbox.errors import CageStoppedError
from templatemgr import lockfile, package_diff
from templatemgr.builders import steps
from templatemgr.builders.base import Candidate, Job
from templatemgr.builders.npm import npm_builder
from templatemgr.errors import BuildCancelledError, BuildError
from templatemgr.lockfile import LockfileError

WALL_MS = 60_000
STEP = "fetching"
# The fields by which npm resolves ranges. No field that names a program.
KEPT = ("version", "dependencies", "optionalDependencies", "peerDependencies",
        "peerDependenciesMeta")  # fmt: skip
OUTDATED = ("outdated", "--all", "--json", "--prefer-online")


def outdated(job: Job) -> list[Candidate]:
    """Return each package of the lock for this platform, sorted by name. Raise BuildError."""
    try:
        places = lockfile.entries((job.tree / npm_builder.LOCKS[0]).read_bytes())
    except (OSError, LockfileError) as error:
        message = f"The lock cannot be read: {error}"
        raise BuildError(message, step=STEP, remedy="Refresh it first.") from error
    here = {path: entry for path, entry in places.items() if path and _belongs(entry)}
    for path, entry in here.items():
        _plant(job, path, entry)
    locked = lockfile.packages(
        (job.tree / npm_builder.LOCKS[0]).read_bytes(), lambda path: path in here
    )
    newer = read(_query(job))
    found = {
        package.name: _candidate(package, newer.get((package.name, package.version)))
        for package in sorted(locked, key=lambda package: package_diff.order(package.version))
    }
    return [found[name] for name in sorted(found)]


def read(answer: str) -> dict[tuple[str, str], tuple[str, str]]:
    """Return (wanted, latest) by (name, installed) of npm's answer. Raise BuildError.

    npm lists a package once for each package that depends on it. The lowest `wanted` version is
    used, because all of them allow it.
    """
    try:
        listed = json.loads(answer or "{}")
        rows = [
            (name, row)
            for name, given in listed.items()
            for row in (given if isinstance(given, list) else [given])
            if isinstance(row, dict) and row.get("current")
        ]
    except (ValueError, AttributeError) as error:
        message = "The output of npm outdated is not JSON."
        raise BuildError(message, step=STEP) from error
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for name, row in rows:
        key = (str(name), str(row["current"]))
        wanted, latest = str(row.get("wanted") or key[1]), str(row.get("latest") or key[1])
        before = found.get(key)
        lowest = wanted if before is None else min(wanted, before[0], key=package_diff.order)
        found[key] = (lowest, latest)
    return found


def _candidate(package: lockfile.Package, newer: tuple[str, str] | None) -> Candidate:
    wanted, latest = newer or (package.version, package.version)
    return Candidate(
        name=package.name,
        installed=package.version,
        wanted=_newer(package.version, wanted),
        latest=_newer(package.version, latest),
        direct=package.direct,
    )


def _newer(installed: str, other: str) -> str:
    """Return the higher version: the tag "latest" can be below an installed pre-release."""
    return max(installed, other, key=package_diff.order)


def _belongs(entry: Mapping[str, Any]) -> bool:
    """Return whether npm installs the package on this platform."""
    return (
        not entry.get("link")
        and _listed(entry.get("os"), "linux")
        and _listed(entry.get("cpu"), npm_builder.architecture())
    )


def _listed(named: object, mine: str) -> bool:
    if not isinstance(named, list) or not named:
        return True
    if any(str(word).startswith("!") for word in named):
        return f"!{mine}" not in named
    return mine in named


def _plant(job: Job, path: str, entry: Mapping[str, Any]) -> None:
    place = job.tree / path
    if ".." in path.split("/") or not path.startswith(lockfile.FOLDER):
        message = f"The lock names a path outside of node_modules: {path[:100]}"
        raise BuildError(message, step=STEP)
    place.mkdir(parents=True, exist_ok=True)
    name = str(entry.get("name") or path.rpartition(lockfile.FOLDER)[2])
    kept = {key: entry[key] for key in KEPT if key in entry}
    (place / "package.json").write_text(json.dumps({"name": name, **kept}), encoding="utf-8")


def _query(job: Job) -> str:
    """Run npm. Exit status 1 means that newer versions exist, or an error."""
    said: dict[str, list[str]] = {"stdout": [], "stderr": []}
    jail, held = npm_builder.online(job, wall_ms=WALL_MS)
    argv = [*npm_builder.NPM, *OUTDATED, *npm_builder.FETCH_RETRY_OPTIONS, *held]
    try:
        with npm_builder.hidden(job):
            status = cage.run(
                jail, argv, lambda stream, text: said[stream].append(text), cancel=job.cancel
            )
    except CageStoppedError as error:
        if job.cancel.is_set():
            raise BuildCancelledError from None
        message = f"npm outdated was stopped: {error}."
        raise BuildError(message, step=STEP) from error
    answer = "\n".join(said["stdout"])
    if status not in (0, 1) or _refused(answer, said["stderr"]):
        lines = [line for line in said["stderr"] if line.startswith("npm error")]
        message = f"npm outdated ended with status {status}. " + "\n".join(lines[-6:])
        raise BuildError(
            message.strip(), step=STEP, remedy=steps.remedy(said["stderr"], npm_builder.REMEDIES)
        )
    return answer


def _refused(answer: str, errors: Iterable[str]) -> bool:
    """Return whether status 1 means an error: npm then writes an error table or no output."""
    if not answer.strip():
        return any(line.startswith("npm error") for line in errors)
    return answer.lstrip().startswith('{\n  "error"')
