"""Test the rows of deliveries with a clock of their own: schedule, fences, retention, secrets."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django.fixtures import Settings

from execapp.deliveries import attempts, events, outbox, signing, signing_secrets
from execapp.deliveries.sending import Answer, Cutter
from execapp.errors import InvalidRequestError
from execapp.models import Delivery, DeliveryAttempt, SigningSecret
from templatemgr.models import AuditEvent
from tests.execapp.deliveries.conftest import RULES
from tests.execapp.deliveries.receiver import Receiver, verified

pytestmark = pytest.mark.django_db
ACCEPTED = Answer(duration_ms=5.0, status=200, text="thanks")
REFUSED = Answer(duration_ms=5.0, status=500, text="broken")
DAY = timedelta(days=1)


class Clock:
    """The time that `timezone.now` tells."""

    def __init__(self) -> None:
        self.now = datetime(2026, 12, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(timezone, "now", made)
    return made


def make(signer: str = "token:1", **more: Any) -> Delivery:
    return outbox.enqueue(event="test", url="https://example.org/", signer=signer, **more)


def claimed(**options: Any) -> Delivery:
    found = outbox.claim(worker="w", **options)
    assert found is not None
    return found


def test_failures_are_retried_over_a_day_and_then_given_up(clock: Clock) -> None:
    made, start, pauses = make(), clock.now, list[float]()
    while True:
        assert outbox.finish(delivery=claimed(), answer=REFUSED)
        made.refresh_from_db()
        if made.state == "given_up":
            break
        assert made.next_at is not None
        pauses.append((made.next_at - clock.now).total_seconds())
        clock.now = made.next_at - timedelta(seconds=1)
        assert outbox.claim(worker="w") is None
        clock.now = made.next_at
    assert 0.9 * DAY < clock.now - start < 1.1 * DAY
    assert len(pauses) == 11
    assert all(earlier < later for earlier, later in itertools.pairwise(pauses))
    assert (made.attempt, made.next_at, made.finished_at) == (12, None, clock.now)
    assert DeliveryAttempt.objects.filter(delivery=made, status=500).count() == 12
    clock.now += 2 * DAY
    assert outbox.claim(worker="w") is None


def test_the_schedule_is_a_setting(clock: Clock, settings: Settings) -> None:
    settings.STENCIL_CALLBACK_RETRY_SECONDS = (5,)
    made = make()
    outbox.finish(delivery=claimed(), answer=REFUSED)
    clock.now += timedelta(seconds=6)
    outbox.finish(delivery=claimed(), answer=REFUSED)
    made.refresh_from_db()
    assert made.state == "given_up"


def test_an_accepted_delivery_ends(clock: Clock) -> None:
    made = make()
    assert outbox.finish(delivery=claimed(), answer=ACCEPTED)
    made.refresh_from_db()
    assert (made.state, made.next_at, made.worker) == ("delivered", None, "w")
    (attempt,) = made.attempts.all()
    assert (attempt.number, attempt.status, attempt.duration_ms) == (1, 200, 5.0)
    assert (attempt.error, attempt.answer, attempt.started_at) == ("", "thanks", clock.now)


def test_an_attempt_is_on_record_while_it_runs() -> None:
    make()
    running = claimed()
    (attempt,) = running.attempts.all()
    assert (attempt.number, attempt.duration_ms, attempt.status) == (1, None, None)
    assert outbox.claim(worker="other") is None


def test_a_lost_attempt_is_repeated_and_the_late_worker_writes_nothing(clock: Clock) -> None:
    make()
    late = claimed()
    clock.now += timedelta(seconds=319)
    assert outbox.reap() == 0
    clock.now += timedelta(seconds=2)
    assert outbox.reap() == 1
    assert not outbox.finish(delivery=late, answer=ACCEPTED)
    again = claimed()
    assert (again.attempt, again.tries) == (2, 0)
    assert outbox.finish(delivery=again, answer=ACCEPTED)
    assert not outbox.finish(delivery=late, answer=REFUSED)
    second, first = again.attempts.all()
    assert (first.error, first.duration_ms) == (outbox.LOST, None)
    assert (second.error, second.status) == ("", 200)


def test_the_deliveries_of_a_dead_executor_are_taken_over() -> None:
    make()
    claimed()
    assert outbox.take_over(worker="other") == 0
    assert outbox.take_over(worker="w") == 1
    assert claimed().attempt == 2


def test_the_delivery_that_is_due_longest_is_next_without_the_busy_signers(clock: Clock) -> None:
    first = make("token:slow")
    clock.now += timedelta(seconds=1)
    second = make("token:other")
    clock.now += timedelta(seconds=1)
    assert claimed(without=["token:slow"]) == second
    assert outbox.claim(worker="w", without=["token:slow"]) is None
    assert claimed() == first


def test_a_delivery_that_is_sent_again_has_its_id_and_the_whole_schedule(
    clock: Clock, settings: Settings
) -> None:
    settings.STENCIL_CALLBACK_RETRY_SECONDS = (5,)
    made = make()
    for _ in range(2):
        outbox.finish(delivery=claimed(), answer=REFUSED)
        clock.now += timedelta(seconds=6)
    again = outbox.resend(delivery_id=made.id)
    assert (again.id, again.state, again.next_at, again.tries) == (made.id, "queued", clock.now, 0)
    outbox.finish(delivery=claimed(), answer=REFUSED)
    assert Delivery.objects.get().state == "queued"
    clock.now += timedelta(seconds=1)
    assert outbox.claim(worker="w") is None
    outbox.resend(delivery_id=made.id)  # it waits for its next attempt: at once
    outbox.finish(delivery=claimed(), answer=ACCEPTED)
    assert Delivery.objects.get().state == "delivered"
    assert [each.number for each in made.attempts.all()] == [4, 3, 2, 1]


def test_sending_again_leaves_a_running_attempt_alone() -> None:
    made = make()
    running = claimed()
    assert outbox.resend(delivery_id=made.id).state == "sending"
    assert outbox.finish(delivery=running, answer=ACCEPTED)


def test_attempts_and_deliveries_are_kept_within_bounds(clock: Clock, settings: Settings) -> None:
    made = make()
    for _ in range(outbox.KEPT_ATTEMPTS + 3):
        outbox.resend(delivery_id=made.id)
        outbox.finish(delivery=claimed(), answer=ACCEPTED)
    numbers = [each.number for each in made.attempts.all()]
    assert numbers == list(range(outbox.KEPT_ATTEMPTS + 3, 3, -1))
    settings.STENCIL_CALLBACK_DAYS = 2
    open_one = make()
    clock.now += 2 * DAY
    assert outbox.forget() == 0
    clock.now += timedelta(seconds=1)
    settings.STENCIL_CALLBACK_DAYS = 0
    assert outbox.forget() == 0
    settings.STENCIL_CALLBACK_DAYS = 2
    assert outbox.forget() == 1
    assert list(Delivery.objects.all()) == [open_one]
    assert not DeliveryAttempt.objects.exists()


def test_an_idle_worker_reads_an_index() -> None:
    with CaptureQueriesContext(connection) as captured:
        outbox.claim(worker="w", without=["token:1"])
    (query,) = [each["sql"] for each in captured if each["sql"].startswith("SELECT")]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {query}")
        plan = " ".join(str(row[3]) for row in cursor.fetchall())
    assert "USING INDEX delivery_due (state=? AND next_at<?)" in plan
    assert "TEMP B-TREE" not in plan


# Events and signatures


@pytest.fixture
def event() -> Iterator[events.Event]:
    """Yield an event that is not an execution's, sent by PUT as text."""
    made = events.Event(
        name="test",
        method="PUT",
        content_type="text/plain",
        body=lambda delivery: f"{(delivery.payload or {})['disk']} ü".encode(),
    )
    events.register(made)
    yield made
    del events._events["test"]


def test_another_event_is_sent_by_the_same_service(event: events.Event, receiver: Receiver) -> None:
    made = outbox.enqueue(
        event="test", url=receiver.url, signer="endpoint:7", payload={"disk": "low"}
    )
    assert attempts.run(delivery=claimed(), rules=RULES, cutter=Cutter())
    (got,) = receiver.got
    assert (got.method, got.body.decode()) == ("PUT", "low ü")
    assert got.headers["content-type"] == "text/plain"
    assert got.headers["stencil-event"] == "test"
    assert got.headers["stencil-delivery"] == str(made.id)
    assert verified(got, signing_secrets.find_or_make(owner="endpoint:7").secret) == [True]


def test_a_message_that_cannot_be_made_follows_the_schedule(caplog: Any) -> None:
    make()
    assert attempts.run(delivery=claimed(), rules=RULES, cutter=Cutter())
    made = Delivery.objects.get()
    assert (made.state, made.tries) == ("queued", 1)
    error = made.attempts.get().error
    assert error.startswith("Stencil failed to make the message")
    assert error.split()[-1].rstrip(".") in caplog.text


def test_the_signature_is_the_one_of_the_documentation() -> None:
    """Computed with `printf '1764547200.{"id":"1"}' | openssl dgst -sha256 -hmac stnsec_test`."""
    made = signing.signature(secrets=["stnsec_test"], time=1764547200, body=b'{"id":"1"}')
    assert made == f"t=1764547200,v1={DIGEST}"


DIGEST = "cabfdbcdc3a9cd3edd3c846554452c1f7bd04dcdacdfaa7c6414962cf7c40354"


def test_a_rotation_keeps_the_old_secret_for_its_grace(clock: Clock) -> None:
    old = signing_secrets.find_or_make(owner="token:1").secret
    assert signing_secrets.valid(owner="token:1") == [old]
    options = {"owner": "token:1", "actor": "ann", "name": "ci"}
    new = signing_secrets.rotate(grace=timedelta(hours=1), **options).secret
    assert old != new
    assert signing_secrets.valid(owner="token:1") == [new, old]
    clock.now += timedelta(hours=1)
    assert signing_secrets.valid(owner="token:1") == [new]
    signing_secrets.rotate(grace=timedelta(0), **options)
    row = SigningSecret.objects.get()
    assert (row.previous, row.in_grace) == ("", False)
    assert signing_secrets.valid(owner="token:1") == [row.secret]
    found = AuditEvent.objects.filter(action="token.signing_secret", object="ci")
    assert [each.details["grace_seconds"] for each in found.order_by("sequence")] == [3600, 0]
    assert old not in str(list(found.values()))
    for grace in (timedelta(days=31), timedelta(seconds=-1)):
        with pytest.raises(InvalidRequestError):
            signing_secrets.rotate(grace=grace, **options)


def test_no_secret_is_shown_by_a_row() -> None:
    made = signing_secrets.find_or_make(owner="token:1")
    assert made.secret not in f"{made!s} {made!r}"
