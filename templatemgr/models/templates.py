"""Templates and the results of jobs: versions, their health, and promotions."""

from typing import Any, ClassVar

from django.db import models
from django.utils import timezone

from core.append_only import AppendOnlyManager, AppendOnlyModel
from templatemgr.models import stored_findings


class Template(models.Model):
    """An execution environment. Executions that name no version get `current`."""

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
        """Return whether promotions are refused until the template is unpinned."""
        return self.pinned_at is not None


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
    build = models.ForeignKey("Build", on_delete=models.PROTECT, related_name="+")

    objects: ClassVar[models.Manager["Version"]] = AppendOnlyManager()

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
        """Return whether the version may be served: its last check found the tree to be sound."""
        health = getattr(self, "health", None)  # a lost row says nothing
        return health is not None and health.state == HealthState.VERIFIED

    @property
    def folder(self) -> str:
        """Return the name of its folder, which no other version has, whatever `directory` says."""
        return f"versions/{self.number:04d}-{self.identity[:12]}"


class HealthState(models.TextChoices):
    """The state of a version's files."""

    VERIFIED = "verified"  # the tree is as it was sealed: served, also with doubts
    QUARANTINED = "quarantined"  # the tree differs or cannot be read: not served, to be healed
    RETIRED = "retired"  # taken out of use on purpose


def unsafe_rows(health: str = "health__") -> models.Q:
    """Return the condition of rows that are not served and not retired, also with an odd state."""
    known = (HealthState.VERIFIED, HealthState.RETIRED)
    return ~models.Q(**{f"{health}state__in": known})


# Decision 0027: damage of the tree is unsafe; other damage is not provable.
class Severity(models.TextChoices):
    """The severity of damage. Programs see the tree, but not its inputs and manifests."""

    NONE = "none"
    NOT_PROVABLE = "not_provable"  # served, marked, and repaired beside executions
    UNSAFE = "unsafe"  # not served


class VersionHealth(models.Model):
    """The part of a version that changes. A version itself never changes."""

    version = models.OneToOneField(Version, on_delete=models.PROTECT, related_name="health")
    state = models.CharField(
        max_length=16, choices=HealthState.choices, default=HealthState.VERIFIED
    )
    checked_at = models.DateTimeField()
    checked_by = models.CharField(max_length=150)
    # The problems of the tree: [{"path", "problem"[, "detail"]}]. If there are any: quarantined.
    problems = models.JSONField(default=list)
    # Findings that prevent a proof or a rebuild: [{"part", "path", "problem"[, "detail"]}], with
    # part "cache", "manifest", "inputs" or "objects".
    doubts = models.JSONField(default=list, blank=True)
    # A digest of sizes, times, inodes, modes and owners when it was last found whole. Empty: it was
    # not found whole yet. See `trees.fingerprint`.
    record = models.CharField(max_length=64, blank=True, default="")
    # The time of the next try to heal, and the number of failed tries since it was last whole.
    retry_at = models.DateTimeField(null=True, blank=True)
    tries = models.PositiveIntegerField(default=0)
    # The number of quarantines. Sandboxes and values loaded under an earlier number are not used.
    epoch = models.PositiveIntegerField(default=0)
    # Why it could not be healed, or why it was removed; else empty.
    message = models.TextField(blank=True, default="")
    # The digest of a cache that healing filled again: a cache is derived, and each has other bytes.
    # Empty: the cache of the build is in use.
    cache_digest = models.CharField(max_length=64, blank=True, default="")

    class Meta:
        verbose_name_plural = "version health"

    def __str__(self) -> str:
        return f"{self.version}: {self.state}"

    @classmethod
    def from_db(cls, *args: Any, **options: Any) -> "VersionHealth":
        """Return a row as the database has it. What is unknown in it counts as not verified."""
        row = super().from_db(*args, **options)
        loaded = row.__dict__
        if "problems" in loaded:
            row.problems = stored_findings.problems(row.problems)
        if "doubts" in loaded:
            row.doubts = stored_findings.doubts(row.doubts)
        if "checked_at" in loaded:
            row.checked_at = row.checked_at or stored_findings.NEVER
        if "state" in loaded and row.state not in HealthState.values:
            row.state, row.problems = HealthState.QUARANTINED, stored_findings.unknown_state()
        return row

    @property
    def severity(self) -> Severity:
        """Return the severity of the damage; a removed version has none."""
        if self.state == HealthState.QUARANTINED:
            return Severity.UNSAFE
        if self.state == HealthState.VERIFIED and self.doubts:
            return Severity.NOT_PROVABLE
        return Severity.NONE

    @property
    def parts(self) -> list[str]:
        """Return the parts that cannot be proven, each once, sorted."""
        return sorted({doubt["part"] for doubt in self.doubts})


class PromotionKind(models.TextChoices):
    """How `current` changed."""

    PROMOTE = "promote"
    ROLLBACK = "rollback"


class Promotion(AppendOnlyModel):
    """One change of the current version: from, to, actor and reason."""

    template = models.ForeignKey(Template, on_delete=models.PROTECT, related_name="promotions")
    from_version = models.ForeignKey(
        Version, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    to_version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="+")
    actor = models.CharField(max_length=150)
    reason = models.CharField(max_length=500)
    kind = models.CharField(max_length=16, choices=PromotionKind.choices)
    created_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[models.Manager["Promotion"]] = AppendOnlyManager()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.kind} to {self.to_version}"
