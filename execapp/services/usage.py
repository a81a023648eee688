"""What the executions of a token used, by day of UTC and template.

The end of an execution counts in the transaction that records the end: whichever way it ends, it
counts once. The counts of a day are kept for `STENCIL_USAGE_DAYS` days.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Sum
from django.utils import timezone

from core.database.prepared import Param, PreparedUpdate
from execapp.models import Execution, TokenUsage
from execapp.services.storage import day_of

DELETED_AT_ONCE = 500  # rows of one transaction
_COUNT = PreparedUpdate(
    lambda: (
        TokenUsage.objects.filter(
            token_id=Param(TokenUsage, "token_id"),
            day=Param(TokenUsage, "day"),
            template_name=Param(TokenUsage, "template_name"),
        ),
        {"executions": F("executions") + 1, "cpu_ms": F("cpu_ms") + Param(TokenUsage, "cpu_ms")},
    )
)


def count_end(execution: Execution, columns: Mapping[str, Any]) -> None:
    """Count an ended execution of a token; `columns` are its final columns."""
    if execution.token_id is None:
        return
    cpu_ms = round((columns.get("usage") or {}).get("cpu_ms") or 0)
    where = {
        "token_id": execution.token_id,
        "day": day_of(timezone.now()),
        "template_name": execution.template_name,
    }
    if _COUNT.run(**where, cpu_ms=cpu_ms):
        return
    try:
        with transaction.atomic():  # the first end of the day
            TokenUsage.objects.create(**where, executions=1, cpu_ms=cpu_ms)
    except IntegrityError:
        _COUNT.run(**where, cpu_ms=cpu_ms)


def cpu_ms_today(token_id: UUID) -> int:
    """Return the CPU milliseconds of the executions of a token that ended today."""
    rows = TokenUsage.objects.filter(token_id=token_id, day=day_of(timezone.now()))
    return int(rows.aggregate(used=Sum("cpu_ms"))["used"] or 0)


def forget() -> int:
    """Delete some of the counts whose retention is over; return how many."""
    days = settings.STENCIL_USAGE_DAYS
    if not days:
        return 0
    old = TokenUsage.objects.filter(day__lt=day_of(timezone.now() - timedelta(days=days)))
    ids = list(old.order_by("day").values_list("id", flat=True)[:DELETED_AT_ONCE])
    return TokenUsage.objects.filter(id__in=ids).delete()[0] if ids else 0
