"""Take a snapshot of the host; an attack must not change it."""

import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sandbox.cgroup import leases
from sandbox.cgroup.process_tree import tree_of
from sandbox.isolation.profile import INSIDE_ID
from tests.attacks.testbed import MARK, Arena

Snapshot = dict[str, object]

DAEMON = "stencil-daemon"
_SMALL = 64 * 1024
_SETTLE_SECONDS = 3.0  # seconds: killed processes may need a moment to disappear
_LISTENING = "0A"


def snapshot(arena: Arena) -> Snapshot:
    """Return the state of the host that no attack may change, by name."""
    return {
        "canaries": _files(arena.canaries),
        "the sealed tree": _files(arena.tree),
        "disk": _disk(arena.root),
        "listening sockets": _listening(),
        "processes": own_processes(),
        "fork servers": [held(server._process.pid) for server in arena.servers.values()],
        "control groups": _groups(),
        "descriptors": _descriptors(),
        "mounts": Path("/proc/self/mountinfo").read_text(),
        "host name": os.uname().nodename,
        "/etc": [_file(Path("/etc") / name) for name in ("passwd", "hosts")],
        "clock": round((time.time() - time.monotonic()) / 10),
    }


def changes(
    before: Snapshot, arena: Arena, *, settle_seconds: float = _SETTLE_SECONDS
) -> dict[str, tuple[object, object]]:
    """Return all differences from `before`, after the host had time to settle."""
    deadline = time.monotonic() + settle_seconds
    while True:
        now = snapshot(arena)
        found = {key: (before[key], now[key]) for key in before if not _same(key, before, now)}
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.02)


def _same(key: str, before: Snapshot, now: Snapshot) -> bool:
    if key != "clock":
        return before[key] == now[key]
    first, second = before[key], now[key]
    assert isinstance(first, int)
    assert isinstance(second, int)
    return abs(first - second) <= 1


def _files(root: Path) -> list[object]:
    return [_file(path) for path in sorted((root, *root.rglob("*")))]


def _file(path: Path) -> tuple[object, ...]:
    """Return the properties of a file, except its access time and its number of links."""
    info = path.lstat()
    content = ""
    if stat.S_ISREG(info.st_mode) and info.st_size < _SMALL:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
    if stat.S_ISLNK(info.st_mode):
        content = str(path.readlink())
    owner = (info.st_uid, info.st_gid)
    return (str(path), info.st_mode, owner, info.st_size, info.st_mtime_ns, content)


def _disk(root: Path) -> tuple[int, int]:
    sizes = [path.lstat().st_blocks for path in root.rglob("*")]
    return len(sizes), sum(sizes)


def _listening() -> list[str]:
    """Return the listening sockets of the uid inside, and those with the name of an attack."""
    found = []
    for table in ("tcp", "tcp6"):
        found += [
            f"{table} {fields[1]}"
            for fields in _rows(table)
            if fields[3] == _LISTENING and fields[7] == str(INSIDE_ID)
        ]
    found += [fields[-1] for fields in _rows("unix") if "stencil-attack-inside" in fields[-1]]
    return sorted(found)


def _rows(table: str) -> Iterator[list[str]]:
    with suppress(FileNotFoundError):  # no IPv6
        for line in Path("/proc/self/net", table).read_text().splitlines()[1:]:
            yield line.split()


def own_processes() -> list[int]:
    """Return our descendants, and processes with our mark that have another parent now."""
    own = os.getpid()
    found = {member.pid for member in tree_of(own)} - {own}
    mark = f"{MARK}={own}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):
            if mark in (entry / "environ").read_bytes():
                found.add(int(entry.name))
    return sorted(found)


def held(pid: int) -> tuple[object, ...]:
    """Return what a fork server holds: its descriptors, threads and memory maps."""
    place = Path(f"/proc/{pid}")
    descriptors = [(entry.name, str(entry.readlink())) for entry in (place / "fd").iterdir()]
    threads = [entry.name for entry in (place / "task").iterdir()]
    maps = [line.split()[:2] for line in (place / "maps").read_text().splitlines()]
    return pid, sorted(descriptors), threads, maps


def _groups() -> list[tuple[str, bool]]:
    """Return our groups and everything below them, each with whether it holds a process."""
    found = []
    for _, place in leases.current_hierarchy().places:
        for folder in place.glob(f"{leases.NAME_PREFIX}*-{os.getpid()}-*"):
            for inner in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
                found.append((str(inner), bool((inner / "cgroup.procs").read_text())))  # noqa: PERF401
    return sorted(found)


def _descriptors() -> list[str]:
    """Return the targets of our own descriptors, without the database's and this listing's."""
    found = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names only
        with suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115 - not always a path
            if not target.startswith("/proc/") and ".sqlite3" not in target:
                found.append(target)
    return sorted(found)
