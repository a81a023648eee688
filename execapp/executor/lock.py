"""The lock of a data directory for one executor, and an identity that outlives the process."""

import fcntl
import json
import os
import re
import secrets
from pathlib import Path

from templatemgr.trees import places

_IDENTITY = re.compile(r"[0-9a-f]{12}")


class LockedError(Exception):
    """The lock of this data directory cannot be taken: most often, another executor has it."""


class ExecutorLock:
    """A file lock for the life of the process; the kernel releases it when the process dies.

    `identity` is created once and kept in the file. When its owner starts, existing claims
    and control groups with this identity belong to a dead executor. It belongs to this very file:
    the executor of a copied data directory gets another one, and so spares the sandboxes of the
    first.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._descriptor = places.open_lock(
                path, path.parent / "aside", mode=0o600, writable=True
            )
        except OSError as error:
            message = f"{path} cannot be used as a lock: {error}. Look at what lies there."
            raise LockedError(message) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            pid = _read(self._descriptor).get("pid", "unknown")
            os.close(self._descriptor)
            message = f"An executor works on {path.parent} already (process {pid})."
            raise LockedError(message) from error
        status = os.fstat(self._descriptor)
        file = f"{status.st_dev}:{status.st_ino}"
        kept = _read(self._descriptor)
        identity = str(kept.get("identity", ""))
        known = _IDENTITY.fullmatch(identity) and kept.get("file", file) == file
        self.identity = identity if known else secrets.token_hex(6)
        content = {"identity": self.identity, "file": file, "pid": os.getpid()}
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{json.dumps(content)}\n".encode(), 0)

    def release(self) -> None:
        """Release the lock. Keep the file: its removal would break the lock."""
        os.close(self._descriptor)


def _read(descriptor: int) -> dict[str, object]:
    try:
        loaded = json.loads(os.pread(descriptor, 4096, 0))
    except ValueError:
        return {}
    return loaded if isinstance(loaded, dict) else {}
