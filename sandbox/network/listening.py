"""A listening socket inside of a sandbox's network namespace, without a Stencil process in it.

This module is also the script that makes the socket: a short-lived process, because only a process
of one thread can enter a user namespace. The script enters the namespaces of the sandbox's first
process, listens, and hands the socket over. The user who started the sandbox may do that.
"""

import os
import socket
import sys

_SECONDS = 20.0


def listen(init_pidfd: int, port: int) -> socket.socket:
    """Return a socket that listens on 127.0.0.1 inside. OSError if it cannot be made."""
    from sandbox.isolation import process

    ours, theirs = socket.socketpair()
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        script = os.path.abspath(__file__)  # noqa: PTH100 - as it is
        argv = (sys.executable, "-I", "-S", script, str(port))
        child = process.spawn(argv, (null, null, null, theirs.fileno(), init_pidfd), {})
        theirs.close()
        try:
            ours.settimeout(_SECONDS)
            said, found, _, _ = socket.recv_fds(ours, 200, 1)
        finally:
            child.kill()
            child.wait()
    finally:
        os.close(null)
        ours.close()
        theirs.close()
    if not found:
        text = said.decode("utf-8", "replace") or "it said nothing"
        raise OSError(f"nothing can listen in the cage's network namespace: {text}")
    return socket.socket(fileno=found[0])


def main(port: int, channel: int, pidfd: int) -> None:
    """Enter the namespaces, listen, and hand the socket over."""
    with socket.socket(fileno=channel) as sock:
        try:
            try:
                os.setns(pidfd, os.CLONE_NEWNET)
            except PermissionError:  # it belongs to a user namespace of this user, not to root
                os.setns(pidfd, os.CLONE_NEWUSER | os.CLONE_NEWNET)
            listener = socket.create_server(("127.0.0.1", port), backlog=256)
        except OSError as error:
            sock.sendall(str(error).encode())
            return
        socket.send_fds(sock, [b"."], [listener.fileno()])


if __name__ == "__main__":
    main(int(sys.argv[1]), 3, 4)
