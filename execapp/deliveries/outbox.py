"""The rows of deliveries: write, claim, record the end of an attempt, send again, delete.

The claim writes the row of its attempt, and the row's duration when it ends. An executor that is
killed in between leaves an attempt without a duration; the delivery is sent again.
"""

import random
from collections.abc import Collection
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, Prefetch, Q, QuerySet
from django.utils import timezone

from core.engine import WakeKind, wake_on_commit
from core.pagination import IDENTIFIER, Order, Page, paginate
from execapp.deliveries.rules import retry_delays, rules
from execapp.deliveries.sending import Answer
from execapp.models import Delivery, DeliveryAttempt, DeliveryState, Execution
from execapp.queues import DELIVERIES

KEPT_ATTEMPTS = 50  # of one delivery
DELETED_AT_ONCE = 500
JITTER = 0.1  # of a pause, so that failed deliveries do not all return at the same moment
LOST = "The executor ended during this attempt. The receiver may have got it."
NEWEST = Order(("-id",), cursor=IDENTIFIER)  # ids sort by the time they were made


def enqueue(
    *,
    event: str,
    url: str,
    signer: str,
    execution: Execution | None = None,
    payload: Any = None,
) -> Delivery:
    """Write a delivery in the caller's transaction, and wake an executor after its commit."""
    made = Delivery.objects.create(
        event=event,
        url=url,
        signer=signer,
        execution=execution,
        payload=payload,
        next_at=timezone.now(),
    )
    wake_on_commit(WakeKind.DELIVERY)
    return made


def claim(*, worker: str, without: Collection[str] = ()) -> Delivery | None:
    """Claim the delivery that is due for the longest time, and write its attempt; None if none is.

    Deliveries of the signers `without` wait: those have enough running attempts.
    """

    def choose() -> Delivery | None:
        due = Delivery.objects.filter(next_at__lte=timezone.now()).exclude(signer__in=without)
        return due.filter(state=DeliveryState.QUEUED).order_by("next_at").first()

    # The lease covers the connection, the exchange, and the time-outs of the resolver.
    lease_until = timezone.now() + DELIVERIES.lease + timedelta(seconds=2 * rules().seconds)
    with transaction.atomic():
        found = DELIVERIES.claim(worker=worker, choose=choose, lease_until=lease_until)
        if found is not None:
            DeliveryAttempt.objects.create(
                delivery=found,
                number=found.attempt,
                started_at=found.started_at or timezone.now(),
            )
            old = found.attempt - KEPT_ATTEMPTS
            if old > 0:
                DeliveryAttempt.objects.filter(delivery=found, number__lte=old).delete()
    return found


def finish(*, delivery: Delivery, answer: Answer) -> bool:
    """Record the end of an attempt; False if the attempt is not the current one.

    A failed delivery is due again after the next pause of the schedule; after the last one it is
    given up.
    """
    with transaction.atomic():
        if not _settle(delivery, accepted=answer.accepted):
            return False
        DeliveryAttempt.objects.filter(delivery=delivery, number=delivery.attempt).update(
            duration_ms=answer.duration_ms,
            status=answer.status,
            error=answer.error[:300],
            answer=answer.text,
        )
    return True


def give_back(*, delivery: Delivery) -> bool:
    """Return a delivery whose attempt was ended by us to the queue; it is due at once."""
    with transaction.atomic():
        given = DELIVERIES.give_back(delivery, next_at=timezone.now())
        if given:
            _mark_lost(delivery)
    return given


def resend(*, delivery_id: UUID) -> Delivery:
    """Make a delivery due now, with the whole schedule before it; a running attempt goes on.

    Its id stays, so a receiver that deduplicates can tell that it is the same message.
    """
    again = {"next_at": timezone.now(), "tries": 0}
    ended = (DeliveryState.DELIVERED, DeliveryState.GIVEN_UP)
    with transaction.atomic():
        rows = Delivery.objects.filter(id=delivery_id)
        waiting = rows.filter(state=DeliveryState.QUEUED)
        if DELIVERIES.reopen(delivery_id, ended=ended, **again) or waiting.update(**again):
            wake_on_commit(WakeKind.DELIVERY)
    return with_attempts(rows).get()


def with_attempts(rows: QuerySet[Delivery]) -> QuerySet[Delivery]:
    """Return these rows, each with its attempts, newest first; one query more."""
    return rows.prefetch_related(Prefetch("attempts", DeliveryAttempt.objects.order_by("-number")))


def page_of(*, execution: Execution, cursor: str | None = None, limit: int = 50) -> Page[Delivery]:
    """Return a page of an execution's deliveries, newest first. Raises CursorError."""
    rows = with_attempts(Delivery.objects.filter(execution=execution))
    return paginate(rows, NEWEST, cursor=cursor, limit=limit)


def reap() -> int:
    """Return deliveries with an expired lease to the queue; return how many."""
    return _recover(DELIVERIES.expired())


def take_over(*, worker: str) -> int:
    """Return the deliveries of a dead worker to the queue; return how many."""
    return _recover(Q(worker=worker))


def forget() -> int:
    """Delete some of the deliveries whose retention is over; return how many."""
    days = settings.STENCIL_CALLBACK_DAYS
    if not days:
        return 0
    before = timezone.now() - timedelta(days=days)
    old = Delivery.objects.filter(finished_at__lt=before).order_by("finished_at")
    ids = list(old.values_list("id", flat=True)[:DELETED_AT_ONCE])
    if ids:
        Delivery.objects.filter(id__in=ids).delete()
    return len(ids)


def _settle(delivery: Delivery, *, accepted: bool) -> bool:
    delays = retry_delays()
    if accepted or delivery.tries >= len(delays):
        state = DeliveryState.DELIVERED if accepted else DeliveryState.GIVEN_UP
        return DELIVERIES.end(delivery, state=state, next_at=None, tries=delivery.tries + 1)
    pause = delays[delivery.tries] * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311
    return DELIVERIES.give_back(delivery, next_at=timezone.now() + pause, tries=F("tries") + 1)


def _recover(condition: Q) -> int:
    def again(delivery: Delivery) -> bool:
        with transaction.atomic():
            given = DELIVERIES.give_back(delivery, unrenewed=True, next_at=timezone.now())
            if given:
                _mark_lost(delivery)
        return given

    return DELIVERIES.recover(condition, retry=again, give_up=again)


def _mark_lost(delivery: Delivery) -> None:
    running = DeliveryAttempt.objects.filter(delivery=delivery, duration_ms=None)
    running.filter(number=delivery.attempt).update(error=LOST)
