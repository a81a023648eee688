"""Taking a submission in, waiting for its end, asking for an end."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from core.database.prepared import Param, Prepared
from core.engine import local
from execapp import serialization
from execapp.conf import sizes
from execapp.errors import (
    Field,
    IdempotencyConflictError,
    InvalidRequestError,
    NoExecutorError,
    QueueFullError,
    UnknownExecutionError,
)
from execapp.models import (
    ApiToken,
    Execution,
    ExecutionLabel,
    ExecutionState,
    IdempotencyKey,
    Mode,
)
from execapp.services import checks, health, pins, probes, storage
from templatemgr import catalog

KEY_LIFETIME = timedelta(hours=24)
_ROW = Prepared(
    lambda: Execution.objects.select_related("version").filter(id=Param(Execution, "id"))[:1]
)


@dataclass(frozen=True, kw_only=True)
class _Key:
    """An idempotency key with the hash of the body it came with."""

    token: ApiToken
    key: str
    body_hash: str


def submit(
    *,
    client: str,
    token: ApiToken | None,
    template: str,
    mode: str,
    files: Sequence[Mapping[str, str]],
    entry: str | None = None,
    args: Sequence[str] = (),
    stdin: str = "",
    env: Mapping[str, str] | None = None,
    limits: Mapping[str, int] | None = None,
    labels: Mapping[str, str] | None = None,
    idempotency_key: str | None = None,
    body_hash: str | None = None,
    wake: bool = True,
) -> tuple[Execution, bool]:
    """Commit a submission as `queued`, its version fixed; the bool says whether it is new.

    Without `wake` the caller goes on to a `fresh` `wait`. A known idempotency key gives its
    execution back. Raises what `pins.resolve` raises, and `execapp.errors`.
    """
    key = _key(token, idempotency_key, body_hash)
    if key and (earlier := _earlier(key)) is not None:
        return earlier, False
    execution = Execution(
        client=client,
        token=token,
        mode=mode,
        phase=mode,
        files=[dict(file) for file in files],
        entry=entry or "",
        args=list(args),
        stdin=stdin,
        env=dict(env or {}),
        limits=dict(limits or {}),
        labels=dict(labels or {}),
    )
    _complete(execution, template)
    return _admit(execution, key, wake=wake)


def rerun(
    *, execution: Execution, client: str, token: ApiToken | None, template: str | None = None
) -> Execution:
    """Submit what `execution` was again, on the same version unless `template` names another."""
    made, _ = submit(
        client=client,
        token=token,
        template=template or f"{execution.template_name}@{execution.version.number}",
        mode=execution.mode,
        files=execution.files,
        entry=execution.entry or None,
        args=execution.args,
        stdin=execution.stdin,
        env=execution.env,
        limits=execution.limits,
        labels=execution.labels,
    )
    return made


def wait(*, execution_id: uuid.UUID, seconds: float, fresh: bool = False) -> Execution:
    """The execution once it has ended, or as it is when the time is over.

    `fresh`: it was submitted just now without a wake-up, which goes with the wait.
    """
    if seconds <= 0:
        return _row(execution_id)
    seen: list[Execution] = []

    def ended() -> bool:
        seen[:] = [_row(execution_id)]
        return seen[0].finished

    local.wait_for(execution_id, seconds, finished=ended, fresh=fresh)
    return seen[0]


def cancel(*, execution_id: uuid.UUID, actor: str) -> tuple[Execution, bool]:
    """Ask an execution to end; the bool is False when it had ended already.

    A queued one ends here. A running one is killed by its executor, soon after. `actor` is
    recorded in the message.
    """
    message = f"Cancelled by {actor}."
    execution = wait(execution_id=execution_id, seconds=0)
    now = timezone.now()
    waited = max(0.0, round((now - execution.created_at).total_seconds() * 1000, 3))
    rows = Execution.objects.filter(id=execution_id)
    # Each step is conditional: whoever claims or finishes in between makes it touch no row.
    with transaction.atomic():
        changed = rows.filter(state=ExecutionState.QUEUED).update(
            state=ExecutionState.CANCELLED,
            cancel_requested=True,
            message=message,
            finished_at=now,
            timings={"queued_ms": waited, "total_ms": waited, "warm": False},
        )
        if changed:
            storage.settle(execution, {})
    changed = changed or rows.filter(state=ExecutionState.RUNNING).update(
        cancel_requested=True, message=message
    )
    if changed:
        local.cancel(execution_id)
    return wait(execution_id=execution_id, seconds=0), bool(changed)


def _row(execution_id: uuid.UUID) -> Execution:
    found = _ROW.first(id=execution_id)
    if found is None:
        message = f"There is no execution {execution_id}."
        raise UnknownExecutionError(message)
    return found


def _key(token: ApiToken | None, key: str | None, body_hash: str | None) -> _Key | None:
    if key is None or token is None:
        return None
    return _Key(token=token, key=key, body_hash=body_hash or "")


def _complete(execution: Execution, template: str) -> None:
    """Fix the version and the limits in force; refuse everything that is wrong, at once."""
    bounds = sizes()
    problems = [
        *checks.check_files(execution.files, bounds),
        *checks.check_args(execution.args, execution.stdin, bounds),
        *checks.check_env(execution.env, bounds),
        *checks.check_labels(execution.labels, bounds),
    ]
    if problems:
        raise InvalidRequestError(problems)
    version = pins.resolve(reference=template, token=execution.token)
    runtime = catalog.runtime(version)
    if execution.mode not in runtime.modes:
        known = ", ".join(runtime.modes)
        raise InvalidRequestError([Field(path="mode", message=f"This template has {known}.")])
    paths = [file["path"] for file in execution.files]
    problems = [
        *checks.check_limits(execution.limits, runtime.maximum),
        *checks.check_entry(execution.mode, execution.entry, runtime.entry, paths),
        *checks.check_env(execution.env, bounds, runtime.variables),
    ]
    if problems:
        raise InvalidRequestError(problems)
    execution.version = version
    execution.template_name = runtime.name
    execution.limits = {**serialization.limits_to_json(runtime.default), **execution.limits}
    tests = execution.mode == Mode.TEST
    execution.entry = "" if tests else execution.entry or runtime.entry or ""
    _check_room(execution)


def _check_room(execution: Execution) -> None:
    """What does not fit into the workspace is the client's to know, not the runner's to meet."""
    needed = sum(checks.content_size(file) for file in execution.files)
    if needed > execution.limits["disk_bytes"]:
        text = f"The files alone need {needed} bytes."
        raise InvalidRequestError([Field(path="limits.disk_bytes", message=text)])


def _admit(execution: Execution, key: _Key | None, *, wake: bool) -> tuple[Execution, bool]:
    storage.check_disk()
    try:
        with transaction.atomic():
            earlier = _earlier(key) if key else None
            if earlier is not None:
                return earlier, False
            _check_room_in_queue()
            execution.created_at = timezone.now()
            storage.charge(execution)
            _insert(execution, key)
    except IntegrityError:
        # Two requests with one key at a time, where transactions run side by side.
        earlier = _earlier(key) if key else None
        if earlier is None:
            raise
        return earlier, False
    if wake:
        transaction.on_commit(lambda: local.wake("execution"))
    return execution, True


def _check_room_in_queue() -> None:
    if not health.executor_alive():
        reason = probes.why_no_executor()
        if reason is not None:
            raise NoExecutorError(reason)
    queued = health.queued()
    if queued >= settings.STENCIL_QUEUE_LIMIT:
        message = f"{queued} executions are waiting already; try again later."
        raise QueueFullError(message, details={"queued": queued})


def _insert(execution: Execution, key: _Key | None) -> None:
    execution.save(force_insert=True)
    ExecutionLabel.objects.bulk_create(
        ExecutionLabel(execution=execution, key=name, value=value)
        for name, value in execution.labels.items()
    )
    if key is not None:
        IdempotencyKey.objects.create(
            token=key.token, key=key.key, body_hash=key.body_hash, execution=execution
        )


def _earlier(key: _Key) -> Execution | None:
    """The execution that the key stands for; an expired key is forgotten on the way."""
    found = (
        IdempotencyKey.objects.filter(token=key.token, key=key.key)
        .select_related("execution__version")
        .first()
    )
    if found is None:
        return None
    if found.created_at <= timezone.now() - KEY_LIFETIME:
        IdempotencyKey.objects.filter(id=found.id).delete()
        return None
    if found.body_hash != key.body_hash:
        message = "This Idempotency-Key was used with another body."
        raise IdempotencyConflictError(message, details={"execution": str(found.execution_id)})
    return found.execution
