"""The lock of a pip template: made anew, or changed as little as is asked for.

pip itself resolves; what it would install is written down with the hashes of the wheels of every
platform that has all of them.
"""

import json
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from templatemgr.builders import Job, pip_cage, requirements
from templatemgr.errors import BuildError

MANIFEST = "requirements.in"
LOCKS = ("requirements.lock",)
REPORT, PINS, HELD = "report.json", "pins.txt", "held.txt"
# A lock holds the wheels of these, besides those of the machine that makes it.
PYTHONS = ("3.12", "3.13")
MACHINES = ("x86_64", "aarch64")
GLIBCS = ("2_17", "2_24", "2_26", "2_27", "2_28")
CONFLICT = re.compile(r"ResolutionImpossible|conflicting|No matching distribution")

Found = Mapping[str, tuple[str, str]]  # name → (version, SHA-256)


def relock(job: Job) -> None:
    """Resolve requirements.in for this machine; lock the wheels of all machines, without hosts."""
    prepare(job)
    _write(job, resolve(job))


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
    before = locked(job)
    direct = {
        requirements.plain(item.name) for item in requirements.wanted(_text(job.tree / MANIFEST))
    }
    kept = {name: version for name, version in before.items() if name not in free}
    try:
        found = resolve(job, kept)
    except BuildError as error:
        if CONFLICT.search(error.message) is None:
            raise
        job.log("build", f"That moves others, too: only what {MANIFEST} names is held.")
        found = resolve(job, {name: kept[name] for name in kept.keys() & direct})
    _write(job, found)


def _write(job: Job, found: Found) -> None:
    versions = {name: version for name, (version, _) in found.items()}
    hashes = {name: {digest} for name, (_, digest) in found.items()}
    (job.bench / PINS).write_text(_pins(versions), encoding="utf-8")
    for target in _targets():
        for name, (_, digest) in _elsewhere(job, target).items():
            hashes[name].add(digest)
    (job.tree / LOCKS[0]).write_text(requirements.lock(versions, hashes), encoding="utf-8")


def resolve(
    job: Job, held: Mapping[str, str] | None = None, *, wall_ms: int = pip_cage.WALL_MS
) -> Found:
    """Ask pip what it would install for requirements.in, with these versions held."""
    (job.bench / HELD).write_text(_pins(held or {}), encoding="utf-8")
    return report(job, ("-r", f"/build/tree/{MANIFEST}", "-c", f"/build/{HELD}"), wall_ms=wall_ms)


def _pins(versions: Mapping[str, str]) -> str:
    return "".join(f"{name}=={version}\n" for name, version in sorted(versions.items()))


def locked(job: Job) -> dict[str, str]:
    """Return the versions that the lock names; empty without one."""
    return requirements.pins(_text(job.tree / LOCKS[0]))


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def prepare(job: Job) -> None:
    """Check that there is something to resolve, and bring the Python that does it."""
    if not (job.tree / MANIFEST).is_file():
        message = f"The definition has no {MANIFEST} among its files."
        raise BuildError(message, step="fetching")
    pip_cage.prepare(job)


def _targets() -> list[tuple[str, str]]:
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    return [(python, machine) for python in sorted({*PYTHONS, running}) for machine in MACHINES]


def _elsewhere(job: Job, target: tuple[str, str]) -> Found:
    """Return the same versions as wheels for another Python and machine; none if one has none."""
    python, machine = target
    platforms = [f"manylinux_{glibc}_{machine}" for glibc in GLIBCS]
    options = ["--no-deps", "--implementation", "cp", "--python-version", python]
    options += [item for name in platforms for item in ("--platform", name)]
    try:
        return report(job, (*options, "--target", "/tmp/none", "-r", f"/build/{PINS}"))  # noqa: S108 - inside the cage
    except BuildError:
        job.log("build", f"Not locked for Python {python} on {machine}: not all have wheels.")
        return {}


def report(job: Job, argv: tuple[str, ...], *, wall_ms: int = pip_cage.WALL_MS) -> Found:
    """Ask pip what it would install: name → (version, hash)."""
    written = job.bench / REPORT
    quiet = (
        "--dry-run",
        "--ignore-installed",
        "--report",
        f"/build/{REPORT}",
        *pip_cage.WHEELS_ONLY,
    )
    pip_cage.online(job, ("install", *quiet, *argv), wall_ms=wall_ms)
    items = json.loads(written.read_bytes())["install"]
    written.unlink()
    return {requirements.plain(item["metadata"]["name"]): _pinned(item) for item in items}


def _pinned(item: Mapping[str, Any]) -> tuple[str, str]:
    digest = item["download_info"].get("archive_info", {}).get("hashes", {}).get("sha256")
    if digest is None:
        message = f"The index gives no SHA-256 for {item['metadata']['name']}."
        raise BuildError(message, step="fetching")
    return item["metadata"]["version"], digest
