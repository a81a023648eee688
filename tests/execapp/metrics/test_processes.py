"""Test the metrics of several web processes and an executor process: all tell the same truth."""

import http.client
import subprocess
from collections.abc import Callable

from execapp.counters.tally import TALLY
from tests.execapp.conftest import Api, until
from tests.execapp.metrics.test_metrics import Samples, parsed, value
from tests.minimal_template import HELLO
from tests.timeouts import HANGS_SECONDS

HEALTH = {"method": "GET", "route": "/healthz", "status": "200"}
UNKNOWN = {"method": "GET", "route": "none", "status": "404"}
ENDED = {"template": "tiny", "version": "1", "mode": "run", "state": "succeeded"}


def ask(url: str, path: str) -> tuple[int, str]:
    """Return the status and the body; status 0 if nobody listens."""
    link = http.client.HTTPConnection(url.removeprefix("http://"), timeout=HANGS_SECONDS)
    try:
        link.request("GET", path)
        reply = link.getresponse()
        return reply.status, reply.read().decode()
    except OSError:
        return 0, ""
    finally:
        link.close()


def get(url: str, path: str) -> int:
    return ask(url, path)[0]


def scrape(url: str) -> Samples:
    status, text = ask(url, "/metrics")
    assert status == 200, text
    return parsed(text)


def test_every_web_process_tells_the_same_truth(
    api: Api,
    web_process: Callable[[], str],
    executor_process: Callable[..., subprocess.Popen[str]],
) -> None:
    TALLY.clear()
    executor_process("--slots", "1", "--warm", "0")
    assert api.submit(HELLO, wait=30)["state"] == "succeeded"
    webs = [web_process(), web_process()]
    for web, count in zip(webs, (3, 4), strict=True):
        assert [get(web, "/healthz") for _ in range(count)] == [200] * count
        assert get(web, "/api/v1/nothing-here") == 404

    def complete() -> bool:
        return all(
            value(found, "stencil_http_requests_total", **HEALTH) == 7
            and value(found, "stencil_http_requests_total", **UNKNOWN) == 2
            and value(found, "stencil_executions_total", **ENDED) == 1
            for found in map(scrape, webs)
        )

    until(complete, left=lambda: str([scrape(web) for web in webs]))
    again = web_process()  # a restart loses no count
    assert value(scrape(again), "stencil_http_requests_total", **HEALTH) == 7
    replies = {"method": "GET", "route": "/healthz"}
    assert value(scrape(again), "stencil_http_request_seconds_count", **replies) == 7
