"""The cost of bad requests: the worst hostile body beside a good body of the same size."""

import http.client
import json
import time
import tracemalloc
from collections.abc import Iterator

import pydantic
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from benchmarks import hostile_bodies
from benchmarks.installation import Installation, InstallationError
from benchmarks.measures import Size
from benchmarks.table import Row, quantile, share
from execapp.api.http.error_replies import handle, schema_reply
from execapp.api.http.json_parser import StrictParser
from execapp.api.v1.schemas.executions import SubmissionIn
from execapp.conf import sizes
from execapp.errors import ExecutionError, InvalidRequestError
from execapp.services import checks

BODY_BYTES = 200_000
TURNS = 3  # runs of each body; the quickest counts
MIB = 1024 * 1024


def every(installation: Installation, size: Size) -> Iterator[Row]:
    """Yield two rows: time over HTTP, and memory of reading, checking and refusing."""
    good = hostile_bodies.good(BODY_BYTES, template="typescript", entry="main.ts")
    return beside(installation, good, turns=TURNS if size.samples > TURNS else 1)


def beside(installation: Installation, good: bytes, *, turns: int) -> Iterator[Row]:
    """Yield the rows for this good body."""
    hostile = hostile_bodies.bodies(len(good))
    bodies = [body for name, body in hostile.items() if name not in hostile_bodies.RIGHT]
    worst_ms = max(min(_post(installation, body, 400) for _ in range(turns)) for body in bodies)
    good_ms = min(_post(installation, good, 201) for _ in range(turns + 1))
    kilobytes = f"{round(len(good) / 1000, -1):.0f} KB"
    measure = f"the worst of {len(bodies)} hostile bodies of {kilobytes}, beside a good one"
    yield share(measure, [worst_ms], [good_ms], most=2.0)
    peaks = [peak_bytes(body) / MIB for body in bodies]
    mine = peak_bytes(good) / MIB
    yield share(f"memory of {measure}", [quantile(peaks, 1.0)], [mine], most=4.0, unit="MB")


def peak_bytes(body: bytes) -> int:
    """Return the peak of Python's memory while it reads, checks and answers a body."""
    address = "/api/v1/executions"  # its bodies may have the most values
    request = RequestFactory().generic("POST", address, body, content_type="application/json")
    tracemalloc.start()
    try:
        answer(request)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def answer(request: HttpRequest) -> HttpResponse | None:
    """Read and check the body of a submission as the API does; return the refusal or None.

    The database is not queried.
    """
    try:
        document = StrictParser().parse_body(request)
        body = SubmissionIn.model_validate(document)
        files = [file.model_dump() for file in body.files]
        problems = [
            *checks.check_files(files, sizes()),
            *checks.check_args(body.args, body.stdin, sizes()),
            *checks.check_env(body.env, sizes()),
            *checks.check_labels(body.labels, sizes()),
        ]
        if problems:
            raise InvalidRequestError(problems)
    except ExecutionError as error:
        return handle(error)
    except pydantic.ValidationError as error:
        return schema_reply(error)
    return None


def _post(installation: Installation, body: bytes, expected: int) -> float:
    """Return the milliseconds until the whole reply. InstallationError for an unexpected answer."""
    headers = {"Authorization": f"Bearer {installation.token}", "Content-Type": "application/json"}
    began = time.perf_counter()
    link = http.client.HTTPConnection("127.0.0.1", installation.port, timeout=90)
    try:
        link.request("POST", "/api/v1/executions", body, headers)
        reply = link.getresponse()
        said = reply.read()
    finally:
        link.close()
    took = (time.perf_counter() - began) * 1000
    if expected // 100 != reply.status // 100:
        raise InstallationError(f"{reply.status} instead of {expected}: {json.loads(said)}"[:500])
    return took
