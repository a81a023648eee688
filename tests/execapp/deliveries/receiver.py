"""A real HTTP receiver on loopback that answers as a test says, and one that speaks raw bytes."""

import hashlib
import hmac
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass
class Got:
    """One received request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Reply:
    """The answer to a request. `hold` is waited for before anything is sent."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"thanks"
    hold: threading.Event | None = None


type Answerer = Callable[[Got], Reply]


class Receiver:
    """Receives requests in threads. `answer` may be replaced at any time."""

    def __init__(self, host: str = "127.0.0.1", context: ssl.SSLContext | None = None) -> None:
        self.host, self.got = host, list[Got]()
        self.connections = 0
        self.answer: Answerer = lambda _: Reply()
        self.arrived = threading.Semaphore(0)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", "0"))
                heads = {name.lower(): value for name, value in self.headers.items()}
                got = Got(self.command, self.path, heads, self.rfile.read(length))
                receiver.got.append(got)
                receiver.arrived.release()
                reply = receiver.answer(got)
                if reply.hold is not None:
                    reply.hold.wait()
                with suppress(OSError):
                    self.send_response(reply.status)
                    for name, value in reply.headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(reply.body)))
                    self.end_headers()
                    self.wfile.write(reply.body)

            do_PUT = do_GET = do_POST  # noqa: N815 - names of http.server

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
            daemon_threads = True

            def get_request(self) -> Any:
                found = super().get_request()
                receiver.connections += 1
                return found

            def handle_error(self, *_: object) -> None:
                pass

        self._server = Server((host, 0), Handler)
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/hook?from=stencil"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def raw_receiver(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve each connection by a function on its socket, in threads; yield the port."""
    listening = socket.create_server(("127.0.0.1", 0))

    def one(accepted: socket.socket) -> None:
        with accepted, suppress(OSError):
            serve(accepted)

    def accept() -> None:
        with suppress(OSError):
            while True:
                accepted, _ = listening.accept()
                threading.Thread(target=one, args=(accepted,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


def verified(got: Got, *secrets: str) -> list[bool]:
    """Say for each secret whether the request carries a signature by it; independent of ours."""
    fields = [part.split("=", 1) for part in got.headers["stencil-signature"].split(",")]
    (time,) = [value for name, value in fields if name == "t"]
    given = [value for name, value in fields if name == "v1"]
    return [
        hmac.new(secret.encode(), time.encode() + b"." + got.body, hashlib.sha256).hexdigest()
        in given
        for secret in secrets
    ]


def names(monkeypatch: pytest.MonkeyPatch, table: dict[str, list[str]]) -> list[str]:
    """Resolve these names; each question takes one answer, the last one stays. Return the asked."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def resolver(host: str, port: int, *args: Any, **more: Any) -> list[Any]:
        if host not in table:
            return real(host, port, *args, **more)
        asked.append(host)
        answers = table[host]
        address = answers.pop(0) if len(answers) > 1 else answers[0]
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [(family, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    return asked
