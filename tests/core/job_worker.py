"""Run a worker that stops at one step of a job, so that a test can kill it. Argument: the step."""

import os
import sys
import time
from datetime import timedelta

import django
from django.conf import settings

django.setup()
settings.DATABASES["default"]["NAME"] = os.environ["WORKER_DATABASE"]

from django.db import transaction  # noqa: E402

from core.jobs.queue import Queue  # noqa: E402
from templatemgr.models import Build  # noqa: E402

QUEUE = Queue(
    model=Build,
    queued="queued",
    running=("fetching", "installing"),
    lease=timedelta(seconds=30),
    max_attempts=2,
)


def choose() -> Build | None:
    return QUEUE.oldest(QUEUE.rows())


def stall() -> None:
    os.write(1, b"stalled\n")
    time.sleep(600)


def main(step: str) -> None:
    if step == "claiming":
        with transaction.atomic():
            assert QUEUE.claim(worker="victim", choose=choose)
            stall()
    job = QUEUE.claim(worker="victim", choose=choose)
    assert job is not None
    if step == "renewed":
        assert QUEUE.renew(job, state="installing")
    if step == "ending":
        with transaction.atomic():
            assert QUEUE.end(job, state="ready")
            stall()
    if step == "ended":
        assert QUEUE.end(job, state="ready")
    if step == "given back":
        assert QUEUE.give_back(job)
    stall()


if __name__ == "__main__":
    main(sys.argv[1])
