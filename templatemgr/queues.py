"""The queues of builds, lookups and verifications."""

from datetime import timedelta

from core.jobs.queue import Queue
from templatemgr.models import (
    ACTIVE_STATES,
    Build,
    BuildState,
    Lookup,
    LookupState,
    Verification,
    VerificationState,
)

# What a dead build had left is swept; nobody continues it, so the first attempt is the last.
BUILDS = Queue(
    model=Build,
    queued=BuildState.QUEUED,
    running=ACTIVE_STATES,
    lease=timedelta(seconds=30),
)
# The lease is longer than the limit of the process that asks: nobody renews it.
LOOKUPS = Queue(
    model=Lookup,
    queued=LookupState.QUEUED,
    running=(LookupState.RUNNING,),
    lease=timedelta(seconds=120),
)
VERIFICATIONS = Queue(
    model=Verification,
    queued=VerificationState.QUEUED,
    running=(VerificationState.RUNNING,),
    lease=timedelta(minutes=1),
    max_attempts=3,
)
