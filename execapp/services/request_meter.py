"""Requests a minute of a token with a limit of its own, exact for all processes and machines.

One row holds one time: when the budget is whole again (GCRA, the generic cell rate algorithm). A
request moves it by a minute divided by the limit, in one conditional UPDATE.
"""

from time import time_ns
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import BigIntegerField, Case, F, Q, Value, When

from execapp.models import RequestMeter

WINDOW_NS = 60_000_000_000  # nanoseconds in which an empty budget is whole again


def take(token_id: UUID, limit: int) -> tuple[bool, int]:
    """Count one request; return if it is admitted, and the nanoseconds until the budget is whole.

    A refused request costs nothing. A time more than two minutes ahead was written before the clock
    was set back: the budget begins anew. The second minute leaves room for machines whose clocks
    differ. The count is exact for up to 244,000 requests a minute.
    """
    now, cost = time_ns(), WINDOW_NS // limit
    rows = RequestMeter.objects.filter(token_id=token_id)
    with transaction.atomic():
        if not _move(token_id, now, cost):
            full_at = rows.values_list("full_at", flat=True).first()
            if full_at is None and _create(token_id, now + cost):
                return True, cost
            if full_at is not None or not _move(token_id, now, cost):
                return False, max(0, rows.get().full_at - now)
        return True, max(0, rows.get().full_at - now)


def _create(token_id: UUID, full_at: int) -> bool:
    try:
        with transaction.atomic():
            RequestMeter.objects.create(token_id=token_id, full_at=full_at)
    except IntegrityError:
        return False
    return True


def _move(token_id: UUID, now: int, cost: int) -> bool:
    stale = Q(full_at__lt=now) | Q(full_at__gt=now + 2 * WINDOW_NS)
    rows = RequestMeter.objects.filter(token_id=token_id)
    rows = rows.filter(stale | Q(full_at__lte=now + WINDOW_NS - cost))
    begin = Case(When(stale, then=Value(now)), default=F("full_at"), output_field=BigIntegerField())
    return rows.update(full_at=begin + cost) == 1
