"""Quotas of storage: bytes per client and day, and disk space that must stay free.

A submission is charged for its own bytes and, until it ends, for its output limits; after that for
its real output. A conditional UPDATE changes the row of a client and a day inside the transaction
that admits the submission, so that a refused or rolled-back submission costs nothing. The files of
an edit are charged the same way.
"""

import json
import math
import shutil
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Greatest
from django.utils import timezone

from core.database.prepared import Param, PreparedUpdate
from execapp.cases.results import RESULT_BYTES
from execapp.errors import NoSpaceError, QuotaError
from execapp.models import ApiToken, Execution, StoredBytes
from execapp.services.checks import size_of

ROW_BYTES = 1024  # size of a row without its texts
LOOK_SECONDS = 1.0  # between two readings of the free disk space

_TAKE = PreparedUpdate(
    lambda: (
        StoredBytes.objects.filter(
            owner=Param(StoredBytes, "owner"),
            day=Param(StoredBytes, "day"),
            bytes__lte=Param(StoredBytes, "bytes", "room"),
        ),
        {"bytes": F("bytes") + Param(StoredBytes, "bytes", "size")},
    )
)
_SETTLE = PreparedUpdate(
    lambda: (
        StoredBytes.objects.filter(
            owner=Param(StoredBytes, "owner"), day=Param(StoredBytes, "day")
        ),
        {"bytes": Greatest(F("bytes") + Param(StoredBytes, "bytes", "more"), 0)},
    )
)


class _Disk:
    """Free bytes on the disk of the database, read at most once a second."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looked, self._free = -LOOK_SECONDS, 0

    def free(self) -> int:
        with self._lock:
            now = monotonic()
            if now - self._looked >= LOOK_SECONDS:
                self._free = shutil.disk_usage(settings.STENCIL_DATA).free
                self._looked = now
            return self._free

    def forget(self) -> None:
        """Read the free space again at the next call."""
        self._looked = -LOOK_SECONDS


disk = _Disk()


def check_disk() -> None:
    """Raise NoSpaceError if less disk space is free than the setting requires."""
    least = settings.STENCIL_FREE_BYTES
    if not least:
        return
    free = disk.free()
    if free < least:
        message = (
            f"The disk has {free // 1024**2:,} MiB free, and {least // 1024**2:,} must stay free: "
            "no submission is accepted until then."
        )
        raise NoSpaceError(message, details={"free_bytes": free, "least_free_bytes": least})


def charge(execution: Execution) -> None:
    """Charge the client for a submission, in the transaction that inserts it.

    Raise QuotaError if the submission exceeds the rest of the client's quota of the day.
    """
    size = submitted_bytes(execution) + reserve(execution)
    _charge(owner_of(execution), day_of(execution.created_at), size, limit_of(execution.token))


def limit_of(token: ApiToken | None) -> int:
    """Return the bytes a day of a token, or of a user of the dashboard; 0: no limit."""
    if token is not None and token.bytes_per_day is not None:
        return token.bytes_per_day
    return int(settings.STENCIL_CLIENT_BYTES_PER_DAY)


def edit_admission(*, token: ApiToken | None, client: str) -> Callable[[int], None]:
    """Return a function that admits and charges an edit of that many bytes, for `builds.request`.

    It must run in the transaction that inserts the build. It raises NoSpaceError and QuotaError.
    """

    def admit(size: int) -> None:
        check_disk()
        owner = _owner(token.id if token else None, client)
        _charge(owner, day_of(timezone.now()), ROW_BYTES + size, limit_of(token))

    return admit


def _charge(owner: str, day: str, size: int, limit: int) -> None:
    if not limit:
        return
    who = {"owner": owner, "day": day}
    if _TAKE.run(**who, size=size, room=limit - size):
        return
    try:
        with transaction.atomic():  # the client's first submission of the day
            if size <= limit:
                StoredBytes.objects.create(**who, bytes=size)
                return
    except IntegrityError:
        if _TAKE.run(**who, size=size, room=limit - size):
            return
    raise _over(owner, day, size, limit)


def settle(execution: Execution, columns: Mapping[str, Any], *, files: int = 0) -> None:
    """Replace the reserve of an execution by its real output.

    `columns` are its final columns, `files` the bytes of the files that it gave back.
    """
    if not settings.STENCIL_CLIENT_BYTES_PER_DAY and execution.token_id is None:
        return  # a token may have a limit of its own
    printed = files + len(columns.get("stdout", b"")) + len(columns.get("stderr", b""))
    if columns.get("tests") is not None:
        printed += len(json.dumps(columns["tests"]))
    more = printed - reserve(execution)
    _SETTLE.run(owner=owner_of(execution), day=day_of(execution.created_at), more=more)


def left(*, token: ApiToken) -> int | None:
    """Return the bytes that a token can still store today; None without a limit."""
    limit = limit_of(token)
    return _left(_owner(token.id, token.name), day_of(timezone.now()), limit) if limit else None


def submitted_bytes(execution: Execution) -> int:
    """Return the bytes of a submission, as UTF-8."""
    files = sum(size_of(file["path"]) + size_of(file["content"]) for file in execution.files)
    tables = (*execution.env.items(), *execution.labels.items())
    texts = [execution.stdin, *execution.args, *(text for pair in tables for text in pair)]
    texts += [] if execution.collect is None else execution.collect["patterns"]
    # The delivery of a callback is a row of its own.
    callback = 0 if execution.callback is None else ROW_BYTES + 2 * len(execution.callback["url"])
    return ROW_BYTES + files + sum(map(size_of, texts)) + callback + _cases_bytes(execution)


def _cases_bytes(execution: Execution) -> int:
    """Return the bytes of the cases, and of their results without the output."""
    if execution.cases is None:
        return 0
    text = json.dumps(execution.cases, ensure_ascii=False)
    return size_of(text) + RESULT_BYTES * len(execution.cases["items"])


def reserve(execution: Execution) -> int:
    """Return the maximum size of stdout, stderr and the files that come back, in bytes."""
    most = execution.limits.get("output_bytes", 0)
    if execution.cases is not None:
        count = len(execution.cases["items"])
        most = min(execution.cases["within"]["output_bytes"], most * count)
    files = 0 if execution.collect is None else execution.collect["most_bytes"]
    return int(2 * most + files)


def owner_of(execution: Execution) -> str:
    """Return the owner of the quota: the token, or the user of the dashboard."""
    return _owner(execution.token_id, execution.client)


def forget(*, before: datetime) -> int:
    """Delete the counts of days before `before`."""
    old = StoredBytes.objects.filter(day__lt=day_of(before))
    return old.delete()[0] if old.exists() else 0


def _owner(token_id: UUID | None, client: str) -> str:
    return f"token:{token_id}" if token_id is not None else f"user:{client}"


def day_of(moment: datetime) -> str:
    """Return the day of UTC, such as 2026-11-30."""
    return moment.astimezone(UTC).date().isoformat()


def _left(owner: str, day: str, limit: int) -> int:
    row = StoredBytes.objects.filter(owner=owner, day=day).values_list("bytes", flat=True).first()
    return max(0, limit - (row or 0))


def _over(owner: str, day: str, size: int, limit: int) -> QuotaError:
    has = _left(owner, day, limit)
    message = (
        f"This would store {size:,} bytes with room for its output; of {limit:,} a day {has:,} are "
        "left. Send less, ask for a smaller limits.output_bytes, or submit again tomorrow (UTC)."
    )
    details = {"limit_name": "bytes_per_day", "limit": limit, "left": has, "needed": size}
    error = QuotaError(message, details=details)
    error.retry_after = until_midnight(timezone.now())
    return error


def until_midnight(now: datetime) -> int:
    """Return the whole seconds until the next day of UTC begins, at least 1."""
    now = now.astimezone(UTC)
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return max(1, math.ceil((midnight - now).total_seconds()))
