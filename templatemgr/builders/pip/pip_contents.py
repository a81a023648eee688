"""pip's wheels by their hashes, and where they came from."""

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
    """Return the files that the lock names: wheels for every machine, and archives."""
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
    """Put the wheels that were kept beside those to come; return whose they are, by plain name.

    They have the lock's hashes. One for another machine stays where it is.
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
    """Return the wheels that pip downloaded; note in `job.origins` where from."""
    names = {content.digest for content in wanted}
    files = sorted((job.workspace / "wheels").glob("*.whl"))
    addresses = _addresses(job.workspace / online_pip.ORIGINS)
    for file in (*files, *sorted((job.workspace / "sources").glob("*.tar.gz"))):
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        if digest not in names:
            continue
        if (job.workspace / KEPT / file.name).exists():
            continue  # then it was kept with what is known of it
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
    """Read what online_pip.py noted: a file's name and the host that sent it, a line each."""
    found: dict[str, str] = {}
    if file.is_file():
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                name, host = json.loads(line)
            except (ValueError, TypeError):
                continue
            found[str(name)] = str(host)[:300]
    return found
