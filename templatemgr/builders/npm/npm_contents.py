"""Find npm's tarballs in its cache by their hashes, and record their origins."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from templatemgr import downloads, lockfile
from templatemgr.builders import registries
from templatemgr.builders.base import Job
from templatemgr.downloads import Content
from templatemgr.lockfile import LockfileError

CACHE = "downloads/_cacache"
LOCK = "package-lock.json"


def contents(job: Job) -> list[Content]:
    """Return the tarballs of the lock."""
    found = {digest: _content(*digest) for _, _, digest in _locked(job)}
    return list(found.values())


def fetched(job: Job, wanted: Sequence[Content]) -> list[Path]:
    """Return the paths of `wanted` in npm's cache, and note their origins in `job.origins`."""
    addresses = _addresses(job.workspace / CACHE / "index-v5")
    for content in wanted:
        place = addresses.get((content.algorithm, content.digest))
        if place is not None:
            job.origins[content.digest] = place
    return [job.workspace / content.folder / str(content.name) for content in wanted]


def came_from(job: Job) -> Mapping[str, str]:
    """Return the host:port of each package of the lock, by "name version"."""
    return {
        f"{name} {version}": job.origins[digest]
        for name, version, (_, digest) in _locked(job)
        if job.origins.get(digest)
    }


def with_addresses(job: Job, registry_of: Callable[[str], str]) -> bytes:
    """Return the lock with the default address of each tarball that is already in the cache.

    npm needs an address to read a tarball from its cache, and Stencil's locks contain none. npm
    does not contact this address, because the cache has the bytes with their hash. Other tarballs
    get their address from the registry.
    """
    text = (job.tree / LOCK).read_bytes()
    try:
        lock = json.loads(text)
        places = lockfile.entries(text)
    except (LockfileError, ValueError):
        return text
    for path, entry in places.items():
        name = str(entry.get("name") or path.rpartition(lockfile.FOLDER)[2])
        digest = downloads.from_integrity(str(entry.get("integrity", "")))
        if digest is None or not path or "resolved" in entry or entry.get("link"):
            continue
        content = _content(*digest)
        if (job.workspace / content.folder / str(content.name)).is_file():
            file = f"{name.rpartition('/')[2]}-{entry.get('version')}.tgz"
            address = f"{registry_of(name).rstrip('/')}/{name}/-/{file}"
            lock["packages"][path]["resolved"] = address
    return json.dumps(lock).encode()


def _content(algorithm: str, digest: str) -> Content:
    folder = f"{CACHE}/content-v2/{algorithm}/{digest[:2]}/{digest[2:4]}"
    return Content(algorithm=algorithm, digest=digest, folder=folder, name=digest[4:])


def _locked(job: Job) -> Iterator[tuple[str, str, tuple[str, str]]]:
    """Yield name, version and digest of each package that the lock names with a hash."""
    try:
        places = lockfile.entries((job.tree / LOCK).read_bytes())
    except (OSError, LockfileError):
        return
    for path, entry in places.items():
        for word in str(entry.get("integrity", "")).split()[:8]:
            digest = downloads.from_integrity(word)
            if digest is not None:
                name = str(entry.get("name") or path.rpartition(lockfile.FOLDER)[2])
                yield name, str(entry.get("version", "")), digest


def _addresses(index: Path) -> dict[tuple[str, str], str]:
    """Read the index of the cache: the host of each content. Skip invalid lines."""
    found: dict[tuple[str, str], str] = {}
    for file in sorted(index.glob("*/*/*")):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            entry = _entry(line.partition("\t")[2])
            digest = downloads.from_integrity(str(entry.get("integrity", "")))
            _, _, address = str(entry.get("key", "")).partition("request-cache:")
            endpoint = registries.endpoint(address)
            if digest is not None and endpoint is not None:
                found[digest] = registries.shown(endpoint)
    return found


def _entry(text: str) -> dict[str, Any]:
    try:
        entry = json.loads(text or "{}")
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}
