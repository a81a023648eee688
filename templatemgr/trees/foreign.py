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
    text = " ".join(str(cause).split())[:300]
    return f"{type(cause).__name__}: {text}" if text else type(cause).__name__


def read_file(path: Path, *, most: int) -> bytes:
    """Return the bytes of a regular file. Follow no link and wait for no pipe.

    Raises OSError, and ValueError if it is no regular file or larger than `most` bytes.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags), "rb") as file:
        info = os.fstat(file.fileno())
        if not stat.S_ISREG(info.st_mode):
            message = "it is not a regular file"
            raise ValueError(message)
        data = file.read(most + 1) if info.st_size <= most else b""
    if info.st_size > most or len(data) > most:
        message = f"it is larger than {most} bytes"
        raise ValueError(message)
    return data


def gunzip(data: bytes, *, most: int) -> bytes:
    """Return the content of one gzip member.

    Raises zlib.error for damage, ValueError when it is cut short, over `most` or followed by more.
    """
    unpacker, parts, size, rest = zlib.decompressobj(31), [], 0, data
    while not unpacker.eof:
        part = unpacker.decompress(rest, _CHUNK)
        rest = unpacker.unconsumed_tail
        size += len(part)
        if size > most:
            message = f"it unpacks to more than {most} bytes"
            raise ValueError(message)
        parts.append(part)
        if not rest and len(part) < _CHUNK:  # the decompressor has no more output, either
            break
    if not unpacker.eof:
        message = "it ends too early"
        raise ValueError(message)
    if unpacker.unused_data:
        message = f"{len(unpacker.unused_data)} bytes follow its end"
        raise ValueError(message)
    return b"".join(parts)
