"""Who still needs a version? Those who know are asked: apps above this one register a question.

Templates may not know executions, and executions hold versions. So an app that keeps versions in
use registers a probe when it starts; removal asks every one of them.
"""

import fcntl
import os
from collections.abc import Callable

from templatemgr import data_paths
from templatemgr.models import Version

Probe = Callable[[Version], str | None]  # why the version is needed, or None

_probes: dict[str, Probe] = {}


def register(name: str, probe: Probe) -> None:
    """Ask this probe from now on. A name registered again replaces the earlier one."""
    _probes[name] = probe


def unregister(name: str) -> None:
    """Ask it no more."""
    _probes.pop(name, None)


def reasons(version: Version) -> list[str]:
    """Return why a version is needed by others; none when it is not.

    While nobody is registered, a living executor counts as needing every version.
    """
    if not _probes and _executor_lives():
        return ["an executor runs, and nothing here knows what it runs on: stop it first"]
    return [reason for probe in _probes.values() if (reason := probe(version))]


def _executor_lives() -> bool:
    """Whether a process holds the executor's lock; the kernel frees it when that one dies."""
    try:
        descriptor = os.open(data_paths.data() / "executor.lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
