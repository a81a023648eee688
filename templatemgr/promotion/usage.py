"""Why a version is still needed. Apps above this one register a probe that says so.

Templates must not know executions, but executions hold versions. So an app that uses versions
registers a probe at its start; a removal calls every probe.
"""

import fcntl
import os
from collections.abc import Callable

from templatemgr import data_paths
from templatemgr.models import Version

Probe = Callable[[Version], str | None]  # why the version is needed, or None

_probes: dict[str, Probe] = {}


def register(name: str, probe: Probe) -> None:
    """Register a probe. A second registration under the same name replaces the first."""
    _probes[name] = probe


def unregister(name: str) -> None:
    """Remove a probe."""
    _probes.pop(name, None)


def reasons(version: Version) -> list[str]:
    """Return the reasons why a version is needed; empty if it is not.

    While no probe is registered, a running executor counts as a reason for every version.
    """
    if not _probes and _executor_lives():
        return ["an executor runs, and this process cannot see its executions: stop it first"]
    return [reason for probe in _probes.values() if (reason := probe(version))]


def _executor_lives() -> bool:
    """Return whether a process holds the executor's lock; the kernel releases it at its death."""
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(data_paths.data() / "executor.lock", flags)
    except FileNotFoundError:
        return False
    except OSError:  # it is no lock: an executor may have taken the file that lay there
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
