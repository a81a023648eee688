"""Test one attempt against real receivers: address, TLS by name, redirects, time and size."""

import datetime as dt
import socket
import ssl
import threading
import time
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from execapp.deliveries import sending
from execapp.deliveries.rules import Rules
from execapp.deliveries.sending import Answer, Cutter, Message
from tests.execapp.deliveries.conftest import LOOPBACK, RULES
from tests.execapp.deliveries.receiver import Receiver, Reply, names, raw_receiver
from tests.timeouts import HANGS_SECONDS

type MakeReceiver = Callable[..., Receiver]
BODY = b'{"id":"1"}'


def send(url: str, rules: Rules = RULES, method: str = "POST") -> Answer:
    message = Message(method=method, url=url, headers={"Stencil-Event": "x"}, body=BODY)
    return sending.send(message, rules=rules, cutter=Cutter())


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_message_arrives_whole(receiver: Receiver, method: str) -> None:
    answer = send(receiver.url, method=method)
    assert (answer.status, answer.error, answer.text) == (200, "", "thanks")
    assert answer.accepted
    assert answer.duration_ms > 0
    (got,) = receiver.got
    assert (got.method, got.path, got.body) == (method, "/hook?from=stencil", BODY)
    assert got.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert got.headers["stencil-event"] == "x"


def test_a_receiver_on_ipv6(make_receiver: MakeReceiver) -> None:
    receiver = make_receiver(host="::1")
    assert send(receiver.url).accepted
    assert receiver.got[0].headers["host"] == f"[::1]:{receiver.port}"


@pytest.mark.parametrize("status", [199, 204, 303, 400, 410, 429, 500, 599])
def test_only_a_status_of_the_class_2xx_is_accepted(receiver: Receiver, status: int) -> None:
    receiver.answer = lambda _: Reply(status=status, body=b"")
    if status == 199:
        receiver.answer = lambda _: Reply(status=999, body=b"")
    answer = send(receiver.url)
    assert answer.accepted == (status == 204)


def test_a_name_connects_to_the_checked_address_and_keeps_its_host(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second answer of the resolver leads to another address: it is never asked for."""
    asked = names(monkeypatch, {"rebind.example": ["127.0.0.1", "127.0.0.2"]})
    assert send(f"http://rebind.example:{receiver.port}/").accepted
    assert asked == ["rebind.example"]
    assert receiver.got[0].headers["host"] == f"rebind.example:{receiver.port}"


@pytest.mark.parametrize(
    "address", ["127.0.0.2", "10.0.0.1", "::ffff:127.0.0.2", "fd00::1", "64:ff9b::7f00:2"]
)
def test_a_name_with_a_private_address_is_not_connected_to(
    make_receiver: MakeReceiver, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    trap = make_receiver(host="127.0.0.2")
    names(monkeypatch, {"inside.example": [address]})
    answer = send(f"http://inside.example:{trap.port}/")
    assert (answer.status, answer.accepted) == (None, False)
    assert answer.error == "The host has no public address."
    assert address not in answer.error
    assert trap.connections == 0


def test_localhost_is_refused_by_the_real_resolver(make_receiver: MakeReceiver) -> None:
    trap = make_receiver()
    nothing = Rules(networks=(), seconds=20.0)
    for host in ("localhost", "127.0.0.1", "127.1", "0"):
        assert "not public" in send(f"http://{host}:{trap.port}/", nothing).error
    only_by_name = Rules(networks=(ip_network("127.0.0.1/32"),), seconds=20.0)
    assert send(f"http://localhost:{trap.port}/", only_by_name).accepted
    assert trap.connections == 1


def test_a_name_that_does_not_exist() -> None:
    answer = send("http://does-not-exist.invalid/")
    assert answer.error == "The name of the host could not be resolved."


def test_a_port_without_a_receiver() -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    assert send(f"http://127.0.0.1:{port}/").error == "The connection failed: Connection refused."


# Redirects


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_followed_with_the_same_request(receiver: Receiver, status: int) -> None:
    receiver.answer = lambda got: (
        Reply(status=status, headers={"Location": "/there"}) if got.path != "/there" else Reply()
    )
    assert send(receiver.url).accepted
    assert [(got.method, got.path, got.body) for got in receiver.got] == [
        ("POST", "/hook?from=stencil", BODY),
        ("POST", "/there", BODY),
    ]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize(
    "location",
    [
        *("http://127.0.0.2:{port}/", "//127.0.0.2:{port}/", "http://[::ffff:127.0.0.2]:{port}/"),
        *("http://inside.example:{port}/", "https://127.0.0.1:{port}/", "file:///etc/passwd"),
        *("gopher://127.0.0.2:{port}/", "http://a@127.0.0.2:{port}/", "http://169.254.169.254/"),
    ],
)
def test_a_redirect_to_a_refused_address_is_not_followed(
    receiver: Receiver,
    make_receiver: MakeReceiver,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    location: str,
) -> None:
    trap = make_receiver(host="127.0.0.2")
    names(monkeypatch, {"inside.example": ["127.0.0.2"]})
    there = location.format(port=trap.port)
    receiver.answer = lambda _: Reply(status=status, headers={"Location": there})
    answer = send(receiver.url)
    assert (answer.status, answer.accepted) == (status, False)
    assert answer.error.startswith("The redirect is refused: ")
    assert (trap.connections, receiver.connections) == (0, 1)


def test_redirects_are_bounded(receiver: Receiver) -> None:
    receiver.answer = lambda _: Reply(status=307, headers={"Location": "/again"})
    answer = send(receiver.url)
    assert answer.error == "There are more than 3 redirects."
    assert receiver.connections == 4


def test_see_other_is_not_followed(receiver: Receiver) -> None:
    receiver.answer = lambda _: Reply(status=303, headers={"Location": "/there"})
    assert not send(receiver.url).accepted
    assert receiver.connections == 1


# Slow and large answers


def request_head(connection: socket.socket) -> None:
    got = b""
    while BODY not in got:
        got += connection.recv(65536)


def drip(connection: socket.socket) -> None:
    """Send a header that never ends, a byte at a time."""
    request_head(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        connection.sendall(b"a")
        time.sleep(0.05)


def silent(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


def endless_interim(connection: socket.socket) -> None:
    request_head(connection)
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.05)


def never_reads(connection: socket.socket) -> None:
    time.sleep(HANGS_SECONDS)


@pytest.mark.parametrize("serve", [drip, silent, endless_interim, never_reads])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_receiver_that_does_not_end_is_cut(
    serve: Callable[[socket.socket], None], scheme: str
) -> None:
    """One second is less than each of these receivers takes, by two minutes."""
    rules = Rules(networks=LOOPBACK, seconds=1.0)
    with raw_receiver(serve) as port:
        found: list[Answer] = []
        url = f"{scheme}://127.0.0.1:{port}/"
        sending_thread = threading.Thread(
            target=lambda: found.append(send(url, rules)), daemon=True
        )
        sending_thread.start()
        sending_thread.join(HANGS_SECONDS / 2)
        assert not sending_thread.is_alive()
    assert not found[0].accepted
    assert found[0].error in (
        "There was no complete answer within 1 seconds.",
        "The receiver did not answer in time.",
    )


def test_of_a_huge_answer_only_the_beginning_is_read() -> None:
    sent = 0

    def flood(connection: socket.socket) -> None:
        nonlocal sent
        request_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)
            sent += 65536

    with raw_receiver(flood) as port:
        answer = send(f"http://127.0.0.1:{port}/")
    assert answer.accepted
    assert answer.text == "x" * 1000
    assert sent < 64 * 1024 * 1024


def test_a_body_that_never_ends_does_not_change_the_status() -> None:
    stop = threading.Event()

    def half(connection: socket.socket) -> None:
        request_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhal\xff\0")
        stop.wait()

    with raw_receiver(half) as port:
        answer = send(f"http://127.0.0.1:{port}/")
        stop.set()
    assert answer.accepted
    assert answer.text == "hal��"


@pytest.mark.parametrize(
    "said",
    [
        *(b"", b"\0\0\0\0", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/9 200\r\n\r\n"),
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://[\r\n\r\n",
    ],
)
def test_an_odd_answer_ends_the_attempt_without_an_exception(said: bytes) -> None:
    def speak(connection: socket.socket) -> None:
        request_head(connection)
        connection.sendall(said)

    with raw_receiver(speak) as port:
        answer = send(f"http://127.0.0.1:{port}/")
    assert answer.status in (None, 200, 302)
    assert answer.error or answer.status == 200
    assert len(answer.error) <= 300


def test_the_end_of_the_executor_cuts_an_attempt(receiver: Receiver) -> None:
    hold = threading.Event()
    receiver.answer = lambda _: Reply(hold=hold)
    cutter, found = Cutter(), list[Answer]()
    message = Message(method="POST", url=receiver.url, headers={}, body=BODY)
    rules = Rules(networks=LOOPBACK, seconds=HANGS_SECONDS * 2)
    thread = threading.Thread(
        target=lambda: found.append(sending.send(message, rules=rules, cutter=cutter))
    )
    thread.start()
    assert receiver.arrived.acquire(timeout=HANGS_SECONDS)
    cutter.cut(stopping=True)
    thread.join(HANGS_SECONDS)
    hold.set()
    assert cutter.stopped
    assert not found[0].accepted


# TLS


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """Return a server's context for receiver.example, by an authority that this machine trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tests")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("receiver.example")]), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, private = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    return context


def test_tls_is_verified_by_the_name_and_not_by_the_address(
    tls: ssl.SSLContext, make_receiver: MakeReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []
    tls.sni_callback = lambda _socket, name, _context: asked.append(name)
    receiver = make_receiver(context=tls)
    names(monkeypatch, {"receiver.example": ["127.0.0.1"], "other.example": ["127.0.0.1"]})
    assert send(f"https://receiver.example:{receiver.port}/").accepted
    assert asked == ["receiver.example"]
    refused = send(f"https://other.example:{receiver.port}/")
    assert "certificate of the host is not valid" in refused.error
    assert "certificate" in send(f"https://127.0.0.1:{receiver.port}/").error
    assert len(receiver.got) == 1


def test_an_unknown_authority_is_refused(
    tls: ssl.SSLContext,
    make_receiver: MakeReceiver,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    monkeypatch.setenv("SSL_CERT_FILE", str(empty))
    receiver = make_receiver(context=tls)
    names(monkeypatch, {"receiver.example": ["127.0.0.1"]})
    answer = send(f"https://receiver.example:{receiver.port}/")
    assert "certificate of the host is not valid" in answer.error
    assert receiver.got == []


def test_proxies_of_the_environment_are_not_used(
    receiver: Receiver, make_receiver: MakeReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = make_receiver()
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    assert send(receiver.url).accepted
    assert proxy.connections == 0
