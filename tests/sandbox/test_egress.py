"""Test the proxy of the fetch step with real sockets on loopback and hostile requests."""

import base64
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sandbox.network import egress, http_heads, upstream
from sandbox.network.egress import Egress, Forwarder, near
from sandbox.network.http_heads import BadRequestError
from sandbox.network.upstream import Upstream

TIMEOUT_SECONDS = 20.0


class Registry(BaseHTTPRequestHandler):
    """Answers with the request; keeps its connections open, as registries do."""

    protocol_version = "HTTP/1.1"
    asked: list[tuple[str, dict[str, str]]]

    def do_GET(self) -> None:
        self.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
        body = b"bytes of " + self.path.encode()
        self.send_response(302 if self.path == "/elsewhere" else 200)
        if self.path == "/elsewhere":
            self.send_header("Location", "http://127.0.0.1:9/")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def registry() -> Iterator[ThreadingHTTPServer]:
    handler = type("Handler", (Registry,), {"asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def asked_of(server: ThreadingHTTPServer) -> list[tuple[str, dict[str, str]]]:
    found: list[tuple[str, dict[str, str]]] = server.RequestHandlerClass.asked  # type: ignore[attr-defined]
    return found


Ask = Callable[..., bytes]


@pytest.fixture
def ask() -> Ask:
    """Send bytes to a forwarder with this egress; return all bytes of the answer."""
    refusals: list[str] = []

    def send(way: Egress, data: bytes, *, then: bytes = b"") -> bytes:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            place = listener.getsockname()
            with Forwarder(listener, way) as forwarder, socket.create_connection(place) as client:
                client.settimeout(TIMEOUT_SECONDS)
                client.sendall(data)
                answer = b""
                if then:
                    answer = client.recv(4096)
                    client.sendall(then)
                with suppress(ConnectionResetError):  # the forwarder has not even read the request
                    while more := client.recv(65536):
                        answer += more
                refusals.extend(forwarder.refusals())
                return answer

    send.refusals = refusals  # type: ignore[attr-defined]
    return send


def to(server: ThreadingHTTPServer, **more: object) -> Egress:
    return Egress(named=frozenset({("127.0.0.1", server.server_port)}), **more)  # type: ignore[arg-type]


def test_a_named_registry_is_reached_by_get(registry: ThreadingHTTPServer, ask: Ask) -> None:
    place = f"127.0.0.1:{registry.server_port}"
    request = (
        f"GET http://{place}/a?b HTTP/1.1\r\nHost: other\r\nAuthorization: Bearer x\r\n"
        "Proxy-Authorization: Basic y\r\nConnection: keep-alive\r\n\r\n"
    )
    answer = ask(to(registry), request.encode())
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"bytes of /a?b")
    [(path, fields)] = asked_of(registry)
    assert (path, fields["host"], fields["authorization"]) == ("/a?b", place, "Bearer x")
    assert fields["connection"] == "close"
    assert "proxy-authorization" not in fields


def test_a_named_registry_is_reached_by_a_tunnel(registry: ThreadingHTTPServer, ask: Ask) -> None:
    request = f"CONNECT 127.0.0.1:{registry.server_port} HTTP/1.1\r\n\r\n".encode()
    inner = b"GET /inside HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = ask(to(registry), request, then=inner)
    assert answer.startswith(b"HTTP/1.1 200 Connection established\r\n\r\nHTTP/1.1 200")
    assert answer.endswith(b"bytes of /inside")


def other_ports(port: int) -> list[str]:
    return [f"127.0.0.1:{port - 1}", f"localhost:{port}", f"127.0.0.2:{port}", f"[::1]:{port}",
            f"[::ffff:127.0.0.1]:{port}", f"2130706433:{port}", f"127.1:{port}", f"0:{port}",
            "169.254.169.254:80", f"127.0.0.1.:{port}"]  # fmt: skip


@pytest.mark.parametrize("number", range(10))
def test_a_host_that_is_not_named_exactly_is_refused_by_get_and_tunnel(
    registry: ThreadingHTTPServer, ask: Ask, number: int
) -> None:
    place = other_ports(registry.server_port)[number]
    way = to(registry, hint="Name it.")
    for line in (f"CONNECT {place}", f"GET http://{place}/"):
        answer = ask(way, f"{line} HTTP/1.1\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 403")
        assert b"is closed. Name it." in answer
    assert "is closed. Name it." in ask.refusals[0]  # type: ignore[attr-defined]
    assert asked_of(registry) == []


def test_a_redirect_to_another_host_is_refused(registry: ThreadingHTTPServer, ask: Ask) -> None:
    place = f"127.0.0.1:{registry.server_port}"
    answer = ask(to(registry), f"GET http://{place}/elsewhere HTTP/1.1\r\n\r\n".encode())
    assert b"Location: http://127.0.0.1:9/" in answer  # the client follows it
    assert b"403" in ask(to(registry), b"GET http://127.0.0.1:9/ HTTP/1.1\r\n\r\n")


def test_a_usual_name_must_have_a_public_address(
    registry: ThreadingHTTPServer, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Use a host of the default list, and a resolver that answers 127.0.0.1."""
    port = registry.server_port
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda _host, *a, **k: real("127.0.0.1", *a, **k),
    )
    request = f"GET http://registry.example:{port}/ HTTP/1.1\r\n\r\n".encode()
    usual = Egress(usual=frozenset({("registry.example", port)}))
    assert b"no public address" in ask(usual, request)
    assert asked_of(registry) == []
    named = Egress(named=frozenset({("registry.example", port)}))
    assert ask(named, request).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "127.9.9.9", "0.0.0.0",  # noqa: S104 - none is bound
     "10.0.0.1", "172.16.0.1", "172.31.255.255",
     "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1",
     "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00::1", "ff02::1", "::ffff:127.0.0.1",
     "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "198.18.0.1", "fec0::1"],
)  # fmt: skip
def test_private_and_reserved_addresses_are_near(address: str) -> None:
    assert near(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "172.32.0.1", "2606:4700::1111", "100.128.0.1"])
def test_public_addresses_are_not_near(address: str) -> None:
    assert not near(address)


def test_addresses_of_this_machine_are_near() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("8.8.8.8", 9))  # connecting a UDP socket sends no packet
        except OSError:
            return  # loopback is the only network: there is no other address
        assert near(sock.getsockname()[0])


@pytest.mark.parametrize(
    "head",
    [
        b"", b"GET / HTTP/1.1", b"GET /x HTTP/1.1\r\nHost: a", b"POST http://a/ HTTP/1.1",
        b"PUT http://a/ HTTP/1.1", b"GET https://a/ HTTP/1.1", b"GET file:///etc/passwd HTTP/1.1",
        b"GET ftp://a/ HTTP/1.1", b"GET http:///x HTTP/1.1", b"GET http://a:0/ HTTP/1.1",
        b"GET http://a:99999/ HTTP/1.1", b"GET http://a:x/ HTTP/1.1", b"CONNECT a HTTP/1.1",
        b"CONNECT a:443/x HTTP/1.1", b"CONNECT u@a:443 HTTP/1.1", b"CONNECT [::1:443 HTTP/1.1",
        b"GET http://a/ HTTP/1.1\r\nContent-Length: 5", b"GET http://a/ HTTP/2",
        b"GET http://a/ HTTP/1.1\r\nTransfer-Encoding: chunked", b"GET  http://a/ HTTP/1.1",
        b"GET http://a/ HTTP/1.1\r\n folded: x", b"GET http://a/ HTTP/1.1\r\nA: b\nC: d",
        b"GET http://a/\x00 HTTP/1.1", b"GET http://a\xc3\xa4/ HTTP/1.1", b"get http://a/ HTTP/1.1",
        b"GET http://a/ HTTP/1.1\r\nA b: c", b"CONNECT a:443 HTTP/1.1\r\nA: \x00",
        b"GET http://a\\@b/ HTTP/1.1", b"GET http://[fe80::1%25eth0]/ HTTP/1.1",
    ],
)  # fmt: skip
def test_a_malformed_request_is_refused(head: bytes) -> None:
    with pytest.raises(BadRequestError):
        http_heads.request(head)


def test_a_user_in_an_address_is_not_the_host() -> None:
    found = http_heads.request(b"GET http://good.example:80@evil.example/ HTTP/1.1")
    assert (found.host, found.port) == ("evil.example", 80)


def test_a_head_without_end_is_bounded(registry: ThreadingHTTPServer, ask: Ask) -> None:
    answer = ask(to(registry), b"GET http://a/ HTTP/1.1\r\n" + b"A: b\r\n" * 40_000)
    assert answer.startswith(b"HTTP/1.1 400") or answer == b""


def test_a_connection_without_a_head_times_out(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(egress, "HEAD_SECONDS", 0.2)
    assert ask(Egress(), b"CONN").startswith(b"HTTP/1.1 502")


def test_bytes_are_bounded(registry: ThreadingHTTPServer, ask: Ask) -> None:
    place = f"127.0.0.1:{registry.server_port}"
    request = f"GET http://{place}/{'x' * 9000} HTTP/1.1\r\n\r\n".encode()
    assert len(ask(to(registry), request)) > 9000
    tunnel = f"CONNECT {place} HTTP/1.1\r\n\r\n".encode()
    inner = f"GET /{'x' * 9000} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    assert len(ask(to(registry, size=5000), tunnel, then=inner)) < 200
    assert "more than 5000 bytes" in ask.refusals[-1]  # type: ignore[attr-defined]


def test_the_end_of_the_context_ends_every_connection(registry: ThreadingHTTPServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        place = listener.getsockname()
        with Forwarder(listener, to(registry)) as forwarder:
            client = socket.create_connection(place)
            client.sendall(f"CONNECT 127.0.0.1:{registry.server_port} HTTP/1.1\r\n\r\n".encode())
            client.settimeout(TIMEOUT_SECONDS)
            assert client.recv(100).startswith(b"HTTP/1.1 200")
        assert client.recv(1) == b""
        client.close()
        assert forwarder.reached == {("127.0.0.1", registry.server_port)}
        assert not any(thread.is_alive() for thread in forwarder._threads)


def test_the_operators_proxy_is_used_and_its_password_stays_outside(
    registry: ThreadingHTTPServer, ask: Ask
) -> None:
    """Let the registry play the operator's proxy and check the request that it gets."""
    proxy = upstream.parse(f"http://me:p%40ss@127.0.0.1:{registry.server_port}")
    way = Egress(
        named=frozenset({("registry.example", 80), ("near.example", 80)}),
        upstream=Upstream(proxies={"http": proxy}, without="near.example"),
    )
    assert "p@ss" not in repr(way)
    answer = ask(way, b"GET http://registry.example/x HTTP/1.1\r\n\r\n")
    assert answer.endswith(b"bytes of http://registry.example/x")
    [(_, fields)] = asked_of(registry)
    assert base64.b64decode(fields["proxy-authorization"].removeprefix("Basic ")) == b"me:p@ss"
    assert b"me:p" not in answer
    assert way.upstream.for_host("http", "near.example") is None
    assert way.upstream.for_host("http", "sub.near.example") is None
    assert way.upstream.for_host("http", "far-near.example") is not None


def test_a_tunnel_goes_through_the_operators_proxy(ask: Ask) -> None:
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def play() -> None:
            sock, _ = server.accept()
            with sock:
                seen.append(sock.recv(4096))
                sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                seen.append(sock.recv(4096))
                sock.sendall(b"answer")

        thread = threading.Thread(target=play)
        thread.start()
        proxy = upstream.parse(f"me:x@127.0.0.1:{server.getsockname()[1]}")
        place = frozenset({("registry.example", 443)})
        way = Egress(named=place, upstream=Upstream(proxies={"https": proxy}))
        answer = ask(way, b"CONNECT registry.example:443 HTTP/1.1\r\n\r\n", then=b"hello")
        thread.join(TIMEOUT_SECONDS)
    assert seen[0].startswith(b"CONNECT registry.example:443 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic bWU6eA==" in seen[0]
    assert (seen[1], answer.rpartition(b"\r\n\r\n")[2]) == (b"hello", b"answer")


@pytest.mark.parametrize(
    "address", ["https://p.example", "socks5://me:s3cret@p.example:1", "http://"]
)
def test_another_kind_of_proxy_is_refused_without_showing_its_address(address: str) -> None:
    with pytest.raises(ValueError, match="proxy") as caught:
        upstream.parse(address)
    assert "s3cret" not in str(caught.value)
