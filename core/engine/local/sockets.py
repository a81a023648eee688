"""The address of an executor's Unix socket, and connections to it."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

CONNECT_SECONDS = 1.0
ADDRESS_BYTES = 100  # the kernel's own limit is 108 with the final NUL


def socket_path() -> Path:
    """Return the path on which the executor of this data directory listens."""
    return Path(settings.STENCIL_DATA) / "executor.sock"


@contextlib.contextmanager
def short_address(path: Path) -> Iterator[str]:
    """Give an address of `path` that fits into a socket address, however deep the directory is."""
    if len(os.fsencode(path)) <= ADDRESS_BYTES:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


@contextlib.contextmanager
def connect() -> Iterator[socket.socket]:
    """Give a connection to the executor. Raises OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(CONNECT_SECONDS)
        with short_address(socket_path()) as address:
            link.connect(address)
        yield link
