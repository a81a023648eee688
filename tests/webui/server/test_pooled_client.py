"""Test clients that keep their connections and pause: no request is lost, none needs a new one.

`make test-connection-soak` runs it for ten minutes, with pauses up to the bound for idle
connections. `STENCIL_SOAK_SECONDS` and `STENCIL_SOAK_PAUSE` choose other values.
"""

import os
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import IO

from tests.timeouts import HANGS_SECONDS
from tests.webui.server.serving import Web, answer, serve
from tests.webui.server.test_server import GET, POST, view
from webui.server.bounds import Bounds

SECONDS = float(os.environ.get("STENCIL_SOAK_SECONDS", "8"))
LONGEST_PAUSE = float(os.environ.get("STENCIL_SOAK_PAUSE", "3.5"))
CLIENTS = 40
EXPECT = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"

type Send = Callable[[bytes], None]


def one(send: Send, lines: IO[bytes]) -> None:
    send(GET % b"one")
    assert answer(lines)[2] == b"one||"


def posted(send: Send, lines: IO[bytes]) -> None:
    send(POST % 70_000 + b"x" * 70_000)
    assert answer(lines)[2] == b"|70000|" + b"x" * 40


def in_pieces(send: Send, lines: IO[bytes]) -> None:
    for byte in GET % b"slow":
        send(bytes([byte]))
    assert answer(lines)[2] == b"slow||"


def pipelined(send: Send, lines: IO[bytes]) -> None:
    names = [b"%d" % number for number in range(6)]
    send(b"".join(GET % name for name in names) + POST % 2 + b"hi")
    assert [answer(lines)[2] for _ in range(7)] == [*(b"%b||" % name for name in names), b"|2|hi"]


def expected(send: Send, lines: IO[bytes]) -> None:
    send(EXPECT)
    assert answer(lines)[0] == 100
    send(b"hello")
    assert answer(lines)[2] == b"|5|hello"


def streamed(send: Send, lines: IO[bytes]) -> None:
    send(GET % b"stream")
    assert answer(lines)[2] == b"one two"


KINDS = (one, posted, in_pieces, pipelined, expected, streamed)


def use(web: Web, seed: int) -> int:
    """Use one connection until the time is over; return the number of exchanges."""
    chance, count = random.Random(seed), 0  # noqa: S311 - the same pauses in each run
    until = time.monotonic() + SECONDS
    link = web.link()
    link.settimeout(HANGS_SECONDS)
    with link.makefile("rb") as lines:
        while time.monotonic() < until or count < 3:
            chance.choice(KINDS)(link.sendall, lines)
            count += 1
            time.sleep(chance.choice((0.0, 0.05, LONGEST_PAUSE)) * chance.random())
    return count


def test_a_pooled_client_with_random_pauses_loses_no_request() -> None:
    with serve(view, Bounds(threads=4)) as web, ThreadPoolExecutor(CLIENTS) as pool:
        counts = list(pool.map(lambda seed: use(web, seed), range(CLIENTS)))
    assert len(counts) == CLIENTS  # on one connection each: a lost one is an error of its client
    assert min(counts) >= 3


def test_idle_clients_hold_no_thread() -> None:
    with serve(view, Bounds(threads=2)) as web:
        links = [web.link() for _ in range(150)]
        files = [link.makefile("rb") for link in links]
        for _ in range(2):
            for link, lines in zip(links, files, strict=True):
                one(link.sendall, lines)
        deadline = time.monotonic() + HANGS_SECONDS
        while web.server.connections.count("idle") < len(links) and time.monotonic() < deadline:
            time.sleep(0.01)  # the client has its answer before the connection is idle
        assert web.server.connections.count("idle") == len(links)
        assert web.server.bridge.threads._made <= 2
        for lines in files:
            lines.close()
