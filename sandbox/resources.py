"""Resources that sandboxes need of this machine, and the meaning of its errors.

Numbers are from `getrlimit(2)`. A warm sandbox keeps six descriptors open in the executor: three
streams, the channel and two pidfds.
"""

import errno
import os
import resource
from contextlib import suppress

from sandbox.isolation import confinement, process
from sandbox.isolation.launch import Shares, launch, this_host
from sandbox.isolation.profile import Profile
from sandbox.limits import MIB

DESCRIPTORS_EACH = 8  # open descriptors of a waiting sandbox, with reserve
DESCRIPTORS_STARTING = 48  # of a sandbox that starts or runs
DESCRIPTORS_RESERVED = 128  # the executor's own: database, socket, logs, builds
TRIAL_MS = 10_000
_UNLIMITED = 1 << 20
_CAUSES = {
    errno.EMFILE: "file descriptors: this process may open no more (see `ulimit -n`)",
    errno.ENFILE: "file descriptors: the machine may open no more (see fs.file-max)",
    errno.EBADF: "file descriptors: this process may open no more (see `ulimit -n`)",
    errno.ENOMEM: "memory: the kernel has no more",
    errno.EAGAIN: "processes: no more may be started (see `ulimit -u` and the unit's TasksMax)",
    errno.ENOSPC: "disk or namespaces: there is no space (see `df` and user.max_user_namespaces)",
    errno.EDQUOT: "disk: the quota is used up",
    errno.EIO: "disk: it cannot be read",
    errno.EROFS: "disk: it is read-only",
}
_WORDS = (
    ("Too many open files", errno.EMFILE),
    ("Cannot allocate memory", errno.ENOMEM),
    ("Resource temporarily unavailable", errno.EAGAIN),
    ("No space left on device", errno.ENOSPC),
    ("Input/output error", errno.EIO),
)


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files to the hard one, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return _UNLIMITED if hard == resource.RLIM_INFINITY else hard


def raise_process_limit() -> int:
    """Raise the soft limit of processes of this user to the hard one, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NPROC, (hard, hard))
    return _UNLIMITED if hard == resource.RLIM_INFINITY else hard


def sandboxes_within(descriptors: int, *, slots: int = 1) -> int:
    """Return how many sandboxes may wait beside `slots` running ones within this limit of files."""
    left = descriptors - DESCRIPTORS_RESERVED - slots * DESCRIPTORS_STARTING
    return max(0, left // DESCRIPTORS_EACH)


def running_within(descriptors: int) -> int:
    """Return how many sandboxes may run at once within this limit of files.

    Half of it is for them: the rest is for sandboxes that wait, and for the executor itself.
    """
    return max(0, (descriptors - DESCRIPTORS_RESERVED) // 2 // DESCRIPTORS_STARTING)


def cause_of(error: BaseException) -> str:
    """Return the missing resource after a sandbox did not start, as a text for an operator."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in _CAUSES:
            return _CAUSES[seen.errno]
        found = next((number for words, number in _WORDS if words in str(seen)), None)
        if found is not None:
            return _CAUSES[found]
        seen = seen.__cause__ or seen.__context__
    if isinstance(error, MemoryError):
        return _CAUSES[errno.ENOMEM]
    text = " ".join(str(error).split())[:300] or type(error).__name__
    return f"a sandbox cannot be started: {text}"


def try_start(*, slot: str, startup_ms: int = TRIAL_MS) -> None:
    """Start `cat` in a sandbox of no template, check it from outside, and wait for its end.

    SandboxError or OSError if this machine cannot start a locked-down sandbox now.
    """
    inside = Profile(command=("/usr/bin/cat",), directory="/", environment={})
    shares = Shares(memory_bytes=64 * MIB, processes=16)
    container = launch(inside, shares, slot=slot, startup_ms=startup_ms, channel=False)
    try:
        stdin = container.take_stdin()
        try:
            with suppress(BrokenPipeError):
                os.write(stdin, b"x")
            # `cat` echoes the byte, so by then it runs and its privileges have been dropped.
            if process.readable(container.stdout, startup_ms / 1000) and os.read(
                container.stdout, 1
            ):
                confinement.check(container.init, as_root=this_host().as_root)
        finally:
            os.close(stdin)
        status = container.child.wait()
    finally:
        container.close()
    if status != 0:
        message = f"a trial sandbox ended with status {status}"
        raise OSError(message)
