"""`GET /metrics`: the metrics in Prometheus' text format, for tokens and for local processes."""

import ipaddress
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from django.http import HttpRequest, HttpResponse
from django.http.request import split_domain_port
from prometheus_client import CollectorRegistry, exposition
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from execapp.api.http import auth
from execapp.api.http.responses import check_query
from execapp.errors import UnauthorizedError
from execapp.services import metrics

KEPT_SECONDS = 1.0  # several scrapers cost as much as one
PROXIED = "stencil.proxied"  # the key in META: the request names a proxy, trusted or not
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
OPENMETRICS = "application/openmetrics-text"


@dataclass(kw_only=True)
class Scrape:
    """The metrics of this process' last scrape. One thread at a time renews them."""

    collect: Callable[[], Iterable[Metric]]
    lock: threading.Lock = field(default_factory=threading.Lock)
    found: list[Metric] = field(default_factory=list)
    until: float = 0.0

    def get(self) -> list[Metric]:
        """Return metrics that are at most a second old."""
        with self.lock:
            if time.monotonic() >= self.until:
                self.found = list(self.collect())
                self.until = time.monotonic() + KEPT_SECONDS
            return self.found

    def forget(self) -> None:
        """Collect again at the next scrape. For tests."""
        self.until = 0.0


SCRAPE = Scrape(collect=metrics.collect)


class _Given(Collector):
    """A collector of given metrics."""

    def __init__(self, found: list[Metric]) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        return self._found


def view(request: HttpRequest) -> HttpResponse:
    """Return the metrics; in the OpenMetrics format if Accept names it.

    Raise UnauthorizedError, ForbiddenError and RateLimitedError.
    """
    if request.method != "GET":
        response = HttpResponse(status=405)
        response["Allow"] = "GET"
        return response
    if "Authorization" in request.headers or not is_local(request):
        _check_token(request)
    check_query(request, ())
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Given(SCRAPE.get()))
    if OPENMETRICS in request.headers.get("Accept", ""):
        text = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]
        media_type = openmetrics.CONTENT_TYPE_LATEST
    else:
        text, media_type = exposition.generate_latest(registry), exposition.CONTENT_TYPE_PLAIN_0_0_4
    response = HttpResponse(text, content_type=media_type)
    response["Cache-Control"] = "no-store"
    return response


def is_local(request: HttpRequest) -> bool:
    """Return whether a process of this machine asks, directly and by a local name.

    Behind a proxy on this machine every client has a loopback address. A page in a browser of this
    machine can ask by a foreign name that leads to loopback.
    """
    try:
        address = ipaddress.ip_address(str(request.META.get("REMOTE_ADDR", "")))
    except ValueError:
        return False
    host, _ = split_domain_port(request.get_host())
    return address.is_loopback and host in LOCAL_NAMES and not request.META.get(PROXIED)


def _check_token(request: HttpRequest) -> None:
    if auth.read(request) is None:
        message = "Send a token with the scope 'read': Authorization: Bearer <token>."
        raise UnauthorizedError(message)
