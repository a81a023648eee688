"""Files that executions gave back: kept by their digest in Django's storage. Decision 0047.

A file is in the storage before a row names it. If the executor dies in between, nobody names the
file, and `sweep` removes it later. Writers hold a shared lock while they put a file into place;
`sweep` holds the exclusive one, so it never removes a file that has just been given again.
"""

import fcntl
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from django.conf import settings
from django.core.files import File
from django.core.files.storage import Storage, storages
from django.utils import timezone

from execapp.errors import UnknownFileError
from execapp.models import CollectedFile, Execution
from sandbox.session.collecting import Collected, Wanted

logger = logging.getLogger(__name__)
ALIAS = "collected"
# A file waits for its row as long as the end of an execution may take to be recorded.
GRACE_SECONDS = 3600.0
SWEEP_SECONDS = 3600.0
_LOCK = "lock"
_PARTS = "parts"  # files that are being written
_MESSAGE = "Not all matching files were collected: "


class Upload(File):  # type: ignore[type-arg]  # generic in its stubs only
    """A file on the same disk as the storage, which may take it by a rename."""

    def temporary_file_path(self) -> str:
        """Return its path: Django's file storage renames a file that has this method."""
        return str(self.name)


class Writer:
    """One file on its way into the storage; a `Sink` of `sandbox.session.collecting`."""

    def __init__(self) -> None:
        number, self._path = tempfile.mkstemp(dir=_folder(_PARTS))
        self._file = os.fdopen(number, "wb")

    def write(self, data: bytes) -> object:
        """Take the next bytes. OSError if the disk is full."""
        return self._file.write(data)

    def keep(self, sha256: str) -> None:
        """Put the file into place. A file of the same digest is replaced, and counts as new."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        try:
            with _locked(fcntl.LOCK_SH), open(self._path, "rb") as file:
                _storage().save(name_of(sha256), Upload(file, name=self._path))
        finally:
            with suppress(FileNotFoundError):  # the storage has taken it
                Path(self._path).unlink(missing_ok=True)

    def drop(self) -> None:
        """Forget the file."""
        self._file.close()
        Path(self._path).unlink(missing_ok=True)


def name_of(sha256: str) -> str:
    """Return the name of a file in the storage."""
    return f"{sha256[:2]}/{sha256}"


def wanted_by(execution: Execution) -> Wanted | None:
    """Return what to collect from the sandbox of an execution; None for nothing."""
    asked = execution.collect
    if asked is None:
        return None
    return Wanted(
        patterns=tuple(asked["patterns"]),
        most_files=asked["most_files"],
        most_bytes=asked["most_bytes"],
        seconds=settings.STENCIL_COLLECT_SECONDS,
        sink=Writer,
    )


def record(execution: Execution, collected: Collected) -> None:
    """Add the rows of an execution's files, in the transaction that records its end."""
    CollectedFile.objects.bulk_create(
        CollectedFile(
            execution=execution, path=file.path, size_bytes=file.size_bytes, sha256=file.sha256
        )
        for file in collected.files
    )


def size_of(collected: Collected | None) -> int:
    """Return the bytes that the files and their paths need."""
    files = () if collected is None else collected.files
    return sum(file.size_bytes + len(file.path.encode()) for file in files)


def message_of(collected: Collected | None) -> str:
    """Return the sentence about matching files that were not collected, or an empty text."""
    if collected is None or not collected.notes:
        return ""
    return f"{_MESSAGE}{'; '.join(collected.notes)}."


def files_of(execution: Execution) -> list[CollectedFile]:
    """Return the files of an execution by path; no query if none were asked for."""
    if execution.collect is None:
        return []
    return list(CollectedFile.objects.filter(execution_id=execution.pk).order_by("path"))


def find(*, execution: Execution, sha256: str) -> CollectedFile:
    """Return a file of an execution by its digest. Raise UnknownFileError."""
    rows = CollectedFile.objects.filter(execution_id=execution.pk, sha256=sha256)
    found = rows.order_by("path").first()
    if found is None:
        message = f"Execution {execution.pk} has given back no file with this digest."
        raise UnknownFileError(message)
    return found


def read(sha256: str, *, most: int = -1) -> bytes:
    """Return a file, or its first `most` bytes. Raise UnknownFileError if the storage lost it."""
    try:
        with _storage().open(name_of(sha256)) as file:
            data: bytes = file.read(most)
            return data
    except OSError as error:
        logger.error("collected file %s cannot be read: %s", sha256, error)
        message = "The file is recorded, but its content is lost; the log has the reason."
        raise UnknownFileError(message) from error


def sweep() -> int:
    """Remove the files that no row names and that are old enough; return how many."""
    store, removed = _storage(), 0
    oldest = timezone.now().timestamp() - GRACE_SECONDS
    for path in _folder(_PARTS).iterdir():
        with suppress(FileNotFoundError):  # it was completed meanwhile
            if path.stat().st_mtime < oldest:
                path.unlink()
    for folder in store.listdir("")[0]:
        if folder == _PARTS:
            continue
        names = set(store.listdir(folder)[1])
        known = CollectedFile.objects.filter(sha256__in=names).values_list("sha256", flat=True)
        removed += sum(_remove(store, f"{folder}/{name}", oldest) for name in names - set(known))
    return removed


def _remove(store: Storage, name: str, oldest: float) -> bool:
    """Remove one file, unless it has been given again or named meanwhile."""
    with _locked(fcntl.LOCK_EX):
        sha256 = name.rpartition("/")[2]
        with suppress(FileNotFoundError):
            if store.get_modified_time(name).timestamp() >= oldest:
                return False
            if CollectedFile.objects.filter(sha256=sha256).exists():
                return False
            store.delete(name)
            return True
    return False


def _storage() -> Storage:
    return storages[ALIAS]


def _folder(name: str) -> Path:
    folder = Path(settings.STENCIL_DATA) / "collected" / name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


@contextmanager
def _locked(kind: int) -> Iterator[None]:
    folder = _folder(_PARTS).parent
    number = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(number, kind)
        yield
    finally:
        os.close(number)
