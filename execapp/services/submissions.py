"""Submit a request, wait for the end of its execution, cancel it, submit it again."""

import uuid
from collections.abc import Callable, Collection, Sequence
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from core.database.prepared import Param, Prepared, PreparedInsert
from core.engine import (
    Hub,
    WakeKind,
    begin_on_commit,
    cancel_on_commit,
    get_engine,
    wake_on_commit,
)
from execapp import requests
from execapp.cases import asked
from execapp.conf import sizes
from execapp.counters import counting
from execapp.errors import (
    ExecutionError,
    Field,
    InvalidRequestError,
    NoExecutorError,
    QueueFullError,
    UnknownExecutionError,
)
from execapp.limits import limits_to_json
from execapp.models import (
    FINAL_STATES,
    ApiToken,
    Execution,
    ExecutionLabel,
    ExecutionState,
    Mode,
)
from execapp.queues import EXECUTIONS
from execapp.requests import SubmissionRequest
from execapp.services import (
    callbacks,
    case_checks,
    checks,
    collect_checks,
    health,
    idempotency,
    probes,
    storage,
    token_limits,
    token_pins,
    usage,
)
from templatemgr import version_runtimes
from templatemgr.errors import TemplateError
from templatemgr.runtimes import Runtime

_ROW = Prepared(
    lambda: Execution.objects.select_related("version").filter(id=Param(Execution, "id"))[:1]
)
_INSERT = PreparedInsert(Execution)


def submit(
    request: SubmissionRequest, *, waiting: bool = False, waits: Hub | None = None
) -> tuple[Execution, bool]:
    """Check a request and commit it as `queued`, on a fixed version; the bool says if it is new.

    `waiting`: the caller waits for the end of a new execution next, and the wake-up is part of the
    message that begins the wait. With `waits`, the hub in which it waits, this call sends the
    message; without, `wait` with `fresh` does. For a known idempotency key return its execution.
    Raise the errors of `token_pins.resolve` and those of `execapp.errors`.
    """
    earlier = idempotency.find_earlier(request=request)
    if earlier is not None:
        return earlier, False
    execution, new = _admit(request, _checked(request))
    if new:
        _wake(execution, waiting=waiting, waits=waits)
    return execution, new


def submit_all(
    batch: Sequence[SubmissionRequest],
) -> list[tuple[Execution, bool] | TemplateError | ExecutionError]:
    """Check and commit requests in one transaction; return a result or an error for each, in order.

    A result is that of `submit`, an error is one that `submit` raises. A refused request neither
    changes the others nor costs anything. One wake-up announces all new executions.
    """
    found: list[tuple[Execution, bool] | TemplateError | ExecutionError] = []
    checked = [_result_of(_earlier_or_checked, request) for request in batch]
    with transaction.atomic():
        for request, made in zip(batch, checked, strict=True):
            found.append(_result_of(_admit, request, made) if isinstance(made, Execution) else made)
        if any(isinstance(result, tuple) and result[1] for result in found):
            wake_on_commit(WakeKind.EXECUTION)
    return found


def rerun(
    *,
    execution: Execution,
    client: str,
    token: ApiToken | None,
    template: str | None = None,
    callback_url: str | None = None,
) -> Execution:
    """Submit the request of `execution` again: on its version, unless `template` names another.

    Its callback is not repeated; `callback_url` names one for the new execution.
    """
    request = requests.repeat(
        execution, client=client, token=token, template=template, callback_url=callback_url
    )
    made, _ = submit(request)
    return made


def wait(*, execution_id: uuid.UUID, seconds: float, fresh: bool = False) -> Execution:
    """Return the execution when it has ended, or its current row after `seconds`.

    `fresh`: it has been submitted as `waiting` without a hub; this wait sends the wake-up.
    """
    if seconds <= 0:
        return _row(execution_id)
    seen: list[Execution] = []

    def ended() -> bool:
        seen[:] = [_row(execution_id)]
        return seen[0].finished

    get_engine().wait_for(execution_id, seconds, ended=ended, fresh=fresh)
    return seen[0]


def ended_among(execution_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Return the ids of those executions that have ended; one query."""
    rows = Execution.objects.filter(id__in=execution_ids, state__in=FINAL_STATES)
    return set(rows.values_list("id", flat=True))


def cancel(*, execution_id: uuid.UUID, actor: str) -> tuple[Execution, bool]:
    """Cancel an execution; the bool is False if it had already ended.

    A queued execution ends here. The executor kills a running execution soon after. `actor` is
    recorded in the message.
    """
    message = f"Cancelled by {actor}."
    execution = wait(execution_id=execution_id, seconds=0)
    now = timezone.now()
    waited = max(0.0, round((now - execution.created_at).total_seconds() * 1000, 3))
    columns: dict[str, Any] = {
        "state": ExecutionState.CANCELLED,
        "timings": {"queued_ms": waited, "total_ms": waited, "warm": False},
    }
    # Each step is conditional: it changes no row that another worker has claimed or ended.
    with transaction.atomic():
        changed = EXECUTIONS.cancel_queued(execution_id, message=message, **columns)
        if changed:
            storage.settle(execution, {})
            callbacks.announce(execution)
            counting.count_end(execution, columns)
            usage.count_end(execution, columns)
    changed = changed or EXECUTIONS.request_cancel(execution_id, again=True, message=message)
    if changed:
        cancel_on_commit(execution_id)
    return wait(execution_id=execution_id, seconds=0), changed


def _earlier_or_checked(request: SubmissionRequest) -> Execution | tuple[Execution, bool]:
    earlier = idempotency.find_earlier(request=request)
    return _checked(request) if earlier is None else (earlier, False)


def _result_of[**P, T](
    act: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T | TemplateError | ExecutionError:
    """Return the result of `act`, or the error by which it refuses the request."""
    try:
        return act(*args, **kwargs)
    except (TemplateError, ExecutionError) as error:
        return error


def _row(execution_id: uuid.UUID) -> Execution:
    found = _ROW.first(id=execution_id)
    if found is None:
        message = f"There is no execution {execution_id}."
        raise UnknownExecutionError(message)
    return found


def _checked(request: SubmissionRequest) -> Execution:
    """Return the unsaved execution, with its version and the limits in force.

    Raise InvalidRequestError with all errors that the checks before, or after, the choice of the
    version find.
    """
    execution = Execution(
        client=request.client,
        token=request.token,
        mode=request.mode,
        phase=request.mode,
        files=[dict(file) for file in request.files],
        entry=request.entry or "",
        args=list(request.args),
        stdin=request.stdin,
        env=dict(request.env),
        limits=dict(request.limits),
        labels=dict(request.labels),
        callback=callbacks.recorded(request),
        cases=None if request.cases is None else asked.to_json(request.cases),
        collect=collect_checks.recorded(request.collect, sizes()),
    )
    bounds = sizes()
    problems = [
        *callbacks.check(request),
        *checks.check_files(execution.files, bounds),
        *checks.check_args(execution.args, execution.stdin, bounds),
        *checks.check_env(execution.env, bounds),
        *checks.check_labels(execution.labels, bounds),
        *collect_checks.check(request.collect, bounds, cases=request.cases is not None),
        *case_checks.check(request.cases, execution.mode, execution.env, bounds),
    ]
    if problems:
        raise InvalidRequestError(problems)
    token_limits.check_template(request.token, request.template)
    version = token_pins.resolve(reference=request.template, token=request.token)
    runtime = version_runtimes.runtime_of(version)
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
    execution.limits = {**limits_to_json(runtime.default), **execution.limits}
    _check_cases(request, execution, runtime)
    tests = execution.mode == Mode.TEST
    execution.entry = "" if tests else execution.entry or runtime.entry or ""
    _check_workspace(execution)
    return execution


def _check_cases(request: SubmissionRequest, execution: Execution, runtime: Runtime) -> None:
    """Check the cases against the version, and record what holds for all of them together."""
    problems = case_checks.check_against(
        request.cases, execution.env, execution.limits, sizes(), runtime.variables
    )
    if problems:
        raise InvalidRequestError(problems)
    if execution.cases is not None:
        execution.cases["within"] = asked.within(runtime.maximum)


def _check_workspace(execution: Execution) -> None:
    """Reject files that exceed the workspace here: the client gets 422, not a runner failure."""
    needed = sum(checks.content_size(file) for file in execution.files)
    if needed > execution.limits["disk_bytes"]:
        text = f"The files alone need {needed} bytes."
        raise InvalidRequestError([Field(path="limits.disk_bytes", message=text)])


def _admit(request: SubmissionRequest, execution: Execution) -> tuple[Execution, bool]:
    storage.check_disk()
    try:
        with transaction.atomic():
            earlier = idempotency.find_earlier(request=request)
            if earlier is not None:
                return earlier, False
            _check_queue()
            execution.created_at = timezone.now()
            token_limits.admit(request.token)
            storage.charge(execution)
            _insert(request, execution)
    except IntegrityError:
        # Concurrent transactions can insert two requests with the same key.
        earlier = idempotency.find_earlier(request=request)
        if earlier is None:
            raise
        return earlier, False
    return execution, True


def _wake(execution: Execution, *, waiting: bool, waits: Hub | None) -> None:
    if not waiting:
        wake_on_commit(WakeKind.EXECUTION)
    elif waits is not None:
        begin_on_commit(waits, execution.id)


def _check_queue() -> None:
    queued = health.queued_if_alive()
    if queued is None:
        reason = probes.why_no_executor()
        if reason is not None:
            raise NoExecutorError(reason)
        queued = health.queued()
    if queued >= settings.STENCIL_QUEUE_LIMIT:
        message = f"{queued} executions are waiting already; try again later."
        raise QueueFullError(message, details={"queued": queued})


def _insert(request: SubmissionRequest, execution: Execution) -> None:
    _INSERT.run(execution)
    if execution.labels:
        ExecutionLabel.objects.bulk_create(
            ExecutionLabel(execution=execution, key=name, value=value)
            for name, value in execution.labels.items()
        )
    idempotency.remember(request=request, execution=execution)
