"""Class 20: hundreds of held connections and requests must not keep the server from others.

A real web server runs on loopback with its default bounds. Connections stay held until the test is
over. The tests measure no time: they check that other requests are answered.
"""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from execapp.models import Execution, ExecutorHeartbeat
from templatemgr.models import Version
from tests import minimal_template
from tests.conftest import free_port
from tests.execapp.conftest import ROOT, Api, make_api, until
from tests.timeouts import HANGS_SECONDS
from tests.webui.server.serving import answer

HELLO = bytes.fromhex("1603010200010001fc0303") + bytes(64)
SUBMIT = b"POST /api/v1/executions HTTP/1.1\r\nHost: a\r\n"
HALVES = {
    "no header": b"",
    "half a header": b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Half: ",
    "half a body": SUBMIT + b"Content-Type: application/json\r\nContent-Length: 4000\r\n\r\n{",
    "refused with a body to come": SUBMIT + b"Content-Length: 90000000\r\n\r\n{",
    "a byte a second": b"GET /api/v1/me HTTP/1.1\r\n",
    "a chunk that never ends": SUBMIT + b"Transfer-Encoding: chunked\r\n\r\nfff\r\n{",
    "the start of TLS": HELLO,
}
HELD = 504  # half-open connections, the same number of each kind
WAITS = 500


@dataclass
class Server:
    """A web server as a process, with the connections to it that a test holds."""

    port: int
    process: subprocess.Popen[bytes]
    links: list[socket.socket] = field(default_factory=list)

    def link(self, data: bytes) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.port), HANGS_SECONDS)
        self.links.append(made)
        made.sendall(data)
        return made

    def call(self, method: str, path: str, secret: str = "", body: Any = None) -> tuple[int, Any]:
        """Return status and JSON of a request on a connection of its own; None for a page."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=HANGS_SECONDS)
        headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        link.request(method, path, None if body is None else json.dumps(body), headers)
        found = link.getresponse()
        text = found.read()
        link.close()
        self.headers = found.headers
        return found.status, json.loads(text) if text.startswith(b"{") else None


def start(**environment: str) -> Server:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), "web", "--port", str(port)],
        cwd=ROOT,
        env=os.environ
        | {
            "DJANGO_SETTINGS_MODULE": "tests.execapp.executor.executor_settings",
            "STENCIL_DATA": str(settings.STENCIL_DATA),
            "STENCIL_TEST_DATABASE": str(connection.settings_dict["NAME"]),
        }
        | environment,
        stderr=subprocess.DEVNULL,
    )
    server = Server(port, process)

    def answers() -> bool:
        try:
            return server.call("GET", "/healthz")[0] == 200
        except OSError:
            return False

    until(answers)
    return server


@pytest.fixture
def serve(committed: None) -> Iterator[Callable[..., Server]]:
    running: list[Server] = []

    def begin(**environment: str) -> Server:
        running.append(start(**environment))
        return running[-1]

    yield begin
    for server in running:
        for link in server.links:
            link.close()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(HANGS_SECONDS) == 0


@pytest.fixture
def breathing(current: Version, alive: ExecutorHeartbeat) -> Iterator[None]:
    """Keep an executor's heartbeat fresh; it takes no work, so waiting requests keep waiting."""
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(1):
            ExecutorHeartbeat.objects.update(seen_at=timezone.now())
        connection.close()

    thread = threading.Thread(target=beat)
    thread.start()
    yield
    stop.set()
    thread.join()


def waits(server: Server, api: Api, count: int) -> str:
    """Start `count` requests that wait for one execution; return its id."""
    status, made = server.call(
        "POST", "/api/v1/executions", api.secret, minimal_template.HELLO.body()
    )
    assert status == 201
    asked = f"GET /api/v1/executions/{made['id']}?wait=60 HTTP/1.1\r\nHost: a\r\n"
    for _ in range(count):
        server.link(f"{asked}Authorization: Bearer {api.secret}\r\n\r\n".encode())
    return str(made["id"])


def trickle(links: list[socket.socket], stop: threading.Event) -> None:
    """Send one byte a second on each connection that still takes one."""
    while not stop.wait(1):
        for link in links:
            try:
                link.send(b"x")
            except OSError:
                continue


def hold(server: Server, count: int) -> list[socket.socket]:
    """Open half-open connections of every kind; return those that get a byte each second."""
    slow = []
    for number in range(count):
        kind = list(HALVES)[number % len(HALVES)]
        link = server.link(HALVES[kind])
        if kind == "a byte a second":
            slow.append(link)
    return slow


def test_held_requests_and_waits_do_not_block_other_requests(
    serve: Callable[..., Server], breathing: None
) -> None:
    server, one, other = serve(), make_api("one"), make_api("other")
    identifier = waits(server, one, WAITS)
    slow, stop = hold(server, HELD), threading.Event()
    thread = threading.Thread(target=trickle, args=(slow, stop))
    thread.start()
    try:
        for _ in range(5):
            assert server.call("GET", "/healthz")[0] == 200
            assert server.call("GET", "/readyz")[0] == 200
            assert server.call("GET", "/api/v1/me", other.secret)[0] == 200
            status, made = server.call(
                "POST", "/api/v1/executions", other.secret, minimal_template.HELLO.body()
            )
            assert (status, made["state"]) == (201, "queued")
    finally:
        stop.set()
        thread.join()
    # All of them waited through that, and each gets the final state.
    waiting = server.links[:WAITS]
    for link in waiting:
        link.setblocking(False)
        with pytest.raises(BlockingIOError):
            link.recv(1)
        link.settimeout(HANGS_SECONDS)
    Execution.objects.filter(id=identifier).update(state="cancelled")
    for link in waiting:
        with link.makefile("rb") as lines:
            status, _, body = answer(lines)
        assert (status, json.loads(body)["state"]) == (200, "cancelled")


def test_bodies_that_never_arrive_do_not_block_a_large_body(serve: Callable[..., Server]) -> None:
    server, one = serve(), make_api("one")
    head = b"Content-Type: application/json\r\nContent-Length: 9999999\r\n\r\n{"
    for _ in range(60):
        server.link(SUBMIT + head)
    for _ in range(3):
        status, reply = server.call("POST", "/api/v1/executions", one.secret, "x" * 5_000_000)
        assert status not in (408, 503), reply


def test_many_connections_from_one_address_leave_descriptors_for_others(
    serve: Callable[..., Server],
) -> None:
    server = serve(STENCIL_CONNECTIONS="320")
    for _ in range(2):
        hold(server, 420)
        assert server.call("GET", "/healthz")[0] == 200


def test_waits_of_one_token_are_bounded_and_the_answer_says_so(
    serve: Callable[..., Server], breathing: None
) -> None:
    server, one, other = serve(STENCIL_CLIENT_WAITS="20"), make_api("one"), make_api("other")
    identifier = waits(server, one, 40)  # more than allowed, in any order
    wait = f"/api/v1/executions/{identifier}?wait=60"
    until(lambda: refused(server, wait, one) == "refused; scope=client; limit=20")
    status, made = server.call(
        "POST", "/api/v1/executions", one.secret, minimal_template.HELLO.body(wait=60)
    )
    assert (status, made["state"]) == (201, "queued")
    assert server.headers["Stencil-Wait"] == "refused; scope=client; limit=20"
    # Another token waits, until its time is over.
    status, made = server.call(
        "POST", "/api/v1/executions", other.secret, minimal_template.HELLO.body(wait=0.2)
    )
    assert (status, made["state"]) == (201, "queued")
    assert "Stencil-Wait" not in server.headers
    # Closed connections free their places.
    for link in server.links:
        link.close()
    until(lambda: refused(server, f"/api/v1/executions/{identifier}?wait=0.1", one) is None)


def test_waits_of_all_tokens_are_bounded_and_the_answer_says_so(
    serve: Callable[..., Server], breathing: None
) -> None:
    server, one, other = serve(STENCIL_WAITS="20"), make_api("one"), make_api("other")
    identifier = waits(server, one, 40)  # more than allowed, in any order
    until(lambda: refused(server, f"/api/v1/executions/{identifier}?wait=1", one) is not None)
    _, made = server.call(
        "POST", "/api/v1/executions", other.secret, minimal_template.HELLO.body(wait=60)
    )
    assert made["state"] == "queued"
    assert server.headers["Stencil-Wait"] == "refused; scope=server; limit=20"


def test_waits_are_answered_when_the_server_stops(
    serve: Callable[..., Server], breathing: None
) -> None:
    server, one = serve(STENCIL_CLIENT_WAITS="20"), make_api("one")
    identifier = waits(server, one, 40)
    until(lambda: refused(server, f"/api/v1/executions/{identifier}?wait=1", one) is not None)
    hold(server, 30)
    server.process.send_signal(signal.SIGTERM)
    wait_headers = []
    for link in server.links[:40]:
        with link.makefile("rb") as lines:
            status, headers, body = answer(lines)
        assert (status, json.loads(body)["state"]) == (200, "queued")
        wait_headers.append(headers["stencil-wait"])
    assert wait_headers.count("ended; reason=stopping") >= 19, wait_headers  # one place may be ours
    assert set(wait_headers) == {"ended; reason=stopping", "refused; scope=client; limit=20"}
    assert server.process.wait(HANGS_SECONDS) == 0


def refused(server: Server, path: str, api: Api) -> str | None:
    server.call("GET", path.replace("wait=60", "wait=0.1"), api.secret)
    return server.headers["Stencil-Wait"]
