"""Test the queue of leased jobs and the worker loop on the tables of builds and lookups."""

import logging
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.db.models import F, Q
from django.utils import timezone

from core.database import triggers
from core.jobs.failures import FailureLog
from core.jobs.queue import Queue
from core.jobs.wakeup import Wakeup
from core.jobs.worker import Periodic, Worker
from templatemgr.models import Build, Lookup, Template
from tests import factories

ROOT = Path(__file__).parents[2]
QUEUE = Queue(
    model=Build,
    queued="queued",
    running=("fetching", "installing"),
    lease=timedelta(seconds=30),
    max_attempts=2,
)
PLAIN = Queue(  # its jobs cannot be cancelled
    model=Lookup, queued="queued", running=("running",), lease=timedelta(seconds=30)
)
SOON = 30.0


@pytest.fixture(autouse=True)
def committed(transactional_db: None) -> Iterator[None]:
    yield
    triggers.remove(connection)


@pytest.fixture
def template() -> Template:
    return factories.make_template_row("t", title="T")


def make_jobs(template: Template, count: int = 1) -> list[Build]:
    return [factories.make_build_row(template, "queued") for _ in range(count)]


def claim(worker: str = "w") -> Build:
    job = QUEUE.claim(worker=worker, choose=lambda: QUEUE.oldest(QUEUE.rows()))
    assert job is not None
    return job


def expire() -> None:
    Build.objects.update(lease_until=timezone.now() - timedelta(seconds=1))


def state() -> tuple[str, int, str]:
    return Build.objects.values_list("state", "attempt", "worker").get()


def reap(gave_up: list[Build] | None = None) -> int:
    def give_up(job: Build) -> bool:
        if gave_up is not None:
            gave_up.append(job)
        return QUEUE.end(job, state="interrupted", unrenewed=True)

    return QUEUE.recover(QUEUE.expired(), give_up=give_up)


def test_a_claim_is_in_the_row_and_in_the_object(template: Template) -> None:
    make_jobs(template)
    job = QUEUE.claim(worker="w", choose=lambda: QUEUE.oldest(QUEUE.rows()), step="fetching")
    row = Build.objects.get()
    for found in (job, row):
        assert found is not None
        assert (found.state, found.attempt, found.worker, found.step) == (
            "fetching",
            1,
            "w",
            "fetching",
        )
        assert found.started_at is not None
        assert found.lease_until is not None
        assert found.lease_until - found.started_at == QUEUE.lease


def test_the_oldest_is_claimed_first_and_none_is_left_over(template: Template) -> None:
    made = make_jobs(template, 3)
    assert [claim().pk for _ in made] == [job.pk for job in made]
    assert QUEUE.claim(worker="w", choose=lambda: QUEUE.oldest(QUEUE.rows())) is None


def test_workers_that_race_claim_each_job_once(template: Template) -> None:
    made = {job.pk for job in make_jobs(template, 20)}
    start = threading.Barrier(4)

    def work(number: int) -> list[uuid.UUID]:
        got = []
        start.wait()
        while job := QUEUE.claim(worker=f"w{number}", choose=lambda: QUEUE.oldest(QUEUE.rows())):
            got.append(job.pk)
        connection.close()
        return got

    with ThreadPoolExecutor(4) as threads:
        got = [pk for part in threads.map(work, range(4)) for pk in part]
    assert len(got) == 20
    assert set(got) == made
    assert set(Build.objects.values_list("attempt", flat=True)) == {1}


def test_who_was_slower_chooses_again(template: Template) -> None:
    first, second = make_jobs(template, 2)
    stale = [Build.objects.get(pk=first.pk), Build.objects.get(pk=second.pk)]
    assert claim("quick").pk == first.pk
    job = QUEUE.claim(worker="slow", choose=lambda: stale.pop(0) if stale else None)
    assert job is not None
    assert job.pk == second.pk
    assert Build.objects.get(pk=first.pk).worker == "quick"


def test_a_lease_that_ran_out_returns_the_job_and_the_last_attempt_gives_it_up(
    template: Template,
) -> None:
    make_jobs(template)
    claim()
    gave_up: list[Build] = []
    assert reap(gave_up) == 0, "its lease runs"
    expire()
    assert reap(gave_up) == 1
    row = Build.objects.get()
    assert (row.state, row.attempt, row.worker, row.lease_until, row.started_at) == (
        "queued",
        1,
        "",
        None,
        None,
    )
    assert claim().attempt == 2
    expire()
    assert (reap(gave_up), len(gave_up)) == (1, 1)
    assert state() == ("interrupted", 2, "w")
    assert reap(gave_up) == 0


def test_a_job_without_a_second_attempt_is_never_queued_again(template: Template) -> None:
    """This includes a job that an older release claimed without an attempt count."""
    factories.make_lookup_row(template, state="running")
    gave_up = PLAIN.recover(PLAIN.expired(), give_up=lambda job: PLAIN.end(job, state="failed"))
    assert gave_up == 1
    assert Lookup.objects.get().state == "failed"


def test_a_running_job_without_a_lease_counts_as_expired(template: Template) -> None:
    make_jobs(template)
    claim()
    Build.objects.update(lease_until=None)
    assert reap() == 1


def test_a_renewal_prolongs_the_lease(template: Template) -> None:
    make_jobs(template)
    job = claim()
    expire()
    assert QUEUE.renew(job, state="installing")
    assert reap() == 0
    assert state() == ("installing", 1, "w")
    assert QUEUE.renew(job, lease=timedelta(hours=1))
    lease = Build.objects.get().lease_until
    assert lease is not None
    assert lease > timezone.now() + timedelta(minutes=50)


def test_an_update_leaves_the_lease_alone(template: Template) -> None:
    make_jobs(template)
    job = claim()
    assert QUEUE.update(job, state="installing", message="x")
    row = QUEUE.held_attempt(job.pk, 1).get()
    assert (row.state, row.message, row.lease_until) == ("installing", "x", job.lease_until)
    assert not QUEUE.held_attempt(job.pk, 2).exists()


def test_only_the_leases_of_the_worker_are_renewed(template: Template) -> None:
    make_jobs(template, 3)
    mine, other, ended = claim("mine"), claim("other"), claim("mine")
    assert QUEUE.end(ended, state="ready")
    expire()
    assert QUEUE.renew_all(worker="mine", ids=[mine.pk, other.pk, ended.pk]) == 1
    assert reap() == 1
    assert Build.objects.get(pk=other.pk).state == "queued"


@pytest.mark.parametrize("again", [False, True])
def test_a_worker_that_lost_its_lease_writes_nothing(template: Template, again: bool) -> None:
    make_jobs(template)
    late = claim("slow")
    expire()
    assert reap() == 1
    if again:
        claim("quick")
    before = Build.objects.values().get()
    assert not QUEUE.renew(late, message="x")
    assert not QUEUE.update(late, message="x")
    assert not QUEUE.end(late, state="ready", message="x")
    assert not QUEUE.end(late, state="ready", message=F("step"))
    assert not QUEUE.give_back(late)
    assert not QUEUE.give_back(late, counted=False)
    assert not QUEUE.held(late).exists()
    assert not QUEUE.held_attempt(late.pk, late.attempt).exists()
    assert Build.objects.values().get() == before


def test_a_job_ends_once(template: Template) -> None:
    make_jobs(template)
    job = claim()
    assert QUEUE.end(job, state="ready", message="first", step=F("state"))
    assert not QUEUE.end(job, state="failed", message="second")
    assert not QUEUE.give_back(job)
    row = Build.objects.get()
    assert (row.state, row.message, row.step, row.lease_until) == (
        "ready",
        "first",
        "fetching",
        None,
    )
    assert row.finished_at is not None


def test_an_uncounted_requeue_keeps_the_attempt(template: Template) -> None:
    make_jobs(template)
    assert QUEUE.give_back(claim(), counted=False)
    assert state() == ("queued", 0, "")
    assert QUEUE.give_back(claim())
    assert state() == ("queued", 1, "")


def test_the_reaper_skips_jobs_that_were_renewed_after_its_query(template: Template) -> None:
    make_jobs(template)
    job = claim()
    expire()
    stale = Build.objects.get()
    assert QUEUE.renew(job)
    assert not QUEUE.give_back(stale, unrenewed=True)
    assert not QUEUE.end(stale, state="interrupted", unrenewed=True)
    assert state() == ("fetching", 1, "w")


def test_take_over_of_a_dead_worker_leaves_the_others_alone(template: Template) -> None:
    make_jobs(template, 2)
    dead, alive = claim("dead"), claim("alive")
    recovered = QUEUE.recover(Q(worker="dead"), give_up=lambda _: False)
    assert recovered == 1
    assert Build.objects.get(pk=dead.pk).state == "queued"
    assert Build.objects.get(pk=alive.pk).state == "fetching"


def test_a_queued_job_is_cancelled_at_once(template: Template) -> None:
    (job,) = make_jobs(template)
    assert not QUEUE.request_cancel(job.pk)
    assert QUEUE.cancel_queued(job.pk, state="cancelled", message="no")
    assert not QUEUE.cancel_queued(job.pk, state="cancelled")
    row = Build.objects.get()
    assert (row.state, row.cancel_requested, row.message) == ("cancelled", True, "no")
    assert row.finished_at is not None
    assert QUEUE.claim(worker="w", choose=lambda: QUEUE.oldest(QUEUE.rows())) is None


def test_a_cancellation_between_choosing_and_taking_wins(template: Template) -> None:
    (job,) = make_jobs(template)
    assert QUEUE.cancel_queued(job.pk, state="cancelled")
    assert not QUEUE.take(job, worker="w")
    assert state() == ("cancelled", 0, "")


def test_a_running_job_is_asked_once_and_never_queued_again(template: Template) -> None:
    make_jobs(template)
    job = claim()
    assert not QUEUE.cancel_queued(job.pk, state="cancelled")
    assert QUEUE.request_cancel(job.pk)
    assert not QUEUE.request_cancel(job.pk)
    assert QUEUE.request_cancel(job.pk, again=True, message="twice")
    assert QUEUE.held(job).filter(cancel_requested=True).exists()
    assert not QUEUE.give_back(job)
    expire()
    assert reap() == 0, "the service decides how a cancelled job ends"
    assert QUEUE.end(job, state="cancelled")


def test_an_ended_job_is_not_cancelled(template: Template) -> None:
    make_jobs(template)
    job = claim()
    assert QUEUE.end(job, state="ready")
    assert not QUEUE.cancel_queued(job.pk, state="cancelled")
    assert not QUEUE.request_cancel(job.pk, again=True)
    assert Build.objects.get().cancel_requested is False


def test_a_model_without_cancellation_has_the_rest(template: Template) -> None:
    factories.make_lookup_row(template)
    job = PLAIN.claim(worker="w", choose=lambda: PLAIN.oldest(PLAIN.rows()))
    assert job is not None
    assert PLAIN.give_back(job)
    job = PLAIN.claim(worker="w", choose=lambda: PLAIN.oldest(PLAIN.rows()))
    assert job is not None
    assert job.attempt == 2
    assert PLAIN.end(job, state="done", candidates=[{"name": "x"}])
    assert Lookup.objects.get().candidates == [{"name": "x"}]


@pytest.mark.parametrize(
    ("step", "left"),
    [
        ("claiming", ("queued", 0, "")),
        ("claimed", ("queued", 1, "")),
        ("renewed", ("queued", 1, "")),
        ("ending", ("queued", 1, "")),
        ("ended", ("ready", 1, "victim")),
        ("given back", ("queued", 1, "")),
    ],
)
def test_a_worker_killed_at_any_step_leaves_a_job_that_runs_again_or_has_ended(
    template: Template, step: str, left: tuple[str, int, str]
) -> None:
    make_jobs(template)
    connection.close()
    victim = subprocess.Popen(
        [sys.executable, "-m", "tests.core.job_worker", step],
        cwd=ROOT,
        env=os.environ
        | {
            "DJANGO_SETTINGS_MODULE": "webui.settings",
            "WORKER_DATABASE": str(connection.settings_dict["NAME"]),
        },
        stdout=subprocess.PIPE,
        text=True,
    )
    assert victim.stdout is not None
    with victim.stdout:
        said = victim.stdout.readline()
        victim.send_signal(signal.SIGKILL)
        victim.wait(SOON)
    assert said == "stalled\n"
    Build.objects.filter(lease_until__isnull=False).update(
        lease_until=timezone.now() - timedelta(seconds=1)
    )
    reap()
    assert state() == left
    if left[0] == "queued":
        assert QUEUE.end(claim("next"), state="ready")


class Loop:
    """A worker in a thread that uses a list as its queue."""

    def __init__(self, *periodic: Periodic, poll_seconds: float = 0.01) -> None:
        self.jobs: list[str] = []
        self.done: list[str] = []
        self.stopping, self.wakeup = threading.Event(), Wakeup()
        self.worker = Worker[str](
            name="the test worker",
            claim=self.claim,
            run=self.run,
            wakeup=self.wakeup,
            stopping=self.stopping,
            failures=FailureLog(logging.getLogger(__name__)),
            periodic=periodic,
            poll_seconds=poll_seconds,
        )
        self.thread = threading.Thread(target=self.worker.serve)

    def claim(self) -> str | None:
        if self.jobs and self.jobs[0] == "claim fails":
            self.jobs.pop(0)
            raise OSError("no database")
        return self.jobs.pop(0) if self.jobs else None

    def run(self, job: str) -> None:
        if job == "run fails":
            raise OSError("no sandbox")
        self.done.append(job)
        if job == "stop":
            self.stop()

    def stop(self) -> None:
        self.stopping.set()
        self.wakeup.notify()

    def serve(self) -> list[str]:
        self.thread.start()
        self.thread.join(SOON)
        assert not self.thread.is_alive()
        return self.done


def test_a_worker_runs_jobs_until_it_is_stopped() -> None:
    loop = Loop()
    loop.jobs = ["a", "b", "stop", "c"]
    assert loop.serve() == ["a", "b", "stop"]
    assert loop.jobs == ["c"]


def test_a_worker_goes_on_after_failures_and_logs_each_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop = Loop()
    loop.jobs = ["claim fails", "claim fails", "run fails", "run fails", "a", "stop"]
    assert loop.serve() == ["a", "stop"]
    assert caplog.text.count("the test worker: unhandled error, continuing") == 2
    assert caplog.text.count(" a job of the test worker: unhandled error, continuing") == 1
    assert caplog.text.count("no database") > 0
    assert "works again after 2 failures" in caplog.text


def test_a_periodic_act_that_fails_keeps_no_job_waiting(caplog: pytest.LogCaptureFixture) -> None:
    acts: list[int] = []

    def fails() -> None:
        acts.append(1)
        raise OSError("no disk")

    loop = Loop(
        Periodic(name="the chore", action=fails, seconds=0.0),
        Periodic(name="once", action=lambda: acts.append(2), seconds=float("inf")),
        Periodic(name="later", action=lambda: acts.append(3), seconds=0.0, delay=3600.0),
    )
    loop.jobs = ["a", "b", "stop"]
    assert loop.serve() == ["a", "b", "stop"]
    assert (acts.count(1), acts.count(2), acts.count(3)) == (3, 1, 0)
    assert caplog.text.count("the chore: unhandled error, continuing") == 1


def test_a_wake_up_while_the_worker_looked_is_not_lost() -> None:
    loop = Loop(poll_seconds=3600.0)
    looked: list[int] = []

    def claim() -> str | None:
        looked.append(1)
        if len(looked) == 1:  # a job comes right after the look
            loop.jobs = ["stop"]
            loop.wakeup.notify()
            return None
        return Loop.claim(loop)

    loop.worker.claim = claim
    assert loop.serve() == ["stop"]


def test_a_worker_closes_its_connection_at_its_end() -> None:
    loop = Loop()
    open_at_end: list[object] = []

    def claim() -> str | None:
        connection.ensure_connection()
        mine = connection.connection
        loop.stop()
        open_at_end.append(mine)
        return None

    loop.worker.claim = claim
    loop.serve()
    with pytest.raises(Exception, match="closed"):
        open_at_end[0].execute("SELECT 1")  # type: ignore[attr-defined]
