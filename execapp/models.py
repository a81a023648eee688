"""Executions, the tokens that submit them, their callbacks, and the heartbeats of executors."""

from datetime import timedelta

from django.db import models
from django.utils import timezone

from core.ids import new_id
from core.jobs.models import CancellableJob, LeasedJob

ALIVE_WITHIN = timedelta(seconds=10)  # an executor without a heartbeat for longer counts as dead


class Scope(models.TextChoices):
    """The rights of a token."""

    EXECUTE = "execute"
    READ = "read"
    TEMPLATES = "templates"
    ADMIN = "admin"  # sees and does everything


class ApiToken(models.Model):
    """A client of the API. Only the hash of its secret is stored; `name` is the client's name."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=16)
    token_hash = models.CharField(max_length=64, unique=True)
    scopes = models.JSONField(default=list)
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(default=timezone.now)
    last_used_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    # The secret before the last rotation, valid until its grace is over; else empty.
    previous_hash = models.CharField(max_length=64, blank=True, default="")
    previous_until = models.DateTimeField(null=True, blank=True)
    previous_used_at = models.DateTimeField(null=True, blank=True)
    # Decision 0042. Its own limits; None: the setting's, or none.
    templates = models.JSONField(default=list)  # names; empty: all
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True)
    open_executions = models.PositiveIntegerField(null=True, blank=True)
    cpu_seconds_per_day = models.PositiveIntegerField(null=True, blank=True)
    bytes_per_day = models.PositiveBigIntegerField(null=True, blank=True)
    exclusive = models.BooleanField(default=False)  # its executions ask for a core of their own

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["previous_hash"],
                condition=~models.Q(previous_hash=""),
                name="token_previous_hash",
            )
        ]
        permissions = [("manage_tokens", "Make, rotate and revoke API tokens")]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def actor(self) -> str:
        """Return the name in the audit trail; it has a colon, which no user's name has."""
        return f"token:{self.name}"

    @property
    def usable(self) -> bool:
        """Say whether the token is neither revoked nor expired."""
        expired = self.expires_at is not None and self.expires_at <= timezone.now()
        return self.revoked_at is None and not expired

    @property
    def in_grace(self) -> bool:
        """Say whether the secret before the last rotation is still valid."""
        return self.previous_until is not None and self.previous_until > timezone.now()

    def allows(self, scope: str) -> bool:
        """Say whether the token has `scope`; `admin` has every scope."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


class TokenPin(models.Model):
    """The version of a template that a client gets when it names none; it cannot be removed."""

    token = models.ForeignKey(ApiToken, on_delete=models.CASCADE, related_name="pins")
    template = models.ForeignKey(
        "templatemgr.Template", on_delete=models.PROTECT, related_name="token_pins"
    )
    version = models.ForeignKey(
        "templatemgr.Version", on_delete=models.PROTECT, related_name="token_pins"
    )
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["token", "template"], name="token_pin_once")]

    def __str__(self) -> str:
        return f"{self.token_id} on {self.version_id}"


class ExecutionState(models.TextChoices):
    """The state of an execution; all but the first two are final."""

    QUEUED = "queued"  # committed, waits for a slot
    RUNNING = "running"  # claimed by an executor, under a lease
    SUCCEEDED = "succeeded"  # exit 0; in test mode every test passed
    FAILED = "failed"  # non-zero exit, or failing tests
    TIMED_OUT = "timed_out", "timed out"
    OUT_OF_MEMORY = "out_of_memory", "out of memory"
    OUTPUT_LIMIT = "output_limit", "output limit"
    CRASHED = "crashed"  # ended by a signal
    CANCELLED = "cancelled"  # ended on request
    ERROR = "error"  # Stencil failed; `error_id` is in the log


OPEN_STATES = (ExecutionState.QUEUED, ExecutionState.RUNNING)
FINAL_STATES = tuple(state for state in ExecutionState if state not in OPEN_STATES)


class Mode(models.TextChoices):
    """What an execution does with the files."""

    RUN = "run"
    TEST = "test"


class Execution(CancellableJob):
    """One submission and its outcome, on one recorded version.

    The large columns stand last: SQLite reads a row from its start, so a list that leaves them
    out never touches their pages.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    client = models.CharField(max_length=150)
    token = models.ForeignKey(
        ApiToken, null=True, blank=True, on_delete=models.PROTECT, related_name="executions"
    )
    template_name = models.CharField(max_length=64)
    version = models.ForeignKey(
        "templatemgr.Version", on_delete=models.PROTECT, related_name="executions"
    )
    mode = models.CharField(max_length=8, choices=Mode.choices)
    state = models.CharField(
        max_length=16, choices=ExecutionState.choices, default=ExecutionState.QUEUED
    )
    phase = models.CharField(max_length=8, default="run")
    worker = models.CharField(max_length=150, blank=True, default="")
    exit_code = models.IntegerField(null=True, blank=True)
    signal = models.CharField(max_length=16, blank=True, default="")
    message = models.TextField(blank=True, default="")
    error_id = models.CharField(max_length=32, blank=True, default="")
    stdout_truncated = models.BooleanField(default=False)
    stderr_truncated = models.BooleanField(default=False)
    limits = models.JSONField(default=dict)
    labels = models.JSONField(default=dict)
    timings = models.JSONField(default=dict)
    usage = models.JSONField(default=dict)
    host = models.JSONField(default=dict)
    test_counts = models.JSONField(null=True, blank=True)
    entry = models.CharField(max_length=512, blank=True, default="")
    args = models.JSONField(default=list)
    env = models.JSONField(default=dict)
    stdin = models.TextField(blank=True, default="")
    files = models.JSONField(default=list)
    stdout = models.BinaryField(default=b"")
    stderr = models.BinaryField(default=b"")
    tests = models.JSONField(null=True, blank=True)
    # Where the end is announced, {"url", "event"}; null: nowhere. Decision 0041.
    callback = models.JSONField(null=True, blank=True)
    # What `execapp.cases` writes: the cases that were asked for, and their results. Decision 0046.
    cases = models.JSONField(null=True, blank=True)
    case_results = models.JSONField(null=True, blank=True)
    # {"patterns", "most_files", "most_bytes"}; null: no files are collected. Decision 0047.
    collect = models.JSONField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            # Lists, newest first, each by its filter; the id breaks ties of the clock.
            models.Index(fields=["created_at", "id"], name="execution_newest"),
            models.Index(fields=["client", "created_at", "id"], name="execution_client"),
            models.Index(fields=["template_name", "created_at", "id"], name="execution_template"),
            models.Index(fields=["version", "created_at", "id"], name="execution_version"),
            models.Index(fields=["state", "created_at", "id"], name="execution_state"),
            models.Index(fields=["mode", "created_at", "id"], name="execution_mode"),
            # The queue: the oldest execution of each client, without reading ended executions.
            models.Index(
                fields=["state", "client", "created_at"],
                condition=models.Q(state__in=["queued", "running"]),
                name="execution_queue",
            ),
        ]
        permissions = [
            ("submit_execution", "Run code in the playground, and run executions again"),
            ("cancel_execution", "Cancel executions"),
            ("view_all_executions", "See the executions of others"),
        ]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def finished(self) -> bool:
        """Say whether the execution has ended."""
        return self.state not in OPEN_STATES


class ExecutionLabel(models.Model):
    """A copy of one label of an execution, for the index of filters."""

    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="label_rows")
    key = models.CharField(max_length=256)
    value = models.CharField(max_length=256)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["execution", "key"], name="execution_label_once")
        ]
        indexes = [models.Index(fields=["key", "value", "execution"], name="execution_label")]

    def __str__(self) -> str:
        return f"{self.key}:{self.value}"


class CollectedFile(models.Model):
    """A file that an execution gave back. Its content is in the storage, under its digest."""

    execution = models.ForeignKey(
        Execution, on_delete=models.CASCADE, related_name="collected_files"
    )
    path = models.CharField(max_length=512)  # relative to src/
    size_bytes = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["execution", "path"], name="collected_file_once")
        ]
        # Whether anybody still names a content.
        indexes = [models.Index(fields=["sha256"], name="collected_file_content")]

    def __str__(self) -> str:
        return self.path


class DeliveryState(models.TextChoices):
    """The state of a delivery; the last two are final until somebody sends it again."""

    QUEUED = "queued"  # waits for `next_at`
    SENDING = "sending"  # an attempt runs, under a lease
    DELIVERED = "delivered"  # the receiver answered 2xx
    GIVEN_UP = "given_up", "given up"  # the last attempt of the schedule failed


class Delivery(LeasedJob):
    """One message to one address, sent until the receiver accepts it or the schedule ends.

    `attempt` numbers its attempts. `tries` counts those since the last request to send it again.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    event = models.CharField(max_length=64)  # a name in execapp.deliveries.events
    execution = models.ForeignKey(
        Execution, null=True, blank=True, on_delete=models.CASCADE, related_name="deliveries"
    )
    payload = models.JSONField(null=True, blank=True)  # of an event that is not an execution's
    url = models.CharField(max_length=2048)
    signer = models.CharField(max_length=160)  # the owner of the secret: token:<id>
    state = models.CharField(
        max_length=16, choices=DeliveryState.choices, default=DeliveryState.QUEUED
    )
    next_at = models.DateTimeField(null=True, blank=True)  # of the next attempt; null: none
    tries = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "deliveries"
        indexes = [
            # The claim: the delivery that is due for the longest time, by signer. The reaper.
            models.Index(fields=["state", "next_at", "signer"], name="delivery_due"),
            models.Index(fields=["execution", "id"], name="delivery_execution"),
            # The end of its retention.
            models.Index(fields=["finished_at"], name="delivery_finished"),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.id}"


class DeliveryAttempt(models.Model):
    """One attempt of a delivery. Without a duration, it runs, or its executor died."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveIntegerField()
    started_at = models.DateTimeField(default=timezone.now)
    duration_ms = models.FloatField(null=True, blank=True)
    status = models.PositiveSmallIntegerField(null=True, blank=True)  # of HTTP
    error = models.CharField(max_length=300, blank=True, default="")
    answer = models.TextField(blank=True, default="")  # its first bytes

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["delivery", "number"], name="delivery_attempt_once")
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.delivery_id}"


class SigningSecret(models.Model):
    """The secret that signs the deliveries of one owner, and the one before its rotation.

    HMAC needs the secret itself, so it is stored as it is, and its owner can read it.
    """

    owner = models.CharField(max_length=160, unique=True)
    secret = models.CharField(max_length=64)
    created_at = models.DateTimeField(default=timezone.now)
    previous = models.CharField(max_length=64, blank=True, default="")
    previous_until = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"the secret of {self.owner}"

    @property
    def in_grace(self) -> bool:
        """Say whether the secret before the last rotation still signs."""
        return self.previous_until is not None and self.previous_until > timezone.now()


class StoredBytes(models.Model):
    """Bytes that one client has stored on one day of UTC; changed only by conditional UPDATE."""

    owner = models.CharField(max_length=160)  # token:<id> or user:<name>
    day = models.CharField(max_length=10)  # 2026-11-30
    bytes = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "day"], name="stored_bytes_once")]

    def __str__(self) -> str:
        return f"{self.owner} {self.day}: {self.bytes}"


class RequestMeter(models.Model):
    """When the budget of requests of one token is whole again; changed by conditional UPDATE."""

    token = models.OneToOneField(ApiToken, on_delete=models.CASCADE, primary_key=True)
    full_at = models.BigIntegerField(default=0)  # nanoseconds since 1970

    def __str__(self) -> str:
        return f"{self.token_id}: {self.full_at}"


class TokenUsage(models.Model):
    """What the ended executions of one token used of a template on one day of UTC."""

    token = models.ForeignKey(ApiToken, on_delete=models.CASCADE, related_name="usage_rows")
    day = models.CharField(max_length=10)  # 2026-11-30: the day of the end
    template_name = models.CharField(max_length=64)
    executions = models.PositiveBigIntegerField(default=0)
    cpu_ms = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["token", "day", "template_name"], name="usage_once")
        ]
        indexes = [models.Index(fields=["day"], name="usage_day")]

    def __str__(self) -> str:
        return f"{self.token_id} {self.day} {self.template_name}"


class IdempotencyKey(models.Model):
    """The execution that belongs to an `Idempotency-Key` of a token; deleted after 24 hours."""

    token = models.ForeignKey(ApiToken, on_delete=models.CASCADE, related_name="keys")
    key = models.CharField(max_length=255)
    body_hash = models.CharField(max_length=64)
    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="keys")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["token", "key"], name="idempotency_key_once")
        ]
        indexes = [models.Index(fields=["created_at"], name="idempotency_key_age")]

    def __str__(self) -> str:
        return self.key


class ExecutorHeartbeat(models.Model):
    """The heartbeat of an executor, written about once a second."""

    worker = models.CharField(max_length=150, primary_key=True)
    host = models.CharField(max_length=100)
    pid = models.PositiveIntegerField()
    slots = models.PositiveIntegerField()
    busy = models.PositiveIntegerField(default=0)
    warm = models.PositiveIntegerField(default=0)
    pool = models.JSONField(default=dict)  # the warm pool's budget and groups
    builds_running = models.PositiveIntegerField(default=0)
    draining = models.BooleanField(default=False)
    trouble = models.CharField(max_length=500, blank=True)  # why it cannot start a sandbox
    fingerprint = models.JSONField(default=dict)
    started_at = models.DateTimeField(default=timezone.now)
    seen_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.worker


class CounterRow(models.Model):
    """One counter of `/metrics`: the sum of all processes. Changed only by adding to it."""

    family = models.CharField(max_length=64)
    labels = models.CharField(max_length=600)  # the values of the labels, a JSON list
    value = models.FloatField()
    updated_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["family", "labels"], name="counter_row_once")
        ]

    def __str__(self) -> str:
        return f"{self.family}{self.labels}: {self.value}"


class Judge0Submission(models.Model):
    """The part of a submission through the Judge0 door that only this door reads."""

    execution = models.OneToOneField(
        Execution, on_delete=models.CASCADE, primary_key=True, related_name="judge0"
    )
    language_id = models.PositiveIntegerField()
    expected_output = models.TextField(null=True, blank=True)  # noqa: DJ001 - null: not compared
    # The fields that the client gave, besides code and input, to be returned as they came.
    options = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"{self.execution_id}: language {self.language_id}"
