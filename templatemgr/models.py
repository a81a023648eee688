"""Templates, their versions, the builds that make them, and the records that never change."""

import uuid
from collections.abc import Iterable
from typing import Any, ClassVar, NoReturn

from django.db import models
from django.utils import timezone
from uuid_utils.compat import uuid7


def new_id() -> uuid.UUID:
    """Return a fresh UUIDv7, which sorts by time."""
    return uuid7()


class AppendOnlyError(TypeError):
    """A row of an append-only table was about to be changed or deleted."""


class AppendOnlyQuerySet[M: models.Model](models.QuerySet[M]):
    """Rows that are only ever added. The database's triggers hold the same line below this one."""

    def _refuse(self, act: str) -> NoReturn:
        message = f"{self.model.__name__} rows are append-only: {act} is refused."
        raise AppendOnlyError(message)

    def update(self, **_kwargs: Any) -> NoReturn:
        """Refuse."""
        self._refuse("update")

    def bulk_update(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Refuse."""
        self._refuse("bulk_update")

    def delete(self) -> NoReturn:
        """Refuse."""
        self._refuse("delete")


class AppendOnlyModel(models.Model):
    """A row that can be inserted once, and neither changed nor deleted."""

    class Meta:
        abstract = True

    def save(
        self,
        *,
        force_insert: bool | tuple[models.base.ModelBase, ...] = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> None:
        """Insert; an existing row is refused with `AppendOnlyError`."""
        if not self._state.adding or force_update or update_fields is not None:
            message = f"{type(self).__name__} rows are append-only: a change is refused."
            raise AppendOnlyError(message)
        super().save(force_insert=force_insert or True, using=using)

    def delete(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Refuse."""
        message = f"{type(self).__name__} rows are append-only: delete is refused."
        raise AppendOnlyError(message)


class Template(models.Model):
    """An execution environment by name. `current` is what executions get that name no version."""

    name = models.SlugField(max_length=64, unique=True)
    title = models.CharField(max_length=100)
    current = models.ForeignKey(
        "Version", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    pinned_at = models.DateTimeField(null=True, blank=True)
    pinned_by = models.CharField(max_length=150, blank=True, default="")
    pin_reason = models.CharField(max_length=500, blank=True, default="")
    # Which gates a promotion must pass: {"required": ["ready", …]}. Empty: all of them.
    policy = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["name"]
        permissions = [
            ("pin_template", "Pin a template on its version, and unpin it"),
            ("override_gates", "Promote past closed gates"),
            ("change_gate_policy", "Say which gates a promotion must pass"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def pinned(self) -> bool:
        """Whether promotions are refused until the template is unpinned."""
        return self.pinned_at is not None


class BuildKind(models.TextChoices):
    """What a build starts from."""

    REBUILD = "rebuild"  # the same inputs: the same identity is expected
    REFRESH = "refresh"  # a new lock first: whatever the ranges allow today
    UPDATE = "update"  # chosen packages move, within their ranges or to a named version
    EDIT = "edit"  # some input files are replaced first


class BuildState(models.TextChoices):
    """Where a build is; the last five are ends."""

    QUEUED = "queued"  # waits for a builder
    FETCHING = "fetching"  # packages come over the network; no foreign code runs
    INSTALLING = "installing"  # named install scripts, without network; pruning
    SEALING = "sealing"  # every file is hashed and stored by content
    SMOKE = "smoke"  # the definition's submissions run in the real sandbox
    READY = "ready"  # made a version
    REPRODUCED = "reproduced"  # came out identical to a version that is already there
    FAILED = "failed"  # `step` names where, `message` why
    CANCELLED = "cancelled"  # somebody asked for it
    INTERRUPTED = "interrupted"  # its process died; can be asked for again


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


class Build(models.Model):
    """The job that makes a version. Claimed by a conditional UPDATE, held by a lease."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    template = models.ForeignKey(Template, on_delete=models.PROTECT, related_name="builds")
    kind = models.CharField(max_length=16, choices=BuildKind.choices)
    state = models.CharField(max_length=16, choices=BuildState.choices, default=BuildState.QUEUED)
    step = models.CharField(max_length=16, blank=True, default="")
    from_version = models.ForeignKey(
        "Version", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    version = models.ForeignKey(
        "Version", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    reproduces = models.ForeignKey(
        "Version", null=True, blank=True, on_delete=models.PROTECT, related_name="reproductions"
    )
    requested_by = models.CharField(max_length=150)
    # What the kind needs: {"packages": [str]}, {"files": {path: text}}, {"heal": number}.
    options = models.JSONField(default=dict, blank=True)
    message = models.TextField(blank=True, default="")
    # Where its packages came from, no credentials: {"packages": {"name version": "host:port"},
    # "configured": [the registries of this machine then], "reached": [all that was connected to]}.
    origins = models.JSONField(default=dict, blank=True)
    steps = models.JSONField(default=list)
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    worker = models.CharField(max_length=200, blank=True, default="")
    lease_until = models.DateTimeField(null=True, blank=True)
    attempt = models.PositiveIntegerField(default=0)
    cancel_requested = models.BooleanField(default=False)

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
        """Whether nothing will change any more."""
        return self.state in FINAL_STATES

    @property
    def duration_seconds(self) -> float | None:
        """Seconds from the start to the end, or to now; None before the start."""
        if self.started_at is None:
            return None
        return ((self.finished_at or timezone.now()) - self.started_at).total_seconds()


class BuildLogLine(models.Model):
    """One line that a build wrote, with its step and stream ("stdout", "stderr", "build")."""

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


class Version(AppendOnlyModel):
    """One immutable build of a template. A row exists only for a build that became ready."""

    template = models.ForeignKey(Template, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    identity = models.CharField(max_length=64)
    tree_digest = models.CharField(max_length=64)
    definition_digest = models.CharField(max_length=64)
    cache_digest = models.CharField(max_length=64)
    platform = models.CharField(max_length=64)
    size_bytes = models.BigIntegerField()
    own_bytes = models.BigIntegerField()
    file_count = models.PositiveIntegerField()
    packages = models.JSONField(default=list)
    toolchain = models.CharField(max_length=200, blank=True, default="")
    smoke = models.JSONField(default=list)
    directory = models.CharField(max_length=200)
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.CharField(max_length=150)
    build = models.ForeignKey(Build, on_delete=models.PROTECT, related_name="+")

    objects: ClassVar[models.Manager["Version"]] = AppendOnlyQuerySet["Version"].as_manager()

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["template", "number"], name="version_number"),
            models.UniqueConstraint(fields=["template", "identity"], name="version_identity"),
        ]
        permissions = [
            ("build_version", "Build versions, and cancel builds"),
            ("promote_version", "Promote a version, and roll back"),
            ("verify_version", "Verify a version's files"),
            ("heal_version", "Heal a quarantined version"),
            ("remove_version", "Remove a version from disk"),
        ]

    def __str__(self) -> str:
        return f"{self.template.name}@{self.number}"

    @property
    def healthy(self) -> bool:
        """Whether the version may be served: its last check found nothing wrong."""
        return self.health.state == HealthState.VERIFIED


class LookupState(models.TextChoices):
    """Where a question to a registry is; the last two are ends."""

    QUEUED = "queued"  # waits for an executor
    RUNNING = "running"  # the registry is being asked
    DONE = "done"  # `candidates` has the answer
    FAILED = "failed"  # `message` says why


class Lookup(models.Model):
    """What a registry had for the packages of a template's inputs, when it was asked.

    Claimed by a conditional UPDATE, held by a lease. It answers for the inputs with `digest` only.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    template = models.ForeignKey(Template, on_delete=models.PROTECT, related_name="lookups")
    from_version = models.ForeignKey(
        "Version", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    digest = models.CharField(max_length=64)  # of the inputs that it is about
    state = models.CharField(max_length=8, choices=LookupState.choices, default=LookupState.QUEUED)
    requested_by = models.CharField(max_length=150)
    # [{"name", "installed", "wanted", "latest", "direct"}], by name
    candidates = models.JSONField(default=list)
    message = models.TextField(blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)
    worker = models.CharField(max_length=200, blank=True, default="")
    lease_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            # The claim looks for the oldest that is queued, the reaper for expired leases.
            models.Index(fields=["state", "created_at"], name="lookup_state_created"),
            # The page asks for the newest answer about some inputs.
            models.Index(fields=["template", "digest", "-created_at"], name="lookup_inputs"),
        ]

    def __str__(self) -> str:
        return f"lookup {self.id} of {self.template_id} ({self.state})"

    @property
    def finished(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in (LookupState.DONE, LookupState.FAILED)


class HealthState(models.TextChoices):
    """What we know of a version now."""

    VERIFIED = "verified"  # the tree is the one that was sealed: served, also with doubts
    QUARANTINED = "quarantined"  # it is not, or could not be looked at: never served, to be healed
    RETIRED = "retired"  # taken out of use on purpose


class Severity(models.TextChoices):
    """How bad it is: a program may see the tree, nobody sees what it is made from."""

    NONE = "none"
    NOT_PROVABLE = "not_provable"  # served, marked, and repaired beside executions
    UNSAFE = "unsafe"  # not served


class VersionHealth(models.Model):
    """The part of a version that changes, beside it, since a version never does."""

    version = models.OneToOneField(Version, on_delete=models.PROTECT, related_name="health")
    state = models.CharField(
        max_length=16, choices=HealthState.choices, default=HealthState.VERIFIED
    )
    checked_at = models.DateTimeField()
    checked_by = models.CharField(max_length=150)
    # What is wrong with the tree: [{"path", "problem"[, "detail"]}]. Some: quarantined.
    problems = models.JSONField(default=list)
    # What keeps it from being proven or made again: [{"part", "path", "problem"[, "detail"]}], with
    # part "cache", "manifest", "inputs" or "objects".
    doubts = models.JSONField(default=list, blank=True)
    # Sizes, times, inodes, modes and owners when it was last found whole, as one digest; empty: it
    # was not yet. See `trees.fingerprint`.
    record = models.CharField(max_length=64, blank=True, default="")
    # When healing is tried next, and how often it was in vain since it was whole.
    retry_at = models.DateTimeField(null=True, blank=True)
    tries = models.PositiveIntegerField(default=0)
    # How often it was quarantined: what was loaded from it before such a time is not used after it.
    epoch = models.PositiveIntegerField(default=0)
    # Why it could not be healed, or why it was removed; empty when there is nothing to say.
    message = models.TextField(blank=True, default="")
    # A cache is derived, and no two are the same bytes: healing fills another one, and says so
    # here. Empty: the version's own still holds.
    cache_digest = models.CharField(max_length=64, blank=True, default="")

    class Meta:
        verbose_name_plural = "version health"

    def __str__(self) -> str:
        return f"{self.version}: {self.state}"

    @property
    def severity(self) -> Severity:
        """Return how bad it is; a removed version has nothing that could be bad."""
        if self.state == HealthState.QUARANTINED:
            return Severity.UNSAFE
        if self.state == HealthState.VERIFIED and self.doubts:
            return Severity.NOT_PROVABLE
        return Severity.NONE

    @property
    def parts(self) -> list[str]:
        """Return the parts that cannot be proven, each once, in the order of the alphabet."""
        return sorted({doubt["part"] for doubt in self.doubts})


class VerificationState(models.TextChoices):
    """Where a verification is; the last four are ends."""

    QUEUED = "queued"  # waits for an executor
    RUNNING = "running"  # files are read, at the lowest priority
    VERIFIED = "verified"  # nothing is wrong
    HEALED = "healed"  # something was, and is made whole again
    QUARANTINED = "quarantined"  # something is; `build` is the rebuild that is to heal it
    FAILED = "failed"  # it could not be carried out for a reason of ours; `message` says which


OPEN_VERIFICATIONS = (VerificationState.QUEUED, VerificationState.RUNNING)


class Verification(models.Model):
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
    heal = models.BooleanField(default=False)  # make whole what is found damaged
    files_total = models.PositiveIntegerField(default=0)
    files_done = models.PositiveIntegerField(default=0)
    bytes_total = models.BigIntegerField(default=0)
    bytes_done = models.BigIntegerField(default=0)
    problems = models.PositiveIntegerField(default=0)
    message = models.TextField(blank=True, default="")
    build = models.ForeignKey(
        Build, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    worker = models.CharField(max_length=200, blank=True, default="")
    lease_until = models.DateTimeField(null=True, blank=True)
    attempt = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            # Asking twice is asking once.
            models.UniqueConstraint(
                fields=["version"],
                condition=models.Q(state__in=("queued", "running")),
                name="verification_open",
            )
        ]
        indexes = [
            models.Index(fields=["state", "created_at"], name="verification_state_created"),
            # A version's page shows its latest.
            models.Index(fields=["version", "-created_at"], name="verification_version"),
        ]

    def __str__(self) -> str:
        return f"verification {self.id} of {self.version_id} ({self.state})"

    @property
    def finished(self) -> bool:
        """Whether nothing will change any more."""
        return self.state not in OPEN_VERIFICATIONS

    @property
    def percent(self) -> int:
        """How much of the bytes is read: 0 to 100."""
        return min(100, self.bytes_done * 100 // self.bytes_total) if self.bytes_total else 0


class PromotionKind(models.TextChoices):
    """Which way `current` moved."""

    PROMOTE = "promote"
    ROLLBACK = "rollback"


class Promotion(AppendOnlyModel):
    """One change of what is current: from where to where, by whom and why."""

    template = models.ForeignKey(Template, on_delete=models.PROTECT, related_name="promotions")
    from_version = models.ForeignKey(
        Version, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    to_version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="+")
    actor = models.CharField(max_length=150)
    reason = models.CharField(max_length=500)
    kind = models.CharField(max_length=16, choices=PromotionKind.choices)
    created_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[models.Manager["Promotion"]] = AppendOnlyQuerySet["Promotion"].as_manager()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.kind} to {self.to_version}"


class AuditEvent(AppendOnlyModel):
    """One administrative act, chained to the one before it by hash."""

    sequence = models.PositiveBigIntegerField(unique=True)
    time = models.DateTimeField()
    actor = models.CharField(max_length=150)
    action = models.CharField(max_length=64)
    object = models.CharField(max_length=200)
    details = models.JSONField(default=dict)
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64, unique=True)

    objects: ClassVar[models.Manager["AuditEvent"]] = AppendOnlyQuerySet["AuditEvent"].as_manager()

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
