"""Retry healing as long as a version needs it; `integrity.backoff` says when.

The row holds the time of the next try, so a restart of the executor forgets nothing. Each try is a
verification that heals, and stays on record with its result.
"""

import logging
from datetime import datetime
from itertools import takewhile

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from templatemgr.integrity import checking
from templatemgr.integrity.backoff import FIRST, LONGEST
from templatemgr.maintenance import verification
from templatemgr.models import (
    ACTIVE_STATES,
    OPEN_VERIFICATIONS,
    Build,
    HealthState,
    Verification,
    VerificationState,
    Version,
    VersionHealth,
    unsafe_rows,
)

logger = logging.getLogger(__name__)

SHOWN = 5


def due(*, now: datetime | None = None) -> list[Verification]:
    """Queue and return a verification for each version that is due; none while healing is off.

    A time further in the future than the longest wait was set by a clock that has since gone back.
    """
    if not settings.STENCIL_HEAL:
        return []
    moment = now or timezone.now()
    waiting = Verification.objects.filter(state__in=OPEN_VERIFICATIONS).values("version")
    when = Q(retry_at__lte=moment) | Q(retry_at__gt=moment + LONGEST + FIRST)
    unplanned = Q(retry_at=None) & ~Q(checked_at__range=(moment - FIRST, moment + FIRST))
    checking.keep_health_rows()
    down = unsafe_rows("") | (Q(state=HealthState.VERIFIED) & ~Q(doubts=[]))
    rows = (
        VersionHealth.objects.filter(down, when | unplanned)
        .exclude(version__in=waiting)
        .select_related("version__template")
        .order_by("retry_at")
    )
    return [row for row in map(_try, rows) if row is not None]


def tries(*, version: Version) -> list[Verification]:
    """Return the latest failed tries to heal a version, newest first."""
    rows = Verification.objects.filter(version=version, heal=True).select_related("build")
    ended = rows.exclude(state__in=OPEN_VERIFICATIONS).filter(problems__gt=0)
    latest = ended.order_by("-created_at", "-pk")[:SHOWN]
    return list(takewhile(lambda one: one.state != VerificationState.HEALED, latest))


def _try(health: VersionHealth) -> Verification | None:
    version = health.version
    building = Build.objects.filter(template=version.template, state__in=ACTIVE_STATES)
    if building.filter(options__heal=version.number).exists():
        # The end of the rebuild is the end of this try; it is not counted as another try.
        VersionHealth.objects.filter(pk=health.pk).update(retry_at=timezone.now() + FIRST)
        return None
    try:
        return verification.request(
            template=version.template.name,
            version=version.number,
            actor=verification.SCHEDULER,
            heal=True,
            scheduled=True,
        )
    except Exception:
        logger.exception("the next try to heal %s could not be requested", version)
        return None
