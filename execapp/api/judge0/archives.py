"""Files of `additional_files`: a zip archive, read in memory within bounds."""

import base64
import io
import stat
import zipfile
import zlib

from execapp.conf import sizes


class ArchiveError(ValueError):
    """The archive is refused; the message is the reason."""


def files(data: bytes, *, most_bytes: int) -> list[dict[str, str]]:
    """Return the files of an archive, for a `SubmissionRequest`. Raises ArchiveError.

    Names are checked with the submission. Links and encrypted files are refused, and no more than
    `most_bytes` are unpacked, whatever the archive says of its sizes.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _read(archive, most_bytes)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError):
        message = "is not a readable zip archive"
        raise ArchiveError(message) from None


def _read(archive: zipfile.ZipFile, left: int) -> list[dict[str, str]]:
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    if len(entries) > sizes().max_files:
        message = f"has more than {sizes().max_files} files"
        raise ArchiveError(message)
    found = []
    for entry in entries:
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in {0, stat.S_IFREG} or entry.flag_bits & 1:
            message = "has links, special files or encrypted files"
            raise ArchiveError(message)
        with archive.open(entry) as file:
            content = file.read(left + 1)
        left -= len(content)
        if left < 0:
            message = "is too large when unpacked"
            raise ArchiveError(message)
        text = base64.b64encode(content).decode()
        found.append({"path": entry.filename, "content": text, "encoding": "base64"})
    return found
