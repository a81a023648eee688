"""Hash many files: on threads here, or in a process of its own that yields to others.

The process runs this file, which therefore imports nothing of Stencil. So verification in an
executor takes neither the interpreter lock nor the disk from executions. The process runs at the
lowest priority for processor and disk, and pauses nine tenths of the time while others are busy.
"""

import ctypes
import hashlib
import os
import platform
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

Hasher = Callable[[Path, Sequence[str]], dict[str, str]]  # root, paths → hex SHA-256, or UNREADABLE

UNREADABLE = "-"
PERIOD, SHARE = 0.1, 0.1  # of each period in seconds, while others are busy
# A disk that answers no more: no bytes for so long, of the time in which the process may run. A
# slow disk that moves is waited for, however long it takes.
STALL_SECONDS = 120.0
KILL_SECONDS = 5.0  # a process that waits for a dead disk does not even end when it is killed
_MOVING, _CHUNK = "+", 1 << 18  # a line that says: bytes were hashed; and how many at least
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30}
_IDLE_CLASS = 3 << 13
_PR_SET_PDEATHSIG = 1


class HashingError(Exception):
    """The hashing process ended before its work did, or hashed nothing for too long."""


class StoppedError(HashingError):
    """The hashing process was stopped on request."""


def hash_file(path: Path, on_chunk: Callable[[], None] = lambda: None) -> str:
    """Return the hex SHA-256 of a file; never follows a link. Call `on_chunk` after each part."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    total, buffer = hashlib.sha256(), memoryview(bytearray(_CHUNK))
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        while size := file.readinto(buffer):
            total.update(buffer[:size])
            on_chunk()
    return total.hexdigest()


def hash_all(root: Path, paths: Iterable[str]) -> dict[str, str]:
    """Return path → hex SHA-256, on threads: hashlib releases the interpreter lock."""
    listed = list(paths)
    with ThreadPoolExecutor(max_workers=_cores()) as pool:
        return dict(zip(listed, pool.map(lambda path: hash_file(root / path), listed), strict=True))


def look_at_all(root: Path, paths: Sequence[str]) -> dict[str, str]:
    """Return path → hex SHA-256, or UNREADABLE for a file that cannot be read."""
    return dict(zip(paths, _digests(root, paths), strict=True))


def hash_apart(
    root: Path,
    paths: Sequence[str],
    *,
    busy: Callable[[], bool],
    stop: Callable[[], bool],
    on_file: Callable[[str], None],
    on_bytes: Callable[[], None] = lambda: None,
) -> dict[str, str]:
    """Do what `look_at_all` does in a process of its own that yields while `busy()`.

    Call `on_file` for each file, and `on_bytes` every second in which bytes of a file are hashed.
    Raises HashingError if the process fails or hangs, and StoppedError after `stop()`.
    """
    found: dict[str, str] = {}
    with tempfile.TemporaryFile() as listed:
        listed.write(b"\0".join(os.fsencode(path) for path in paths))
        listed.seek(0)
        argv = [sys.executable, "-I", "-S", __file__, str(root)]
        child = subprocess.Popen(argv, stdin=listed, stdout=subprocess.PIPE)
    try:
        for digest in _lines(child, busy, stop):
            if digest == _MOVING:
                on_bytes()
                continue
            path = paths[len(found)]
            found[path] = digest
            on_file(path)
    finally:
        child.kill()
        with suppress(subprocess.TimeoutExpired):
            child.wait(KILL_SECONDS)
        if child.stdout is not None:
            child.stdout.close()
    if len(found) != len(paths):
        message = f"The hashing process ended after {len(found)} of {len(paths)} files."
        raise HashingError(message)
    return found


def _lines(
    child: subprocess.Popen[bytes], busy: Callable[[], bool], stop: Callable[[], bool]
) -> Iterator[str]:
    """Yield the child's lines as they come, and stop or continue it as `busy` says."""
    if child.stdout is None:
        return
    poll, descriptor, rest, running = select.poll(), child.stdout.fileno(), b"", True
    silent = 0.0  # seconds in which it might have run
    poll.register(descriptor, select.POLLIN)
    while True:
        if stop():
            raise StoppedError
        others = busy()
        allowed = not others or time.monotonic() % PERIOD < PERIOD * SHARE
        if allowed != running:
            child.send_signal(signal.SIGCONT if allowed else signal.SIGSTOP)
            running = allowed
        began = time.monotonic()
        if not poll.poll(PERIOD * SHARE * 1000):
            silent += min(time.monotonic() - began, PERIOD) if allowed else 0.0
            if silent > STALL_SECONDS:
                message = f"The hashing process read nothing for {STALL_SECONDS:.0f} seconds."
                raise HashingError(message)
            continue
        silent = 0.0
        chunk = os.read(descriptor, 65536)
        if not chunk:
            return
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line.decode("ascii") for line in whole)


def _digests(
    root: Path, paths: Iterable[str], read: Callable[[Path], str] | None = None
) -> Iterator[str]:
    with ThreadPoolExecutor(max_workers=_cores()) as pool:
        yield from pool.map(lambda path: _look(root / path, read or hash_file), paths)


def _look(path: Path, read: Callable[[Path], str]) -> str:
    try:
        return read(path)
    except OSError:
        return UNREADABLE


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _make_way(parent: int) -> None:
    """End with the parent and use idle priorities. A kernel that refuses either is no failure."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)
    os.nice(19)
    number = _IOPRIO_SET.get(platform.machine())
    if number is not None:
        libc.syscall(number, 1, 0, _IDLE_CLASS)


def _main(root: str) -> None:
    _make_way(os.getppid())
    given = sys.stdin.buffer.read()
    paths = [os.fsdecode(path) for path in given.split(b"\0")] if given else []
    moved_at = time.monotonic()

    def on_chunk() -> None:
        nonlocal moved_at
        if time.monotonic() >= moved_at + 1.0:
            moved_at = time.monotonic()
            os.write(1, f"{_MOVING}\n".encode())

    for digest in _digests(Path(root), paths, lambda path: hash_file(path, on_chunk)):
        os.write(1, f"{digest}\n".encode())


if __name__ == "__main__":
    _main(sys.argv[1])
