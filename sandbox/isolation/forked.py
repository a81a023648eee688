"""Sandboxes that a fork server makes: the host's half of the messages of `_fork/isolate.c`.

The server clones itself into new namespaces for each request. The clone announces itself on a
status socket, whose credentials tell its process id. It then waits until the host has moved it into
its control group and has set its limits. It has read nothing of a submission, so until then only
the files of the template have had a say. The host trusts no word of it: what it is, is checked from
outside (`confinement.expected_forked`).
"""

import array
import os
import resource
import socket
import struct
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import override

from sandbox.cgroup import leases
from sandbox.errors import LostError, StartupError
from sandbox.isolation import process, seccomp
from sandbox.isolation.container import Container
from sandbox.isolation.launch import Shares, host_pipe, rlimits_of

# Bytes of /workspace and of /tmp, bytes of /dev/shm, and resource limits by number.
_LIMITS = 16
_REQUEST = struct.Struct(f"=QQ{_LIMITS}Q")
_UNCHANGED = 2**64 - 1
_SIZES = struct.Struct("=II")
_CREDENTIALS = struct.Struct("=3i")  # struct ucred of unix(7): pid, uid, gid
_STATUS = struct.Struct("=i")
_GO = b"g"
_LONG_SECONDS = 86_400.0
_KILLED = 128 + 9


@dataclass(frozen=True, kw_only=True)
class Server:
    """The process that forks, as the host holds it. `control` is its end of the control socket."""

    pid: int
    control: socket.socket
    sending: threading.Lock = field(default_factory=threading.Lock)

    def configure(self, links: Sequence[tuple[str, str]]) -> None:
        """Send what each sandbox gets: the filter, and links (target, place). Call it once."""
        program = seccomp.program()
        pairs = "".join(f"{target}\0{place}\0" for target, place in links).encode()
        self.control.sendall(_SIZES.pack(len(program), len(pairs)) + program + pairs)


@dataclass
class ForkedChild(process.Child):
    """The first process of a forked sandbox: a child of the server, not of this process."""

    status: socket.socket = field(kw_only=True)
    _code: int | None = None

    @override
    def wait(self) -> int:
        """Wait for its end; return the second process's exit status, or 128 + signal."""
        code = self.code()
        if code is None:
            return _KILLED
        return code if code >= 0 else 128 - code

    def code(self) -> int | None:
        """Wait; return the exit status, minus the signal, or None if it ended without a word."""
        if self._status is None:
            process.readable(self.pidfd, _LONG_SECONDS)
            self._code = self._read()
            self._status = 0
            os.close(self.pidfd)
        return self._code

    def _read(self) -> int | None:
        data = b""
        # ConnectionResetError: killed before it read our last message. All that it has written is
        # there, so do not wait: another process may hold its end open.
        with self.status, suppress(ConnectionResetError, BlockingIOError):
            data = self.status.recv(_STATUS.size, socket.MSG_DONTWAIT)
        if len(data) != _STATUS.size:
            return None
        return os.waitstatus_to_exitcode(_STATUS.unpack(data)[0])


class ForkedContainer(Container):
    """A forked sandbox. The wait status of its command comes from its first process."""

    @override
    def hold_command(self) -> None:
        """Do nothing: the first process reports the exact end of the command."""

    @override
    def ended(self) -> int:
        """Wait for the command's end; return its exit status, or minus the signal.

        LostError if the sandbox was ended from outside, so that nobody knows how the command ended.
        """
        assert isinstance(self.child, ForkedChild)  # noqa: S101 - made with one
        code = self.child.code()
        if code is None:
            raise LostError("the sandbox was ended from outside: its server has died")
        return code


def fork(
    server: Server,
    shares: Shares,
    *,
    slot: str,
    disk_bytes: int,
    shared_bytes: int,
    deadline: float,
) -> ForkedContainer:
    """Let the server fork a sandbox, which mounts, locks itself down and starts its runner.

    StartupError when the server is dead or too slow (`deadline`: monotonic seconds), LimitsError
    when the kernel refuses the limits.
    """
    group = leases.process_leases().take(slot)
    with ExitStack() as undo:
        undo.callback(leases.process_leases().give_back, slot, group)
        undo.callback(group.kill)
        group.empty()
        with ExitStack() as theirs:
            stdin_theirs, stdin = host_pipe(undo, theirs, we_write=True)
            stdout_theirs, stdout = host_pipe(undo, theirs, we_write=False)
            stderr_theirs, stderr = host_pipe(undo, theirs, we_write=False)
            channel, channel_theirs = _pair(undo, theirs)
            status, status_theirs = _pair(undo, theirs)
            status.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            streams = (stdin_theirs, stdout_theirs, stderr_theirs)
            given = array.array("i", (*streams, channel_theirs.fileno(), status_theirs.fileno()))
            limits = [_UNCHANGED] * _LIMITS
            for kind, value in rlimits_of(group, shares).items():
                limits[kind] = _UNCHANGED if value == resource.RLIM_INFINITY else value
            _request(server, _REQUEST.pack(disk_bytes, shared_bytes, *limits), given)
        pid = _announced(status, deadline)
        pidfd = os.pidfd_open(pid)
        undo.callback(os.close, pidfd)
        undo.callback(process.send_kill, pidfd)
        if _parent(pid) != server.pid:
            raise StartupError(f"process {pid} has announced itself, and is no child of the server")
        group.add(pid)
        group.begin(memory_bytes=shares.memory_bytes, processes=shares.processes)
        if shares.low_priority:
            group.set_priority(low=True)
        try:
            status.sendall(_GO)
        except OSError as error:
            raise StartupError("the forked sandbox has died before it was set up") from error
        child = ForkedChild(pid=pid, pidfd=os.dup(pidfd), status=status)
        undo.pop_all()
    return ForkedContainer(
        child=child, init=pid, init_pidfd=pidfd, group=group, slot=slot,
        stdin=stdin, stdout=stdout, stderr=stderr, channel=channel,
    )  # fmt: skip


def _pair(ours: ExitStack, theirs: ExitStack) -> tuple[socket.socket, socket.socket]:
    mine, other = socket.socketpair()
    return ours.enter_context(mine), theirs.enter_context(other)


def _request(server: Server, message: bytes, descriptors: array.array[int]) -> None:
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)]
    try:
        with server.sending:
            server.control.sendmsg([message], ancillary)
    except OSError as error:
        raise StartupError(f"the fork server is gone: {error.strerror}") from error


def _announced(status: socket.socket, deadline: float) -> int:
    """Return the process id of the new sandbox's first process, as this process sees it."""
    if not process.readable(status.fileno(), max(0.0, deadline - time.monotonic())):
        raise StartupError("the fork server has not forked in time")
    data, ancillary, _, _ = status.recvmsg(1, socket.CMSG_SPACE(_CREDENTIALS.size))
    for level, kind, value in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS) and data:
            return int(_CREDENTIALS.unpack(value[: _CREDENTIALS.size])[0])
    raise StartupError("the fork server could not fork")


def _parent(pid: int) -> int | None:
    """Return the parent of a process (see proc(5)), or None if it is gone."""
    with suppress(OSError, ValueError, IndexError):
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return int(os.read(descriptor, 4096).rpartition(b")")[2].split()[1])
        finally:
            os.close(descriptor)
    return None
