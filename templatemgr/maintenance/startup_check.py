"""At the start of an executor: find versions that changed on disk while no executor ran.

A version that was found whole has a fingerprint of sizes, times, inodes, modes and owners. To
compare it takes milliseconds, while reading every byte takes seconds. A version that differs is
verified before it is served. The full verification soon after finds a change under the same times.
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
ARRIVAL = "start"  # the actor of verifications at a start


def check_current() -> list[Version]:
    """Verify and return each current version that differs from its fingerprint.

    Called before anything is served: damaged versions are quarantined when this returns.
    """
    return _check(_served().filter(pk__in=Template.objects.values("current")))


def check_others() -> list[Version]:
    """Verify the versions that are not current and differ, beside executions."""
    return _check(_served().exclude(pk__in=Template.objects.values("current")))


def read_current() -> list[Verification]:
    """Queue a full verification of every current version."""
    rows = Version.objects.select_related("template", "health")
    current = rows.filter(pk__in=Template.objects.values("current"))
    requested = (
        verification.request_scheduled(row)
        for row in current.exclude(health__state=HealthState.RETIRED)
    )
    return [found for found in requested if found is not None]


def _served() -> QuerySet[Version]:
    rows = Version.objects.select_related("template", "health").order_by("-pk")
    return rows.filter(health__state=HealthState.VERIFIED)


def _check(rows: QuerySet[Version]) -> list[Version]:
    return [row for row in rows if _changed(row)]


def _changed(version: Version) -> bool:
    """Verify a version if it differs from its fingerprint; return whether it differed."""
    if not version.health.record:  # no fingerprint yet: the full verification reads it
        return False
    try:
        seen = listing.fingerprint(data_paths.version(version), RECORDED)
    except Exception:
        logger.exception("%s could not be examined", version)
        seen = ""
    if seen == version.health.record:
        return False
    logger.warning("%s changed on disk while no executor ran: it is verified first", version)
    try:
        checking.verify_one(version=version, actor=ARRIVAL)
    except DatabaseError:
        logger.exception("%s could not be verified at the start", version)
    return True
