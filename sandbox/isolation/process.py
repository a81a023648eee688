"""The start of foreign programs, in one place.

One long-lived thread starts everything, because bubblewrap's `--die-with-parent` fires when the
*thread* that started it ends. `posix_spawn` is used: no Python code runs between fork and exec,
exactly the given descriptors are handed over (as 0, 1, 2, …), and nothing else is inherited.
"""

import errno
import fcntl
import os
import select
import signal
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from sandbox.isolation import devices

# Above anything that a child is given, so that no dup2 overwrites a source.
_SAFE = 256
# Ignored signals are inherited: Python ignores SIGPIPE and SIGXFSZ, `nohup` SIGHUP, a script's `&`
# SIGINT and SIGQUIT.
_DEFAULTED = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}


class _Spawner:
    """The one thread that starts programs. A forked child has no threads and makes its own."""

    def __init__(self) -> None:
        self.reset()
        os.register_at_fork(after_in_child=self.reset)

    def reset(self) -> None:
        self.thread = ThreadPoolExecutor(
            max_workers=1, thread_name_prefix="sandbox-spawner", initializer=_own_umask
        )
        self.namespace = devices.Namespace()


def _own_umask() -> None:
    """Give this thread a umask of its own, 022, as a program in a sandbox expects.

    The umask of this process is 077, which keeps secrets.
    """
    os.unshare(os.CLONE_FS)
    os.umask(0o022)


_spawner = _Spawner()


@dataclass
class Child:
    """A started child process. `pidfd` becomes readable when it is dead; `wait` reaps it."""

    pid: int
    pidfd: int
    _status: int | None = None

    def wait(self) -> int:
        """Wait for its end; return its exit status, or 128 + signal."""
        if self._status is None:
            _, status = os.waitpid(self.pid, 0)
            code = os.waitstatus_to_exitcode(status)
            self._status = code if code >= 0 else 128 - code
            os.close(self.pidfd)
        return self._status

    def dead(self, timeout: float = 0) -> bool:
        """Return whether it ends within `timeout` seconds or has ended."""
        return self._status is not None or readable(self.pidfd, timeout)

    def kill(self) -> None:
        """Send SIGKILL, unless the process has been reaped."""
        if self._status is None:
            send_kill(self.pidfd)


def readable(descriptor: int, timeout: float) -> bool:
    """Return whether `descriptor` becomes readable within `timeout` seconds; a pidfd: its end."""
    poll = select.poll()  # not select(), which knows no descriptor above 1023
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(timeout * 1000))


def abandoned(pipe: int, timeout: float) -> bool:
    """Return whether the last reader of a pipe closes it within `timeout` seconds."""
    poll = select.poll()
    poll.register(pipe, 0)  # an error is always reported
    return bool(poll.poll(timeout * 1000))


def send_kill(pidfd: int) -> None:
    """Send SIGKILL to the process of a pidfd; do nothing if it is gone."""
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        return


def spawn(
    argv: Sequence[str],
    descriptors: Sequence[int | None],
    environment: Mapping[str, str],
    *,
    seal_devices: bool = False,
) -> Child:
    """Start `argv` with `descriptors` as its 0, 1, 2, … and no other open file; None: closed.

    With `seal_devices`, which needs root's rights, it cannot change the host's devices. The caller
    keeps its own copies of the descriptors. OSError if the program cannot start,
    IsolationUnavailableError if the devices cannot be sealed.
    """
    return _spawner.thread.submit(_spawn, argv, descriptors, environment, seal_devices).result()


def _spawn(
    argv: Sequence[str],
    descriptors: Sequence[int | None],
    environment: Mapping[str, str],
    seal_devices: bool,
) -> Child:
    if seal_devices:
        _spawner.namespace.enter()
    copies: dict[int, int] = {}
    try:
        for number, descriptor in enumerate(descriptors):  # so that a failure leaves none open
            if descriptor is not None:
                copies[number] = _copy(descriptor)
        actions: list[tuple[int, ...]] = [
            (os.POSIX_SPAWN_DUP2, copy, number) for number, copy in copies.items()
        ]
        unwanted = [number for number in _open_from(0) if number not in copies]
        actions += [(os.POSIX_SPAWN_CLOSE, number) for number in unwanted]
        pid = os.posix_spawn(
            argv[0],
            [os.path.basename(argv[0]), *argv[1:]],  # noqa: PTH119 - hide the path from the program
            dict(environment),
            file_actions=actions,
            setsigmask=[],
            setsigdef=_DEFAULTED,
        )
    finally:
        for copy in copies.values():
            os.close(copy)
    return Child(pid=pid, pidfd=os.pidfd_open(pid))


def _copy(descriptor: int) -> int:
    """Copy a descriptor above all numbers of a child. OSError EMFILE if the limit is too low."""
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _SAFE)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # fcntl(2): the requested smallest number is above the limit of open files.
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE)) from error


def _open_from(first: int) -> list[int]:
    """Return our open descriptors from `first` on: a library may have made some inheritable."""
    numbers = (int(name) for name in os.listdir("/proc/self/fd"))  # noqa: PTH208 - names only
    return [number for number in numbers if number >= first]
