"""One command of a build in a cage: the command can change one folder only.

A cage without network may run foreign code (install scripts). A cage with network (`egress`) has a
proxy in its own network namespace that connects to named endpoints only, and the kernel keeps the
command from starting a process: it cannot start a program that a tool's configuration names.
Started as root, the folder is given to the uid inside, and taken back when nothing runs in it any
more. The folder must not contain hard links to files that stay.
"""

import contextlib
import os
import resource
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sandbox import tree_walk
from sandbox.errors import CageStoppedError
from sandbox.isolation import profile
from sandbox.isolation.container import Container
from sandbox.isolation.launch import Shares, launch, this_host
from sandbox.limits import MIB
from sandbox.network import listening
from sandbox.network.egress import ADDRESS, PORT, Egress, Endpoint, Forwarder
from sandbox.session.streams import Lines, Pump

OnLine = Callable[[str, str], None]

PATH = "/usr/bin:/bin"
_TICK = 0.1
_STARTUP_MS = 20_000
_DRAIN = 5.0
_DISK_TICK = 2.0
_DISK_RESERVE = 256 * MIB
_BLOCK = 4096
_OPEN_FILES = 16_384
# The files that verifying certificates needs, in each distribution. Names are resolved outside.
_CERTIFICATES = (
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
)


@dataclass(frozen=True, kw_only=True)
class Cage:
    """`writable` is shown at /build and is the working directory; `read_only` is (host, inside).

    `files` are made inside, readable and read-only: for contents that only their owner may read on
    the host, as the user inside is another one. They are never on a disk. `env` adds to HOME,
    TMPDIR, LANG and PATH, and may replace them. `disk_bytes` limits the size of `writable`. The
    size is measured every two seconds and at the end. The command can exceed it in between, but
    never beyond the last 256 MiB of the filesystem.

    `egress`: the endpoints that its proxy at `egress.ADDRESS` may connect to; None: no network. The
    endpoints that the command reached are added to `reached`.
    """

    writable: Path
    read_only: tuple[tuple[Path, str], ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)  # perhaps with tokens
    egress: Egress | None = None
    reached: set[Endpoint] = field(default_factory=set)
    env: Mapping[str, str] = field(default_factory=dict)
    wall_ms: int = 600_000
    memory_bytes: int = 4096 * MIB
    processes: int = 512
    scratch_bytes: int = 1024 * MIB
    disk_bytes: int = 8192 * MIB

    @property
    def network(self) -> bool:
        """Return whether the cage has a network."""
        return self.egress is not None


def run(
    cage: Cage,
    argv: Sequence[str],
    on_line: OnLine,
    *,
    cancel: threading.Event | None = None,
) -> int:
    """Run `argv` to its end; return its exit status, or 128 + signal.

    `on_line` gets ("stdout" or "stderr", text) in this thread, line by line as they come.
    CageStoppedError if it was killed for time, memory or `cancel`; StartupError and
    IsolationUnavailableError if it could not start.
    """
    shares = Shares(
        memory_bytes=cage.memory_bytes,
        processes=cage.processes,
        rlimits={resource.RLIMIT_NOFILE: _OPEN_FILES},
        low_priority=True,
    )
    with _handed_over(cage.writable), _Way(cage, on_line) as way:
        container = launch(
            cage_profile(cage, argv), shares, slot="adhoc-cage", startup_ms=_STARTUP_MS,
            channel=False, prepare=way.open,
        )  # fmt: skip
        try:
            return _follow(container, cage, on_line, cancel, way)
        finally:
            container.close()


class _Way:
    """The proxy of a cage, if the cage has one, from before its first instruction to its end."""

    def __init__(self, cage: Cage, on_line: OnLine) -> None:
        self._cage, self._on_line = cage, on_line
        self._held = contextlib.ExitStack()
        self._forwarder: Forwarder | None = None

    def __enter__(self) -> "_Way":
        return self

    def __exit__(self, *_error: object) -> None:
        self._held.close()
        if self._forwarder is not None:
            self._cage.reached.update(self._forwarder.reached)

    def open(self, init_pidfd: int) -> None:
        if self._cage.egress is not None:
            listener = listening.listen(init_pidfd, PORT)
            self._forwarder = Forwarder(listener, self._cage.egress)
            self._held.enter_context(self._forwarder)

    def report_refusals(self) -> None:
        if self._forwarder is not None:
            for text in self._forwarder.refusals():
                self._on_line("stderr", text)


def _check_disk(cage: Cage) -> None:
    if disk_use(cage.writable) > cage.disk_bytes:
        raise CageStoppedError("disk", f"it wrote more than {cage.disk_bytes} bytes")


def _check_reserve(cage: Cage) -> None:
    """Stop the command before the disk is full: the walk can miss files that move."""
    found = os.statvfs(cage.writable)
    if found.f_bavail * found.f_frsize < _DISK_RESERVE:
        text = f"the disk has less than {_DISK_RESERVE} bytes left: free some space"
        raise CageStoppedError("disk", text)


def cage_profile(cage: Cage, argv: Sequence[str]) -> profile.Profile:
    """Return the profile of the command. With a network it shows this host's certificates."""
    binds = [(str(cage.writable), "/build", True)]
    binds += [(str(source), place, False) for source, place in cage.read_only]
    if cage.network:
        shown = [name for name in _CERTIFICATES if Path(name).exists()]
        # Resolved, because resolv.conf is often a link to a path that is not shown inside.
        binds += [(str(Path(name).resolve()), name, False) for name in shown]
    return profile.Profile(
        command=tuple(argv),
        directory="/build",
        environment={**profile.BASE_ENVIRONMENT, "PATH": PATH, **cage.env, **_proxies(cage)},
        binds=tuple(binds),
        tmpfs=(
            profile.Tmpfs(at="/tmp", size_bytes=cage.scratch_bytes),  # noqa: S108 - inside
            profile.Tmpfs(at="/dev/shm", size_bytes=64 * MIB),  # noqa: S108 - inside
        ),
        files={**cage.files, "/etc/hosts": profile.HOSTS},
        alone=cage.network,
    )


def _proxies(cage: Cage) -> dict[str, str]:
    """Return the variables that report_refusals tools to use the proxy for all hosts."""
    if not cage.network:
        return {}
    names = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
    return {**dict.fromkeys(names, ADDRESS), "no_proxy": "", "NO_PROXY": ""}


def _follow(
    container: Container,
    cage: Cage,
    on_line: OnLine,
    cancel: threading.Event | None,
    way: _Way,
) -> int:
    pump = Pump(container.child.pidfd)
    streams = {
        container.stdout: Lines(lambda text: on_line("stdout", text)),
        container.stderr: Lines(lambda text: on_line("stderr", text)),
    }
    try:
        for descriptor, lines in streams.items():
            pump.read(descriptor, lines.feed)
        pump.write(container.take_stdin(), b"")
        _watch(container, pump, cage, cancel, way)
        status = container.child.wait()
        container.kill()
        deadline = time.monotonic() + _DRAIN
        while pump.reading and (left := deadline - time.monotonic()) > 0:
            pump.turn(left)
    finally:
        pump.close()
    for lines in streams.values():
        lines.end()
    way.report_refusals()
    if container.group.out_of_memory():
        raise CageStoppedError("memory", f"it needed more than {cage.memory_bytes} bytes")
    _check_disk(cage)
    return status


def _watch(
    container: Container, pump: Pump, cage: Cage, cancel: threading.Event | None, way: _Way
) -> None:
    deadline = time.monotonic() + cage.wall_ms / 1000
    look_at = measure_at = 0.0
    while not pump.exited:
        now = time.monotonic()
        if now >= deadline:
            raise CageStoppedError("wall", f"it took longer than {cage.wall_ms} ms")
        if cancel is not None and cancel.is_set():
            raise CageStoppedError("cancel", "it was cancelled")
        if now >= look_at:
            look_at = now + _TICK
            container.group.cpu_ms()  # without control groups this call measures memory
            if container.group.out_of_memory():
                raise CageStoppedError("memory", f"it needed more than {cage.memory_bytes} bytes")
            _check_reserve(cage)
            way.report_refusals()
        if now >= measure_at:
            _check_disk(cage)
            # Measuring a large tree takes a while itself: a tenth of the time at most.
            measure_at = time.monotonic() + max(_DISK_TICK, 9 * (time.monotonic() - now))
        pump.turn(min(_TICK, deadline - now))


@contextmanager
def _handed_over(folder: Path) -> Iterator[None]:
    if not this_host().as_root:
        yield
        return
    _give(folder, profile.INSIDE_ID)
    try:
        yield
    finally:
        _give(folder, os.geteuid())


def _give(folder: Path, owner: int) -> None:
    """Make `owner` the owner of all entries below; links are not followed."""
    os.chown(folder, owner, owner, follow_symlinks=False)
    for visit in tree_walk.walk(folder):
        for name in (*visit.folders, *visit.others):
            os.chown(name, owner, owner, dir_fd=visit.descriptor, follow_symlinks=False)


def disk_use(folder: Path) -> int:
    """Return the bytes that a folder takes on disk; each entry counts at least a block of 4 KiB.

    If other processes write in it, the result covers the part that the walk has reached.
    """
    total = 0
    with contextlib.suppress(OSError):
        for visit in tree_walk.walk(folder):
            total += _BLOCK * len(visit.folders)
            for name in visit.others:
                info = os.stat(name, dir_fd=visit.descriptor, follow_symlinks=False)
                total += max(_BLOCK, info.st_blocks * 512)
    return total
