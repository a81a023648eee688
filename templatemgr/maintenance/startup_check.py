"""At an executor's start: find what changed on disk while nobody looked.

Each version that was found whole left a record of sizes, times, inodes, modes and owners. Walking
through that takes milliseconds where reading every byte takes seconds. What differs is read whole
before it is served; a byte that changed under the same times is found by the full pass soon after.
"""

import logging

from django.db import DatabaseError
from django.db.models import QuerySet

from templatemgr import data_paths
from templatemgr.integrity import checking
from templatemgr.integrity.inspection import RECORDED
from templatemgr.maintenance import verification
from templatemgr.models import HealthState, Template, Verification, Version
from templatemgr.trees import listing

logger = logging.getLogger(__name__)
ARRIVAL = "start"  # who asks for what is read at a start


def check_current() -> list[Version]:
    """Verify each current version that is not as its record says; return those.

    Before anything is served: what is damaged is quarantined when this returns.
    """
    return _check(_served().filter(pk__in=Template.objects.values("current")))


def check_others() -> list[Version]:
    """The same for versions that are not current, beside executions."""
    return _check(_served().exclude(pk__in=Template.objects.values("current")))


def read_current() -> list[Verification]:
    """Queue a full verification of every current version."""
    rows = Version.objects.select_related("template", "health")
    current = rows.filter(pk__in=Template.objects.values("current"))
    asked = (verification.ask(row) for row in current.exclude(health__state=HealthState.RETIRED))
    return [found for found in asked if found is not None]


def _served() -> QuerySet[Version]:
    rows = Version.objects.select_related("template", "health").order_by("-pk")
    return rows.filter(health__state=HealthState.VERIFIED)


def _check(rows: QuerySet[Version]) -> list[Version]:
    return [row for row in rows if _changed(row)]


def _changed(version: Version) -> bool:
    """Whether a version was not as its record says; then it was verified just now."""
    if not version.health.record:  # never found whole since records are kept: the full pass does
        return False
    try:
        seen = listing.fingerprint(data_paths.version(version), RECORDED)
    except Exception:
        logger.exception("%s could not be looked at", version)
        seen = ""
    if seen == version.health.record:
        return False
    logger.warning("%s changed on disk while nobody looked: it is read whole first", version)
    try:
        checking.verify_one(version=version, actor=ARRIVAL)
    except DatabaseError:
        logger.exception("%s could not be verified at the start", version)
    return True
