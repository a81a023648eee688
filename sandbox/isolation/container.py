"""One started sandbox: its pipes, its processes, its control group, and their end."""

import os
import socket
from contextlib import suppress
from dataclasses import dataclass

from sandbox.cgroup import leases
from sandbox.cgroup.groups import Group
from sandbox.isolation import exit_status, process

_KILL_TIMEOUT_SECONDS = 10.0  # seconds that the kernel may take to end killed processes


@dataclass
class Container:
    """A running sandbox. The owner must `close` it."""

    child: process.Child
    init: int
    init_pidfd: int
    group: Group
    slot: str
    stdin: int
    stdout: int
    stderr: int
    channel: socket.socket | None
    _closed: bool = False
    _command: int | None = None

    def hold_command(self) -> None:
        """Keep a pidfd of the command's own process. Call it while the command has no sibling."""
        self._command = exit_status.only_child(self.init)

    def ended(self) -> int:
        """Wait for the end of the command; return its exit status, or minus the signal."""
        status = self.child.wait()
        reported = None if self._command is None else exit_status.read_pidfd_status(self._command)
        return exit_status.guess_status(status) if reported is None else reported

    def alive(self) -> bool:
        """Return whether its first process lives."""
        return not self._closed and not self.child.dead()

    def first_process_lives(self) -> bool:
        """Return whether the first process of its pid namespace lives, so `init` is its number."""
        return not process.readable(self.init_pidfd, 0)

    def send_kill(self) -> None:
        """Begin to end all processes: the pid namespace dies with its first process."""
        process.send_kill(self.init_pidfd)

    def kill(self) -> None:
        """End all processes and wait for their end."""
        self.send_kill()
        process.readable(self.init_pidfd, _KILL_TIMEOUT_SECONDS)
        self.group.kill()
        self.child.kill()
        self.child.dead(_KILL_TIMEOUT_SECONDS)

    def end_all(self) -> bool:
        """End all processes; return whether none is left, so that nobody can change a file.

        The first process of a pid namespace dies after all others in it (pid_namespaces(7)).
        """
        self.kill()
        return process.readable(self.init_pidfd, 0)

    def close(self) -> None:
        """End all processes and release all resources; stdin, unless it was taken."""
        if self._closed:
            return
        self._closed = True
        self.kill()
        self.child.wait()
        # If this process reaps orphans (PID 1 of a container), the inner process is its child now.
        with suppress(ChildProcessError):
            os.waitid(os.P_PIDFD, self.init_pidfd, os.WEXITED)
        for descriptor in (self.init_pidfd, self.stdout, self.stderr, self._command):
            if descriptor is not None:
                os.close(descriptor)
        if self.stdin >= 0:  # it was not taken: no job was delivered
            os.close(self.take_stdin())
        if self.channel is not None:
            self.channel.close()
        leases.process_leases().give_back(self.slot, self.group)

    def take_stdin(self) -> int:
        """Return the writing end of stdin, now owned by the caller."""
        descriptor, self.stdin = self.stdin, -1
        return descriptor

    def __del__(self) -> None:
        if not self._closed:  # a session was forgotten: its processes must not stay
            self.close()
