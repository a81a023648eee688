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

# The leftovers of a dead build are swept. A build is never continued, so it has one attempt.
BUILDS = Queue(
    model=Build,
    queued=BuildState.QUEUED,
    running=ACTIVE_STATES,
    lease=timedelta(seconds=30),
)
# The lease is longer than the time limit of a lookup's process, so it is not renewed.
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
