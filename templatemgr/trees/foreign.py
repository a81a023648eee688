"""Read foreign files: the result is a value or one kind of error, for any content.

A file on disk may have changed since Stencil wrote it. A reader that lists the expected exceptions
lets unexpected ones through, so these functions convert every exception.
"""

import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CHUNK = 1 << 16


@contextmanager
def reading(what: str, error: type[Exception]) -> Iterator[None]:
    """Raise `error`, which takes one sentence, for any exception inside, MemoryError too."""
    try:
        yield
    except error:
        raise
    except Exception as cause:
        message = f"{what} cannot be read: {reason(cause)}"
        raise error(message) from cause


def reason(cause: BaseException) -> str:
    """Return an exception as text: the system's message, or its type and its text, shortened."""
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    text = printable(" ".join(str(cause).split()))[:300]
    if isinstance(cause, OSError) and text:  # one of our own, with a sentence instead of a number
        return text
    return f"{type(cause).__name__}: {text}" if text else type(cause).__name__


def printable(text: str) -> str:
    """Return text that a terminal, a row and a response can carry: bytes not UTF-8 are escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def read_file(path: Path, *, most: int) -> bytes:
    """Return the bytes of a regular file. Follow no link, wait for no pipe, open no device.

    Raises OSError, and ValueError if it is no regular file or larger than `most` bytes.
    """
    if not stat.S_ISREG(path.lstat().st_mode):  # to open a device can change it
        message = "it is not a regular file"
        raise ValueError(message)
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags), "rb") as file:
        info = os.fstat(file.fileno())
        if not stat.S_ISREG(info.st_mode):
            message = "it is not a regular file"
            raise ValueError(message)
        # Not `most`: so much memory would be taken at once, also for a small file.
        data = file.read(info.st_size + 1) if info.st_size <= most else b""
    if max(info.st_size, len(data)) > most:
        message = f"it is larger than {most} bytes"
        raise ValueError(message)
    return data


def gunzip(data: bytes, *, most: int) -> Iterator[bytes]:
    """Yield the content of one gzip member in parts of at most 64 KiB.

    Raises zlib.error for damage, ValueError when it is cut short, over `most` or followed by more.
    """
    unpacker, size, rest, place = zlib.decompressobj(31), 0, b"", 0
    while not unpacker.eof:
        if not rest:  # in small pieces, because zlib copies what it does not use yet
            rest, place = data[place : place + _CHUNK], place + _CHUNK
        part = unpacker.decompress(rest, _CHUNK)
        if not rest and not part and not unpacker.eof:
            message = "it ends too early"
            raise ValueError(message)
        rest = unpacker.unconsumed_tail
        size += len(part)
        if size > most:
            message = f"it unpacks to more than {most} bytes"
            raise ValueError(message)
        yield part
    left = len(unpacker.unused_data) + len(data) - min(place, len(data))
    if left:
        message = f"{left} bytes follow its end"
        raise ValueError(message)
