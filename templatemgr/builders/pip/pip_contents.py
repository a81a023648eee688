"""List the files of a pip lock by their hashes, reuse kept wheels, and note origins."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging import tags
from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import InvalidVersion

from templatemgr.builders.base import Job
from templatemgr.builders.pip import online_pip, pip_lockfile
from templatemgr.downloads import Content, is_digest

LOCK = "requirements.lock"
KEPT, LOCAL = "kept", "a folder of this machine"


def contents(job: Job) -> list[Content]:
    """Return the files that the lock names, sorted by SHA-256.

    They are wheels for all machines, wheels that builds require, and source distributions.
    """
    file = job.tree / LOCK
    lock = pip_lockfile.read(file.read_text(encoding="utf-8") if file.is_file() else "")
    pins = [*lock.packages.values()]
    pins += [pin for recipe in lock.recipes.values() for pin in recipe.build.values()]
    digests = sorted({digest for pin in pins for digest in pin.hashes})
    return [
        Content(algorithm="sha256", digest=digest, folder=KEPT)
        for digest in digests
        if is_digest("sha256", digest)
    ]


def reuse(job: Job) -> set[str]:
    """Copy the kept wheels into the folder of wheels; return their packages' normalised names.

    Copy only wheels that have a hash and the version of the lock and that fit this machine, one for
    each package.
    """
    usable = set(tags.sys_tags())
    packages = pip_lockfile.read((job.tree / LOCK).read_text(encoding="utf-8")).packages
    found: set[str] = set()
    for file in sorted((job.workspace / KEPT).glob("*.whl")):
        try:
            name, version, _, fits = parse_wheel_filename(file.name)
        except (InvalidWheelFilename, InvalidVersion):
            continue
        pin = packages.get(str(name))
        if name in found or pin is None or not usable & fits or pin.version != str(version):
            continue
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        if digest in pin.hashes:
            (job.workspace / "wheels").mkdir(exist_ok=True)
            shutil.copy(file, job.workspace / "wheels" / file.name)
            found.add(str(name))
    return found


def fetched(job: Job, wanted: Sequence[Content]) -> list[Path]:
    """Return the files of the folder of wheels.

    Note in `job.origins` the host:port of each downloaded wheel and source distribution that is in
    `wanted`, or LOCAL for a file of this machine.
    """
    names = {content.digest for content in wanted}
    files = sorted((job.workspace / "wheels").glob("*.whl"))
    addresses = _addresses(job.workspace / online_pip.ORIGINS)
    for file in (*files, *sorted((job.workspace / "sources").glob("*.tar.gz"))):
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        if digest not in names:
            continue
        if (job.workspace / KEPT / file.name).exists():
            continue  # its origin was stored with it
        job.origins[digest] = addresses.get(file.name, LOCAL)
    return files


def came_from(job: Job) -> Mapping[str, str]:
    """Return the host:port of each package of the lock, by "name version"."""
    lock = pip_lockfile.read((job.tree / LOCK).read_text(encoding="utf-8"))
    found = {}
    for name, pin in lock.packages.items():
        places = {job.origins[digest] for digest in pin.hashes if job.origins.get(digest)}
        if places:
            found[f"{name} {pin.version}"] = ", ".join(sorted(places))
    return found


def _addresses(file: Path) -> dict[str, str]:
    """Return the host:port by file name from the file of online_pip.py; skip invalid lines."""
    found: dict[str, str] = {}
    if file.is_file():
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                name, host = json.loads(line)
            except (ValueError, TypeError):
                continue
            found[str(name)] = str(host)[:300]
    return found
