"""The audit trail: one row for each administrative act."""

from typing import ClassVar

from django.db import models

from core.append_only import AppendOnlyManager, AppendOnlyModel


class AuditEvent(AppendOnlyModel):
    """One administrative act, chained to the previous event by its hash."""

    sequence = models.PositiveBigIntegerField(unique=True)
    time = models.DateTimeField()
    actor = models.CharField(max_length=150)
    action = models.CharField(max_length=64)
    object = models.CharField(max_length=200)
    details = models.JSONField(default=dict)
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64, unique=True)

    objects: ClassVar[models.Manager["AuditEvent"]] = AppendOnlyManager()

    class Meta:
        ordering = ["-sequence"]
        indexes = [
            # The trail's page, newest first, by each of its filters.
            models.Index(fields=["object", "-sequence"], name="audit_object"),
            models.Index(fields=["actor", "-sequence"], name="audit_actor"),
            models.Index(fields=["action", "-sequence"], name="audit_action"),
            models.Index(fields=["time", "sequence"], name="audit_time"),
        ]
        permissions = [
            ("verify_audit", "Walk the chain of the audit trail"),
            ("export_audit", "Export the audit trail"),
        ]

    def __str__(self) -> str:
        return f"{self.sequence} {self.actor} {self.action} {self.object}"
