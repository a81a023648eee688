"""The cost of waiting requests for the web process and for other requests."""

import contextlib
import http.client
import json
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.installation import Installation, InstallationError
from benchmarks.measures import FULL, Size
from benchmarks.table import Row, share

CLIENT_BOUND = 1_000  # STENCIL_CLIENT_WAITS: of one token
CROWD = 500
ARRIVAL_SECONDS = 3  # for the requests of the crowd to be through Django, and wait
SLEEPS = {"main.js": "setTimeout(() => {}, 55_000);\n"}
HALVES = (
    b"",
    b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Half: ",
    b"POST /api/v1/executions HTTP/1.1\r\nHost: a\r\nContent-Length: 4000\r\n\r\n{",
    b"POST /api/v1/executions HTTP/1.1\r\nHost: a\r\nContent-Length: 90000000\r\n\r\n{",
)


def every(installation: Installation, size: Size) -> Iterator[Row]:
    """Yield the memory of a waiting request, and `/healthz` in a crowd beside an idle server."""
    _allow_descriptors()
    samples = size.samples * 5
    idle = [health(installation) for _ in range(samples)]
    count = CLIENT_BOUND if size.burst >= FULL.burst else CROWD
    with contextlib.ExitStack() as held:
        before, identifier = _resident(installation), _sleeping(installation)
        _hold(held, installation, [_wait(installation, identifier)] * (count - 1))
        _until_waiting(installation, identifier, count)
        kilobytes = (_resident(installation) - before) / count
        yield Row(
            measure=f"memory of a request that waits, of {count:,} in one web process",
            ours=f"{kilobytes:.0f} KiB",
            other="–",
            ratio="–",
            must="≤ 64 KiB",
            holds=kilobytes <= 64,
        )
    with contextlib.ExitStack() as held:
        identifier = _sleeping(installation)
        _hold(held, installation, [_wait(installation, identifier)] * CROWD)
        _hold(held, installation, [HALVES[number % len(HALVES)] for number in range(CROWD)])
        time.sleep(ARRIVAL_SECONDS)
        crowded = [health(installation) for _ in range(samples)]
    measure = f"`/healthz` with {CROWD} half requests and {CROWD} waits open, beside idle"
    yield share(measure, sorted(crowded), sorted(idle), most=3)


def health(installation: Installation) -> float:
    """Return the milliseconds of a health check with a connection of its own."""
    began = time.perf_counter()
    status, _, _ = _call(installation, "GET", "/healthz")
    if status != 200:
        raise InstallationError(f"/healthz answered {status}")
    return (time.perf_counter() - began) * 1000


def _call(
    installation: Installation, method: str, path: str, body: object = None
) -> tuple[int, str, bytes]:
    link = http.client.HTTPConnection("127.0.0.1", installation.port, timeout=90)
    headers = {"Authorization": f"Bearer {installation.token}", "Content-Type": "application/json"}
    try:
        link.request(method, path, None if body is None else json.dumps(body), headers)
        answer = link.getresponse()
        return answer.status, answer.headers.get("Stencil-Wait", ""), answer.read()
    finally:
        link.close()


def _sleeping(installation: Installation) -> str:
    """Start an execution that lasts as long as this measure; return its id."""
    files = [{"path": path, "content": text} for path, text in SLEEPS.items()]
    body = {"template": "javascript", "mode": "run", "entry": "main.js", "files": files}
    limits = {"wall_ms": 60_000}
    status, _, text = _call(installation, "POST", "/api/v1/executions", {**body, "limits": limits})
    if status != 201:
        raise InstallationError(f"{status}: {text!r}")
    return str(json.loads(text)["id"])


def _wait(installation: Installation, identifier: str) -> bytes:
    path = f"/api/v1/executions/{identifier}?wait=60"
    bearer = f"Authorization: Bearer {installation.token}"
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n{bearer}\r\n\r\n".encode()


def _hold(held: contextlib.ExitStack, installation: Installation, requests: list[bytes]) -> None:
    """Open a connection for each request and leave it open."""
    for data in requests:
        link = held.enter_context(socket.create_connection(("127.0.0.1", installation.port), 60))
        link.sendall(data)


def _until_waiting(installation: Installation, identifier: str, count: int) -> None:
    """Wait until all requests wait: the server begins requests in the order of arrival."""
    path = f"/api/v1/executions/{identifier}?wait=0.01"
    for _ in range(600):
        _, refused, _ = _call(installation, "GET", path)
        if refused or count < CLIENT_BOUND:
            time.sleep(0.5)
            return
        time.sleep(0.1)


def _resident(installation: Installation) -> float:
    """Return the resident memory of the web process in KiB."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            argv = (entry / "cmdline").read_bytes().split(b"\0")
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if b"web" in argv and parent == installation.pid:
                lines = (entry / "status").read_text().splitlines()
                return float(next(line.split()[1] for line in lines if line.startswith("VmRSS")))
    raise InstallationError("the web process is not there")


def _allow_descriptors() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
