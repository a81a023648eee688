"""Test the end of the first process of a forked sandbox, as the host learns it."""

import os
import socket
import struct
import subprocess

import pytest

from sandbox.isolation.forked import ForkedChild


def ended_child(*, said: bytes, unread: bytes = b"") -> ForkedChild:
    """Return a child that has ended after it wrote `said`, and did not read `unread`."""
    ours, theirs = socket.socketpair()
    ours.sendall(unread)
    theirs.sendall(said)
    theirs.close()
    process = subprocess.Popen(["true"])
    pidfd = os.pidfd_open(process.pid)
    process.wait()
    return ForkedChild(pid=process.pid, pidfd=pidfd, status=ours)


@pytest.mark.parametrize(
    ("said", "unread", "code", "status"),
    [
        (struct.pack("=i", 3 << 8), b"", 3, 3),
        (struct.pack("=i", 9), b"", -9, 137),
        (b"", b"", None, 137),
        (b"\0", b"", None, 137),
        # Killed before it read the host's message: the kernel then resets the connection.
        (b"", b"g", None, 137),
    ],
)
def test_the_end_of_a_child(said: bytes, unread: bytes, code: int | None, status: int) -> None:
    child = ended_child(said=said, unread=unread)
    assert child.code() == code
    assert child.wait() == status
    assert child.status.fileno() == -1
