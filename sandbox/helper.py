"""A helper process for work on foreign input, which may be slow or die, and ends as a whole.

The helper leads a session, has a control group of its own, yields processors and disk to others,
and dies with the process that started it. The names of its sandboxes begin with its slot, so that
they end with it. Foreign input cannot slow down the process that started the helper.
"""

import ctypes
import os
import platform
import resource
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from sandbox import naming
from sandbox.cgroup import leases
from sandbox.cgroup.groups import Group
from sandbox.errors import SandboxError
from sandbox.isolation import orphans, process
from sandbox.limits import MIB

MEMORY_BYTES = 2048 * MIB  # its own: its sandboxes have control groups of their own
ADDRESS_BYTES = 8192 * MIB  # without control groups
CPU_SECONDS = 900
_PROCESSES = 256
_NICE = 10
_PR_SET_PDEATHSIG = 1
# ioprio_set(2): its number by machine, "a process", and best effort at its lowest level.
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30}
_IOPRIO_WHO_PROCESS, _IOPRIO_LOWEST = 1, (2 << 13) | 7
_KILL_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class HelperExit:
    """The end of a helper: `status` is its exit status, or minus its signal."""

    status: int
    out_of_memory: bool

    @property
    def cause(self) -> str:
        """Return why it ended, as the end of a sentence that begins with "it"."""
        if self.out_of_memory:
            return f"needed more than {MEMORY_BYTES // MIB} MiB of memory"
        if self.status >= 0:
            return f"ended with status {self.status}"
        name = signal.Signals(-self.status).name
        if name == "SIGXCPU":
            return f"needed more than {CPU_SECONDS} s of processor time"
        return f"was killed by {name}"


class Helper:
    """One started helper. Its owner, one thread that outlives it, must `end` it."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], *, slot: str) -> None:
        """Start a helper. OSError, SandboxError if that is refused.

        The slots of its sandboxes begin with `slot`, by which `end` finds them. The program must
        first call `settle` with the words added to its argv: --parent, our process id, --slot and
        `slot`.
        """
        self._slot = slot
        self._group: Group | None = leases.process_leases().take(f"{slot}-helper")
        try:
            self._group.empty()
            words = [*argv, "--parent", str(os.getpid()), "--slot", slot]
            self._process = subprocess.Popen(
                words, env=dict(env), stdin=subprocess.DEVNULL, start_new_session=True
            )
        except BaseException:
            self._give_back()
            raise
        self.pid = self._process.pid
        self._pidfd = os.pidfd_open(self.pid)
        self._enclose(self._group)

    def _enclose(self, group: Group) -> None:
        if group.kind == "none":
            return  # it would count the sandboxes as well; the helper limits itself
        with suppress(ProcessLookupError, OSError, SandboxError):
            group.begin(memory_bytes=MEMORY_BYTES, processes=_PROCESSES)
            group.set_priority(low=True)
            group.add(self.pid)

    def wait(self, seconds: float) -> bool:
        """Return whether it ends within this time or has ended."""
        return process.readable(self._pidfd, seconds)

    def end(self) -> HelperExit:
        """Kill the helper and all that it has started; return how it ended."""
        process.send_kill(self._pidfd)
        self.wait(_KILL_TIMEOUT_SECONDS)
        status = self._process.wait()
        os.close(self._pidfd)
        group = self._group
        dead_of_memory = group is not None and group.kind != "none" and group.out_of_memory()
        helper_exit = HelperExit(
            status=status, out_of_memory=dead_of_memory and status == -signal.SIGKILL
        )
        with suppress(ProcessLookupError):  # the processes of its session that no sandbox holds yet
            os.killpg(self.pid, signal.SIGKILL)
        orphans.sweep(f"{self._slot}-")
        leases.sweep(f"{self._slot}-")
        self._give_back()
        return helper_exit

    def _give_back(self) -> None:
        if self._group is not None:
            self._group.kill()
            leases.process_leases().give_back(f"{self._slot}-helper", self._group)
            self._group = None


def settle(*, parent: int, slot: str) -> None:
    """Become a helper, in the started process. SystemExit if the starting process has died."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit(f"process {parent}, which started this one, is gone")
    naming.belong_to(slot)
    yield_to_others()
    wanted = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: CPU_SECONDS,
        resource.RLIMIT_AS: ADDRESS_BYTES,
    }
    for kind, value in wanted.items():  # soft: its sandboxes have limits of their own
        hard = resource.getrlimit(kind)[1]
        soft = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (soft, hard))


def yield_to_others() -> None:
    """Yield processors and disk to other processes; children inherit that."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, _NICE)
    number = _IOPRIO_SET.get(platform.machine())
    if number is not None:  # may be refused, or have no effect on some disks: it is optional
        ctypes.CDLL(None).syscall(number, _IOPRIO_WHO_PROCESS, 0, _IOPRIO_LOWEST)
