"""Start a web server for a test: on loopback, in a thread, with limits of its own."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.core.handlers.wsgi import WSGIRequest
from django.http.response import HttpResponseBase

from tests.conftest import free_port
from tests.timeouts import HANGS_SECONDS
from webui.server import serving
from webui.server.bounds import Bounds
from webui.server.bridge import Wsgi

View = Callable[[WSGIRequest], HttpResponseBase]


@dataclass
class Web:
    """A running server, and raw connections to it."""

    port: int
    server: serving.Server
    loop: asyncio.AbstractEventLoop
    thread: threading.Thread
    links: list[socket.socket] = field(default_factory=list)

    def link(self, data: bytes = b"", address: str = "127.0.0.1") -> socket.socket:
        """Open a connection and send `data`; it is closed when the test ends."""
        made = socket.create_connection(
            ("127.0.0.1", self.port), HANGS_SECONDS, source_address=(address, 0)
        )
        self.links.append(made)
        made.sendall(data)
        return made

    def ask(self, data: bytes) -> tuple[int, dict[str, str], bytes]:
        """Open a connection and send a request; return status, headers and body of the reply."""
        with self.link(data) as link, link.makefile("rb") as lines:
            return answer(lines)

    def stop(self) -> None:
        """Stop the server as SIGTERM does."""
        self.server.should_exit = True


def answer(lines: Any, *, head: bool = False) -> tuple[int, dict[str, str], bytes]:
    """Read one reply; the status is 0 if the connection ended before a reply."""
    try:
        first = lines.readline()
    except ConnectionResetError:
        return 0, {}, b""
    if not first:
        return 0, {}, b""
    headers: dict[str, str] = {}
    while (line := lines.readline().strip()) != b"":
        name, _, value = line.decode().partition(": ")
        headers[name.lower()] = value
    status = int(first.split()[1])
    if head or status < 200:
        return status, headers, b""
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(lines.readline(), 16):
            body += lines.read(size)
            lines.readline()
        lines.readline()
        return status, headers, body
    if "content-length" in headers:
        return status, headers, lines.read(int(headers["content-length"]))
    return status, headers, lines.read()


def ends(link: socket.socket) -> bytes:
    """Return everything that the server sends before it closes the connection."""
    found = b""
    try:
        while piece := link.recv(65536):
            found += piece
    except ConnectionResetError:
        pass
    return found


def serve(view: View, bounds: Bounds) -> AbstractContextManager[Web]:
    """Return a context manager of a server that calls `view` for every request."""

    def application(environ: dict[str, Any], _start: object) -> HttpResponseBase:
        return view(WSGIRequest(environ))

    return serve_application(application, bounds)


@contextmanager
def serve_application(application: Wsgi, bounds: Bounds) -> Iterator[Web]:
    """Yield a server that calls a WSGI application for every request."""
    started, made = threading.Event(), []
    port = free_port()

    async def run() -> None:
        server = serving.make(application, "127.0.0.1", port, bounds)
        made.append((server, asyncio.get_running_loop()))
        watch = asyncio.create_task(wait_until_started(server))
        await server.serve()
        await watch

    async def wait_until_started(server: serving.Server) -> None:
        while not server.started and not server.should_exit:
            await asyncio.sleep(0.01)
        started.set()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    assert started.wait(HANGS_SECONDS)
    web = Web(port, *made[0], thread)
    try:
        yield web
    finally:
        for link in web.links:
            link.close()
        web.stop()
        thread.join(HANGS_SECONDS)
        assert not thread.is_alive()
