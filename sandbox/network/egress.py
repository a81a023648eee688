"""The only network access of a fetching cage: a proxy that connects to named hosts and ports only.

The proxy listens inside of the cage's network namespace and runs outside, in threads (decision
0016). It knows CONNECT (RFC 9110, 9.3.6), and GET and HEAD in absolute form (RFC 9112, 3.2.2), one
request for each connection. It resolves each name once, when it connects. Requests are foreign
input: lines and headers are bounded, and every wait ends.
"""

import ipaddress
import queue
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from sandbox.network import http_heads
from sandbox.network.http_heads import BadRequestError, Request
from sandbox.network.upstream import Upstream

PORT = 3128  # inside the cage, where nothing else listens
ADDRESS = f"http://127.0.0.1:{PORT}"
HEAD_SECONDS, CONNECT_SECONDS, IDLE_SECONDS = 30.0, 20.0, 120.0
CONNECTIONS = 64  # two threads each, and a build's process has a bound
CHUNK = 64 * 1024
_JOIN_SECONDS = 2.0
# Addresses that a default host name must not resolve to: this machine's and local networks.
_NEAR = tuple(
    map(
        ipaddress.ip_network,
        (
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
            "172.16.0.0/12", "192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3",
            "::/127", "fc00::/7", "fe80::/9", "ff00::/8",
        ),
    )
)  # fmt: skip
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: an IPv4 address in its last bytes

Endpoint = tuple[str, int]  # host in lower case, port


@dataclass(frozen=True, kw_only=True)
class Egress:
    """The allowed hosts of a cage: `named` by the operator at any address, `usual` at public ones.

    Of the named ones, `bare` are sent no credentials where that can be seen, which is without TLS:
    npm follows a redirect to another port of a host with the token of the first.

    `upstream` is the operator's own proxy, which then resolves the names. `seconds` limits the time
    of one connection, `size` the bytes of all connections. `hint` is the end of a refusal's line.
    """

    named: frozenset[Endpoint] = frozenset()
    usual: frozenset[Endpoint] = frozenset()
    bare: frozenset[Endpoint] = frozenset()
    upstream: Upstream = field(default_factory=Upstream)
    seconds: float = 900.0
    size: int = 16 * 1024**3
    hint: str = ""


class RefusedError(Exception):
    """The cage may not reach this endpoint; the message names the endpoint and the reason."""


class Forwarder:
    """A proxy at a listening socket while the context lasts. Its threads read foreign input."""

    def __init__(self, listener: socket.socket, egress: Egress) -> None:
        self._listener, self._egress = listener, egress
        self._refusals: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._stopped = False
        self._left = egress.size
        self._said: set[str] = set()
        self.reached: set[Endpoint] = set()

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._stopped = True
            held = [self._listener, *self._open]
        for sock in held:
            _shut(sock)
        self._listener.close()
        deadline = time.monotonic() + _JOIN_SECONDS
        for thread in self._threads:  # a thread that resolves a name ends with the answer
            thread.join(max(0.0, deadline - time.monotonic()))

    def refusals(self) -> list[str]:
        """Return the refusals since the last call, one for each endpoint."""
        found = []
        while not self._refusals.empty():
            found.append(self._refusals.get())
        return found

    def _start(self, act: Callable[..., None], *given: object) -> threading.Thread | None:
        """Start a thread; return None if this process may have no more."""
        thread = threading.Thread(target=act, args=given, name="egress", daemon=True)
        self._threads = [other for other in self._threads if other.is_alive()]
        with suppress(RuntimeError, MemoryError):
            thread.start()
            self._threads.append(thread)
            return thread
        return None

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                if self._stopped:
                    return
                time.sleep(0.05)  # no descriptor is free: wait until a connection ends
                continue
            if not self._keep(client):
                client.close()
            elif self._start(self._serve, client) is None:
                self._drop(client)

    def _keep(self, sock: socket.socket) -> bool:
        with self._lock:
            if self._stopped or len(self._open) >= 2 * CONNECTIONS:
                return False
            self._open.add(sock)
            return True

    def _drop(self, sock: socket.socket) -> None:
        with self._lock:
            self._open.discard(sock)
        sock.close()

    def _serve(self, client: socket.socket) -> None:
        try:
            client.settimeout(HEAD_SECONDS)
            head, rest = http_heads.read(client, time.monotonic() + HEAD_SECONDS)
            self._answer(client, http_heads.request(head), rest)
        except BadRequestError as error:
            _reply(client, 400, str(error))
        except RefusedError as error:
            self._record_refusal(str(error))
            _reply(client, 403, str(error))
        except OSError as error:
            _reply(client, 502, f"no connection: {error.strerror or type(error).__name__}")
        finally:
            self._drop(client)

    def _record_refusal(self, text: str) -> None:
        with self._lock:
            if text in self._said or len(self._said) >= 100:
                return
            self._said.add(text)
        self._refusals.put(text)

    def _answer(self, client: socket.socket, request: Request, rest: bytes) -> None:
        endpoint = (request.host, request.port)
        if endpoint not in self._egress.named | self._egress.usual:
            shown = f"{request.host}:{request.port}"
            raise RefusedError(f"The way to {shown} is closed. {self._egress.hint}".strip())
        with self._lock:
            self.reached.add(endpoint)
        server = self._dial(request)
        if not self._keep(server):
            server.close()
            return
        try:
            if request.connect:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                server.sendall(rest)
                self._relay(client, server)
            else:
                proxied = self._egress.upstream.for_host("http", request.host)
                if endpoint in self._egress.bare:
                    request = request.without_credentials()
                server.sendall(request.onward(proxied.authorization if proxied else None))
                head, rest = http_heads.read(server, time.monotonic() + IDLE_SECONDS)
                client.sendall(http_heads.closing(head) + rest)
                self._relay(client, server)
        finally:
            self._drop(server)

    def _dial(self, request: Request) -> socket.socket:
        scheme = "https" if request.connect else "http"
        proxy = self._egress.upstream.for_host(scheme, request.host)
        if proxy is None:
            return self._direct(request.host, request.port)
        server = socket.create_connection((proxy.host, proxy.port), CONNECT_SECONDS)
        try:
            server.settimeout(IDLE_SECONDS)
            if request.connect:
                proxy.tunnel(server, request.host, request.port)
        except BaseException:
            server.close()
            raise
        return server

    def _direct(self, host: str, port: int) -> socket.socket:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        if (host, port) not in self._egress.named:
            found = [item for item in found if not near(str(item[4][0]))]
            if not found:
                raise RefusedError(
                    f"{host} has no public address, and it is not configured: a registry in your "
                    "own network must be configured by name."
                )
        trouble: OSError = OSError("no address")
        for family, kind, protocol, _, address in found:
            sock = socket.socket(family, kind, protocol)
            sock.settimeout(CONNECT_SECONDS)
            try:
                sock.connect(address)
            except OSError as error:
                sock.close()
                trouble = error
                continue
            sock.settimeout(IDLE_SECONDS)
            return sock
        raise trouble

    def _relay(self, client: socket.socket, server: socket.socket) -> None:
        """Carry bytes both ways until the server ends, or until time or bytes are used up."""
        deadline = time.monotonic() + self._egress.seconds
        for sock in (client, server):
            sock.settimeout(IDLE_SECONDS)
        back = self._start(self._carry, client, server, deadline)
        if back is None:
            return
        self._carry(server, client, deadline)
        for sock in (client, server):  # after the server's end the rest of the bytes is dropped
            _shut(sock)
        back.join(_JOIN_SECONDS)

    def _carry(self, source: socket.socket, sink: socket.socket, deadline: float) -> None:
        try:
            while data := source.recv(CHUNK):
                with self._lock:
                    self._left -= len(data)
                    over = self._left < 0
                if over or time.monotonic() > deadline:
                    what = f"more than {self._egress.size} bytes" if over else "too long"
                    self._record_refusal(f"A connection was ended: it took {what}.")
                    break
                sink.sendall(data)
            else:
                sink.shutdown(socket.SHUT_WR)
                return
        except OSError:  # the other end is gone, or it sent nothing for too long
            pass
        _shut(source)
        _shut(sink)


def near(address: str) -> bool:
    """Return whether an address is loopback, link-local, private, multicast, reserved or ours."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo or (None, None))[1]
        if inner is None and found in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return near(str(inner))
    return any(found in network for network in _NEAR if network.version == found.version) or _own(
        found
    )


def _own(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Return whether the address is one of this machine; no packet is sent to find out."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((str(address), 9))
        except OSError:
            return False  # no route: the connection will fail
        mine = str(sock.getsockname()[0]).partition("%")[0]
        return ipaddress.ip_address(mine) == address


def _reply(client: socket.socket, status: int, text: str) -> None:
    body = text.encode("utf-8", "replace")
    head = (
        f"HTTP/1.1 {status} {'Forbidden' if status == 403 else 'Refused'}\r\n"
        f"Content-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    try:
        client.sendall(head.encode() + body)
    except OSError:
        return


def _shut(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:  # it is closed, or never was connected
        return
