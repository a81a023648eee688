"""Jobs that a worker claims by a lease: builds with their log, lookups, verifications."""

from django.db import models
from django.utils import timezone

from core.ids import new_id
from core.jobs.models import CancellableJob, LeasedJob
from templatemgr.models.templates import Template, Version


class BuildKind(models.TextChoices):
    """What a build changes in its inputs."""

    REBUILD = "rebuild"  # the same inputs: the same identity is expected
    REFRESH = "refresh"  # a new lock first: the newest versions that the ranges allow
    UPDATE = "update"  # chosen packages move, within their ranges or to a named version
    EDIT = "edit"  # some input files are replaced first


class BuildState(models.TextChoices):
    """The state of a build; the last five are final."""

    QUEUED = "queued"  # waits for a worker
    FETCHING = "fetching"  # packages come over the network; no foreign code runs
    INSTALLING = "installing"  # named install scripts, without network; pruning
    SEALING = "sealing"  # every file is hashed and stored by content
    SMOKE = "smoke"  # the definition's submissions run in the real sandbox
    READY = "ready"  # made a version
    REPRODUCED = "reproduced"  # identical to a version that exists already
    FAILED = "failed"  # `step` names where, `message` why
    CANCELLED = "cancelled"  # on a user's request
    INTERRUPTED = "interrupted"  # its process died; it can be requested again


ACTIVE_STATES = (
    BuildState.FETCHING,
    BuildState.INSTALLING,
    BuildState.SEALING,
    BuildState.SMOKE,
)
FINAL_STATES = (
    BuildState.READY,
    BuildState.REPRODUCED,
    BuildState.FAILED,
    BuildState.CANCELLED,
    BuildState.INTERRUPTED,
)


class Build(CancellableJob):
    """The job that makes a version. Claimed by a conditional UPDATE, held by a lease."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    template = models.ForeignKey(Template, on_delete=models.PROTECT, related_name="builds")
    kind = models.CharField(max_length=16, choices=BuildKind.choices)
    state = models.CharField(max_length=16, choices=BuildState.choices, default=BuildState.QUEUED)
    step = models.CharField(max_length=16, blank=True, default="")
    from_version = models.ForeignKey(
        Version, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    version = models.ForeignKey(
        Version, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    reproduces = models.ForeignKey(
        Version, null=True, blank=True, on_delete=models.PROTECT, related_name="reproductions"
    )
    requested_by = models.CharField(max_length=150)
    # The options of the kind: {"packages": [str]}, {"files": {path: text}}, {"heal": number}.
    options = models.JSONField(default=dict, blank=True)
    message = models.TextField(blank=True, default="")
    # Where its packages came from, no credentials: {"packages": {"name version": "host:port"},
    # "configured": [the registries of this machine then], "reached": [all that was connected to]}.
    origins = models.JSONField(default=dict, blank=True)
    steps = models.JSONField(default=list)

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            # The claim looks for the oldest queued build, the reaper for expired leases.
            models.Index(fields=["state", "created_at"], name="build_state_created"),
            # The template's page lists its builds, newest first.
            models.Index(fields=["template", "-created_at"], name="build_template_created"),
        ]

    def __str__(self) -> str:
        return f"build {self.id} of {self.template_id} ({self.state})"

    @property
    def finished(self) -> bool:
        """Return whether the state is final."""
        return self.state in FINAL_STATES

    @property
    def duration_seconds(self) -> float | None:
        """Seconds from the start to the end, or to now; None before the start."""
        if self.started_at is None:
            return None
        return ((self.finished_at or timezone.now()) - self.started_at).total_seconds()


class BuildLogLine(models.Model):
    """One line of a build's log, with its step and stream ("stdout", "stderr", "build")."""

    build = models.ForeignKey(Build, on_delete=models.PROTECT, related_name="lines")
    sequence = models.PositiveIntegerField()
    time = models.DateTimeField()
    step = models.CharField(max_length=16)
    stream = models.CharField(max_length=8)
    text = models.TextField()

    class Meta:
        ordering = ["sequence"]
        constraints = [
            models.UniqueConstraint(fields=["build", "sequence"], name="log_build_sequence")
        ]

    def __str__(self) -> str:
        return self.text


class LookupState(models.TextChoices):
    """The state of a lookup; the last two are final."""

    QUEUED = "queued"  # waits for an executor
    RUNNING = "running"  # the registry is being queried
    DONE = "done"  # `candidates` has the answer
    FAILED = "failed"  # `message` says why


class Lookup(LeasedJob):
    """A lookup: the versions that a registry offered for the packages of a template's inputs.

    Claimed by a conditional UPDATE, held by a lease. It answers for the inputs with `digest` only.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    template = models.ForeignKey(Template, on_delete=models.PROTECT, related_name="lookups")
    from_version = models.ForeignKey(
        Version, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    digest = models.CharField(max_length=64)  # of the inputs that were looked up
    state = models.CharField(max_length=8, choices=LookupState.choices, default=LookupState.QUEUED)
    requested_by = models.CharField(max_length=150)
    # [{"name", "installed", "wanted", "latest", "direct"}], by name
    candidates = models.JSONField(default=list)
    message = models.TextField(blank=True, default="")
    # A release that does not know the column may insert rows beside this one.
    attempt = models.PositiveIntegerField(default=0, db_default=0)

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            # The claim looks for the oldest queued lookup, the reaper for expired leases.
            models.Index(fields=["state", "created_at"], name="lookup_state_created"),
            # The page shows the newest lookup of some inputs.
            models.Index(fields=["template", "digest", "-created_at"], name="lookup_inputs"),
        ]

    def __str__(self) -> str:
        return f"lookup {self.id} of {self.template_id} ({self.state})"

    @property
    def finished(self) -> bool:
        """Return whether the state is final."""
        return self.state in (LookupState.DONE, LookupState.FAILED)


class VerificationState(models.TextChoices):
    """The state of a verification; the last four are final."""

    QUEUED = "queued"  # waits for an executor
    RUNNING = "running"  # files are read, at the lowest priority
    VERIFIED = "verified"  # nothing is wrong
    HEALED = "healed"  # damage was found and repaired
    QUARANTINED = "quarantined"  # damage remains; `build` is the rebuild that is to heal it
    FAILED = "failed"  # an internal error prevented it; `message` gives the reason


OPEN_VERIFICATIONS = (VerificationState.QUEUED, VerificationState.RUNNING)


class Verification(LeasedJob):
    """The job that reads a version's files again. Claimed by a conditional UPDATE, held by a lease.

    Files that are one inode count once. Totals are 0 until it has started.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="verifications")
    state = models.CharField(
        max_length=16, choices=VerificationState.choices, default=VerificationState.QUEUED
    )
    requested_by = models.CharField(max_length=150)
    scheduled = models.BooleanField(default=False)
    heal = models.BooleanField(default=False)  # repair the damage that is found
    files_total = models.PositiveIntegerField(default=0)
    files_done = models.PositiveIntegerField(default=0)
    bytes_total = models.BigIntegerField(default=0)
    bytes_done = models.BigIntegerField(default=0)
    problems = models.PositiveIntegerField(default=0)
    message = models.TextField(blank=True, default="")
    build = models.ForeignKey(
        Build, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            # A version has at most one open verification; a second request returns it.
            models.UniqueConstraint(
                fields=["version"],
                condition=models.Q(state__in=("queued", "running")),
                name="verification_open",
            )
        ]
        indexes = [
            models.Index(fields=["state", "created_at"], name="verification_state_created"),
            # A version's page shows its latest verification.
            models.Index(fields=["version", "-created_at"], name="verification_version"),
        ]

    def __str__(self) -> str:
        return f"verification {self.id} of {self.version_id} ({self.state})"

    @property
    def finished(self) -> bool:
        """Return whether the state is final."""
        return self.state not in OPEN_VERIFICATIONS

    @property
    def percent(self) -> int:
        """Return the percentage of the bytes that are read: 0 to 100."""
        return min(100, self.bytes_done * 100 // self.bytes_total) if self.bytes_total else 0
