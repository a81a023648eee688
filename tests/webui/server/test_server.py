"""Test the web server alone: deadlines, limits, and the rules of HTTP."""

import contextlib
import random
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from execapp.api.http import concurrency
from execapp.api.http.deferred import PacedStream, Pause
from tests.timeouts import HANGS_SECONDS
from tests.webui.server.serving import Web, answer, ends, serve
from webui.server import request_body, serving
from webui.server.bounds import Bounds

QUICK = Bounds(
    header_seconds=0.5,
    body_seconds=0.5,
    idle_seconds=1,
    write_seconds=0.5,
    linger_seconds=0.5,
    grace_seconds=0,
    drain_seconds=0.5,
    body_bytes=200_000,
    bodies_bytes=250_000,
    threads=4,
)
SLOW = replace(QUICK, header_seconds=300, body_seconds=300, idle_seconds=300)
LINGERING = replace(SLOW, drain_seconds=HANGS_SECONDS, linger_seconds=HANGS_SECONDS)
GET = b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

held, let_go = threading.Event(), threading.Event()


def view(request: WSGIRequest) -> HttpResponseBase:
    """Echo the request, or do what the path says."""
    kind = request.path.strip("/")
    if kind == "stream":
        return StreamingHttpResponse(iter(["one ", "two"]))
    if kind == "large":
        return HttpResponse(b"x" * 20_000_000)
    if kind == "held":
        held.set()
        let_go.wait(300)
    if kind == "header":
        return HttpResponse(str(request.META.get("HTTP_X_OWN")))
    if kind == "paced":
        return PacedStream(
            paced(), concurrency.streams.acquire("t", most=9, most_of_client=9), content_type="a/b"
        )
    if kind == "refused":
        return HttpResponse(status=401)
    said = [kind, request.META["CONTENT_LENGTH"], request.body.decode()[:40]]
    return HttpResponse("|".join(said), content_type="text/plain")


def paced() -> Iterator[str | Pause]:
    yield "first"
    while True:
        yield Pause(seconds=300)
        yield "again"


@pytest.fixture
def web() -> Iterator[Web]:
    with serve(view, SLOW) as running:
        yield running


@pytest.fixture
def lingering() -> Iterator[Web]:
    """Yield a server that lets a client send the rest of a refused request."""
    with serve(view, LINGERING) as running:
        yield running


@pytest.fixture
def quick() -> Iterator[Web]:
    with serve(view, QUICK) as running:
        yield running


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ",
        POST % 10 + b"12345",
        POST % 10,
        CHUNKED + b"5\r\n123",
        CHUNKED + b"1\r\n1\r\n0\r\nTrailer: x",
        POST % 10_000_000 + b"refused, and never whole",
        GET % b"first" + b"GET / HTTP",
        GET % b"first" + b"\r\n",
    ],
    ids=lambda data: ascii(data)[-24:],
)
@pytest.mark.parametrize("trickle", [b"", b"1"], ids=["silent", "trickling"])
def test_an_incomplete_request_ends(quick: Web, data: bytes, trickle: bytes) -> None:
    link = quick.link(data)
    link.settimeout(0.1)
    found, until = b"", time.monotonic() + HANGS_SECONDS
    while time.monotonic() < until:
        try:
            piece = link.recv(65536)
            found += piece
            if not piece:
                break
        except TimeoutError:
            pass
        except ConnectionResetError:
            break
        try:
            link.send(trickle)
        except OSError:
            break
    else:
        pytest.fail("the connection is still open")
    if b"first" in data:
        assert b"first|" in found
    if data.startswith(b"POST /") and b"10000000" not in data:
        # Slow bytes are first read as the length of a chunk, then as a malformed chunk.
        assert (b" 408 " in found and b'"timeout"' in found) or (trickle and b" 400 " in found)


@pytest.mark.parametrize("piece", [b"\r\n", b"G"], ids=["empty lines", "a method without end"])
def test_no_pause_is_filled_for_ever(quick: Web, piece: bytes) -> None:
    link = quick.link(GET % b"first")
    with link.makefile("rb") as lines:
        assert answer(lines)[0] == 200
    link.settimeout(0.05)
    until = time.monotonic() + HANGS_SECONDS
    while time.monotonic() < until:
        try:
            link.send(piece)
            if link.recv(65536) == b"":
                return
        except TimeoutError:
            continue
        except OSError:
            return
    pytest.fail("the connection is still open")


def test_garbage_is_refused_at_once(web: Web) -> None:
    hello = bytes.fromhex("1603010200010001fc0303") + bytes(200)
    assert b" 400 " in ends(web.link(hello))


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 200_000,
        b"GET /" + b"x" * 200_000,
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 30_000,
        CHUNKED + b"1;" + b"x" * 200_000,
        CHUNKED + b"1\r\nx\r\n0\r\n" + b"A: b\r\n" * 200_000,
    ],
    ids=["a header", "an address", "headers", "a chunk's extension", "trailers"],
)
def test_heads_have_a_size(web: Web, data: bytes) -> None:
    link = web.link()
    try:
        link.sendall(data)
    except OSError:
        return
    assert b" 200 " not in ends(link)


def test_bodies(web: Web) -> None:
    assert web.ask(POST % 5 + b"hello")[2] == b"|5|hello"
    assert web.ask(CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")[2] == b"|5|hello"
    assert web.ask(POST % 100_000 + b"y" * 100_000)[2] == b"|100000|" + b"y" * 40


def test_a_body_that_is_too_large_is_not_read(lingering: Web) -> None:
    """Its length reaches Django, which refuses it; see DATA_UPLOAD_MAX_MEMORY_SIZE."""
    status, headers, body = lingering.ask(POST % 300_000 + b"z" * 300_000)
    assert (status, headers["connection"], body) == (200, "close", b"|300000|")
    chunks = b"".join(b"%x\r\n%b\r\n" % (50_000, b"z" * 50_000) for _ in range(6))
    status, headers, body = lingering.ask(CHUNKED + chunks + b"0\r\n\r\n")
    assert headers["connection"] == "close"
    assert int(body.split(b"|")[1]) > 200_000


def test_a_refusal_is_heard_by_who_still_sends(lingering: Web) -> None:
    link = lingering.link(POST % 300_000)
    for _ in range(30):
        link.sendall(b"z" * 10_000)
    with link.makefile("rb") as lines:
        assert answer(lines)[0] == 200


PATIENT = replace(SLOW, grace_seconds=HANGS_SECONDS)


def test_large_bodies_share_their_memory() -> None:
    with serve(view, PATIENT) as web:
        slow = web.link(POST % 190_000 + b"z" * 180_000)
        until_true(lambda: web.server.bridge.body_memory.available < 100_000)
        assert web.ask(POST % 5 + b"small")[0] == 200
        status, headers, body = web.ask(POST % 190_000 + b"z" * 190_000)
        assert (status, headers["retry-after"]) == (503, "2")
        assert b'"busy"' in body
        slow.close()
        until_true(lambda: web.server.bridge.body_memory.available == 250_000)
        assert web.ask(POST % 190_000 + b"z" * 190_000)[0] == 200
        until_true(lambda: web.server.bridge.body_memory.available == 250_000)


def test_a_declared_length_takes_no_memory(web: Web) -> None:
    for head in (POST % 190_000, CHUNKED + b"ffff\r\n"):
        for _ in range(30):
            web.link(head + b"z")
    until_true(lambda: web.server.connections.count("half") == 60)
    assert web.ask(POST % 190_000 + b"z" * 190_000)[0] == 200
    until_true(lambda: web.server.bridge.body_memory.available == 250_000)


def test_the_oldest_incomplete_body_makes_room(web: Web) -> None:
    slow = [web.link(POST % 190_000 + b"z" * 100_000) for _ in range(2)]
    until_true(lambda: web.server.bridge.body_memory.available == 50_000)
    for _ in range(3):
        assert web.ask(POST % 190_000 + b"z" * 190_000)[0] == 200
    for link in slow:
        with link.makefile("rb") as lines:
            assert answer(lines)[0] == 503
    until_true(lambda: web.server.bridge.body_memory.available == 250_000)


def test_the_address_that_holds_the_most_makes_room(web: Web) -> None:
    other = web.link(POST % 100_000 + b"z" * 70_000, address="127.0.0.2")
    until_true(lambda: web.server.bridge.body_memory.available == 180_000)
    slow = web.link(POST % 190_000 + b"z" * 150_000)
    until_true(lambda: web.server.bridge.body_memory.available == 30_000)
    assert web.ask(POST % 90_000 + b"z" * 90_000)[0] == 200
    with slow.makefile("rb") as lines:
        assert answer(lines)[0] == 503
    other.sendall(b"z" * 30_000)
    with other.makefile("rb") as lines:
        assert answer(lines)[2].startswith(b"|100000|")


def test_one_address_cannot_hold_the_memory_of_all() -> None:
    with serve(view, replace(PATIENT, bodies_of_address=150_000)) as web:
        mine = web.link(POST % 150_000 + b"z" * 100_000)
        until_true(lambda: web.server.bridge.body_memory.available == 150_000)
        assert web.ask(POST % 90_000 + b"z" * 90_000)[0] == 503
        other = web.link(POST % 120_000 + b"z" * 120_000, address="127.0.0.2")
        with other.makefile("rb") as lines:
            assert answer(lines)[2].startswith(b"|120000|")
        mine.sendall(b"z" * 50_000)
        with mine.makefile("rb") as lines:
            assert answer(lines)[2].startswith(b"|150000|")


@pytest.mark.parametrize("seed", range(5))
def test_bodies_never_hold_more_than_their_memory(seed: int) -> None:
    bounds = replace(QUICK, bodies_bytes=1_000_000, bodies_of_address=600_000)
    memory = request_body.BodyMemory(bounds)
    chance = random.Random(seed)  # noqa: S311 - the same order in every run
    shares: list[request_body.Share] = []
    for _ in range(5_000):
        match chance.randrange(4):
            case 0:
                address = f"127.0.0.{chance.randrange(4)}"
                shares.append(request_body.Share(address=address, wake=lambda: None))
            case 1 if shares:
                chance.choice(shares).wake = None
            case 2 if shares:
                memory.release(shares.pop(chance.randrange(len(shares))))
            case 3 if shares:
                share = chance.choice(shares)
                if share.wake is not None and not share.evicted:
                    with contextlib.suppress(request_body.FullError):
                        memory.grow(share, share.held + chance.randrange(200_000))
        held = sum(share.held for share in shares)
        assert 0 <= held == 1_000_000 - memory.available <= 1_000_000
        for number in range(4):
            address = f"127.0.0.{number}"
            assert sum(share.held for share in shares if share.address == address) <= 600_000


def test_expect(web: Web) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: "
    link = web.link(head + b"5\r\n\r\n")
    with link.makefile("rb") as lines:
        assert answer(lines)[0] == 100
        link.sendall(b"hello")
        assert answer(lines)[2] == b"|5|hello"
    status, headers, _ = web.ask(head + b"900000\r\n\r\n")
    assert (status, headers["connection"]) == (200, "close")


def test_kept_alive_and_pipelined(web: Web) -> None:
    link = web.link(GET % b"1" + GET % b"2" + POST % 2 + b"hi" + GET % b"4")
    with link.makefile("rb") as lines:
        assert [answer(lines)[2] for _ in range(4)] == [b"1||", b"2||", b"|2|hi", b"4||"]
        link.sendall(GET % b"5")
        assert answer(lines)[2] == b"5||"


def test_garbage_behind_a_request_leaves_its_answer_alone(web: Web) -> None:
    held.clear()
    let_go.clear()
    link = web.link(GET % b"held")
    assert held.wait(HANGS_SECONDS)
    link.sendall(b"\x16\x03\x01 garbage\r\n\r\n")
    let_go.set()
    found = ends(link)
    assert found.startswith(b"HTTP/1.1 200")
    assert b" 400 " not in found


def test_head_and_old_clients(web: Web) -> None:
    link = web.link(b"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n" + GET % b"y")
    with link.makefile("rb") as lines:
        assert answer(lines, head=True)[1]["content-length"] == "3"
        assert answer(lines)[2] == b"y||"
    old = ends(web.link(b"GET /x HTTP/1.0\r\n\r\n"))
    assert old.endswith(b"\r\n\r\nx||")
    streamed = ends(web.link(b"GET /stream HTTP/1.0\r\n\r\n"))
    assert streamed.endswith(b"\r\n\r\none two")
    assert b"chunked" not in streamed
    assert web.ask(GET % b"stream")[2] == b"one two"


def test_headers_that_may_not_stand_twice(web: Web) -> None:
    twice = b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"
    assert web.ask(twice)[0] == 400
    both = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert web.ask(both + b"0\r\n\r\n")[0] == 400


def test_a_name_with_an_underscore_is_no_other_name(web: Web) -> None:
    ask = b"GET /header HTTP/1.1\r\nHost: a\r\n%b: 1\r\n\r\n"
    assert web.ask(ask % b"X-Own")[2] == b"1"
    assert web.ask(ask % b"X_Own")[2] == b"None"


def test_a_client_that_does_not_read_is_let_go(quick: Web) -> None:
    link = quick.link()
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    link.sendall(GET % b"large")
    until_true(lambda: quick.server.server_state.connections)
    until_true(lambda: not quick.server.server_state.connections)


def test_who_pauses_within_the_bound_is_served_again(web: Web) -> None:
    assert Bounds().idle_seconds >= 75
    link = web.link(GET % b"1")
    with link.makefile("rb") as lines:
        answer(lines)
        time.sleep(QUICK.header_seconds * 2 + 0.2)  # no clock of a request runs meanwhile
        link.sendall(GET % b"2")
        assert answer(lines)[2] == b"2||"


def test_the_oldest_half_requests_go_first() -> None:
    with serve(view, replace(SLOW, half=20, half_of_address=0)) as web:
        links = [web.link(b"GET / HT") for _ in range(60)]
        connections = web.server.connections
        until_true(lambda: len(web.server.server_state.connections) == 20)
        assert connections.count("half") == 20
        assert all(ends(link) == b"" for link in links[:40])
        links[59].sendall(b"TP/1.1\r\nHost: a\r\n\r\n")
        with links[59].makefile("rb") as lines:
            assert answer(lines)[0] == 200


def test_one_address_cannot_use_up_all_connections() -> None:
    with serve(view, replace(SLOW, half=40, half_of_address=10)) as web:
        other = web.link(b"GET /other HT", address="127.0.0.2")
        for _ in range(80):
            web.link(b"GET / HT")
        until_true(lambda: len(web.server.server_state.connections) == 11)
        other.sendall(b"TP/1.1\r\nHost: a\r\n\r\n")
        with other.makefile("rb") as lines:
            assert answer(lines)[2] == b"other||"


def test_idle_connections_are_bounded_and_make_room() -> None:
    with serve(view, replace(SLOW, idle=5, connections=8)) as web:
        for _ in range(12):
            with web.link(GET % b"x").makefile("rb") as lines:
                assert answer(lines)[0] == 200
        connections = web.server.connections
        until_true(lambda: connections.count("idle") == 5)
        for _ in range(12):
            web.link(b"GET / HT")
        until_true(lambda: len(web.server.server_state.connections) == 8)
        assert web.ask(GET % b"served")[2] == b"served||"


def test_health_answers_while_every_thread_is_held(web: Web) -> None:
    let_go.clear()
    for _ in range(SLOW.threads + 3):
        web.link(GET % b"held")
    until_true(lambda: web.server.bridge.queued >= SLOW.threads + 3)
    for path in (b"healthz", b"readyz"):
        assert web.ask(GET % path)[0] == 200
    let_go.set()


def test_requests_that_wait_for_a_thread_are_bounded() -> None:
    let_go.clear()
    with serve(view, replace(SLOW, queue=6)) as web:
        for _ in range(6):
            web.link(GET % b"held")
        until_true(lambda: web.server.bridge.queued == 6)
        status, headers, body = web.ask(GET % b"more")
        assert (status, headers["retry-after"]) == (503, "2")
        assert b'"busy"' in body
        let_go.set()


def test_streams_hold_no_thread_and_end_with_the_server(web: Web) -> None:
    links = [web.link(GET % b"paced") for _ in range(9)]
    for link in links:
        while b"first" not in link.recv(65536, socket.MSG_PEEK):
            time.sleep(0.01)
    assert concurrency.streams.taken() == 9
    links.pop().close()
    assert web.ask(GET % b"x")[2] == b"x||"
    web.stop()
    for link in links:
        assert ends(link).endswith(b"0\r\n\r\n")
    until_true(lambda: concurrency.streams.taken() == 0)


def test_a_running_request_is_answered_when_the_server_stops(web: Web) -> None:
    held.clear()
    let_go.clear()
    link = web.link(GET % b"held")
    idle = web.link(GET % b"x")
    with idle.makefile("rb") as lines:
        answer(lines)
    assert held.wait(HANGS_SECONDS)
    web.stop()
    assert ends(idle) == b""
    let_go.set()
    assert b"held||" in ends(link)


def test_the_stop_leaves_time_for_everyone() -> None:
    from webui.quickstart.processes import programs

    [web] = [program for program in programs() if program.name == "web"]
    assert serving.GRACE_SECONDS < serving.STOP_SECONDS < web.stop_seconds


def until_true(look: object) -> None:
    assert callable(look)
    until = time.monotonic() + HANGS_SECONDS
    while not look():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)
