"""Count executions and requests, and add the counts to the rows once a second."""

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.db import transaction

from core.jobs.failures import FailureLog
from core.jobs.wakeup import Wakeup
from core.jobs.worker import Periodic, Worker
from execapp.counters import families
from execapp.counters.tally import FORGET_SECONDS, TALLY, forget
from execapp.models import Execution

FLUSH_SECONDS = 1.0
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
PHASES = ("queued", "setup", "run", "collect", "total")
ANYTHING = r"[\s\S]*"  # in the patterns of all unknown addresses
NO_ROUTE = "none"  # refused before its address was looked up, or an unknown address

logger = logging.getLogger(__name__)


def count_end(execution: Execution, columns: Mapping[str, Any]) -> None:
    """Count an ended execution when the transaction commits; `columns` are its final columns."""
    labels = (execution.template_name, str(execution.version.number), execution.mode)
    transaction.on_commit(partial(_ended, *labels, str(columns["state"]), columns["timings"]))


def _ended(template: str, version: str, mode: str, state: str, timings: Mapping[str, Any]) -> None:
    TALLY.add(families.EXECUTIONS, template, version, mode, state)
    if timings.get("start"):
        TALLY.add(families.STARTS, template, str(timings["start"]))
    for phase in PHASES:
        milliseconds = timings.get(f"{phase}_ms")
        if milliseconds is not None:
            TALLY.observe(families.PHASES, template, phase, seconds=milliseconds / 1000)


def count_request(*, method: str, route: str | None, status: int, seconds: float) -> None:
    """Count an answered request; `route` is the pattern of its address, None if it has none."""
    kind = method if method in METHODS else families.OTHER
    pattern = _shown(route)
    TALLY.add(families.REQUESTS, kind, pattern, str(status))
    TALLY.observe(families.REPLIES, kind, pattern, seconds=seconds)


def _shown(route: str | None) -> str:
    """Return a route as an address with its parameters: `/api/v1/builds/<build_id>`."""
    if route is None or ANYTHING in route:
        return NO_ROUTE
    plain = route.removeprefix("^").removesuffix(r"\Z").removesuffix("/?")
    return f"/{plain}"


@contextmanager
def flushing() -> Iterator[None]:
    """Add the counts of this process to the rows once a second, in a thread, and at the end."""
    stopping, wakeup = threading.Event(), Wakeup()
    worker = Worker[None](
        name="the counters",
        claim=TALLY.flush,
        run=lambda _: None,
        wakeup=wakeup,
        stopping=stopping,
        failures=FailureLog(logger),
        periodic=[Periodic(name="old counters", action=forget, seconds=FORGET_SECONDS)],
        poll_seconds=FLUSH_SECONDS,
    )

    def serve() -> None:
        worker.serve()
        flush_last()

    thread = threading.Thread(target=serve, name="counters")
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        wakeup.notify()
        thread.join()


def flush_last() -> None:
    """Add the counts to the rows before the process ends; log a failure."""
    try:
        TALLY.flush()
    except Exception:
        logger.exception("the counts of the last second are lost")
