"""The columns of a job that a worker holds by a lease."""

from typing import TYPE_CHECKING

from django.db import models
from django.utils import timezone

if TYPE_CHECKING:
    import uuid


class LeasedJob(models.Model):
    """A row that is a job: queued, claimed by one worker under a lease, ended once.

    A subclass has `state` with its own choices. Once a row is inserted, only `core.jobs.queue`
    writes these columns and `state`.
    """

    if TYPE_CHECKING:
        id: models.UUIDField[uuid.UUID, uuid.UUID]
        state: models.CharField[str, str]

    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)  # of the current attempt
    finished_at = models.DateTimeField(null=True, blank=True)
    worker = models.CharField(max_length=200, blank=True, default="")
    lease_until = models.DateTimeField(null=True, blank=True)  # set while a worker holds the job
    attempt = models.PositiveIntegerField(default=0)  # fences every write of an earlier attempt

    class Meta:
        abstract = True


class CancellableJob(LeasedJob):
    """A job that can be cancelled while it runs."""

    cancel_requested = models.BooleanField(default=False)

    class Meta:
        abstract = True
