"""When healing is tried again: after seconds at first, after one hour at most."""

from datetime import datetime, timedelta

from django.utils import timezone

from templatemgr.models import HealthState, Version, VersionHealth

FIRST, LONGEST = timedelta(seconds=5), timedelta(hours=1)


def delay(tries: int) -> timedelta:
    """Return how long to wait after this many failed tries: 5 s, 10 s, 20 s … one hour."""
    return min(LONGEST, FIRST * (1 << min(tries, 20)))


def plan(*, version: Version) -> datetime | None:
    """Set and return the time of the next try after a failed one; None for a whole version."""
    health = VersionHealth.objects.get(version=version)
    if health.state == HealthState.RETIRED or not (
        health.state == HealthState.QUARANTINED or health.doubts
    ):
        return None
    moment = timezone.now() + delay(health.tries)
    VersionHealth.objects.filter(pk=health.pk).update(retry_at=moment, tries=health.tries + 1)
    return moment
