"""Probe the requirements of a submission: database, schema, disk, executor, socket.

Each probe does real reads and writes, and reports the cause of a failure. Findings are cached for
one second, so that many callers cost as much as one. See decision 0029.
"""

import contextlib
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import F
from django.utils import timezone

from core.database.errors import classify
from core.database.vendors import Trouble
from core.engine import get_engine
from execapp.models import ALIVE_WITHIN, Execution, ExecutorHeartbeat
from execapp.services import schema

KEPT_SECONDS = 1.0
PROBE_TIMEOUT_SECONDS = 3.0
WRITTEN_BYTES = 64 * 1024
NO_EXECUTOR = "no executor has a recent heartbeat: start `manage.py executor`"
STOPPING = "the executor is stopping: try again when it has started again"


@dataclass(frozen=True, kw_only=True)
class Readiness:
    """One condition for accepting executions."""

    name: str
    ok: bool
    detail: str


class _Kept:
    """The cached findings; one thread at a time renews them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.until = 0.0
        self.found: tuple[Readiness, ...] = ()
        self.damage = ""


_kept = _Kept()


def installation() -> tuple[Readiness, ...]:
    """Return the finding of every probe. The probes write once a second at most."""
    found = _written()
    if not found[0].ok:
        unknown = "not known: the database does not answer"
        return (*found, Readiness(name="executor", ok=False, detail=unknown))
    return (*found, *_executor())


def _written() -> tuple[Readiness, ...]:
    if not _kept.lock.acquire(timeout=PROBE_TIMEOUT_SECONDS):
        # The probing thread hangs; other callers must not wait for it.
        stuck = f"it has not answered for {PROBE_TIMEOUT_SECONDS:g} s"
        return (Readiness(name="database", ok=False, detail=stuck),)
    try:
        if time.monotonic() >= _kept.until:
            _kept.found = (
                _try("database", _database),
                _try("schema", _schema),
                _try("disk", _disk),
            )
            _kept.until = time.monotonic() + KEPT_SECONDS
        return _kept.found
    finally:
        _kept.lock.release()


def forget() -> None:
    """Forget the findings, so that the next call probes again."""
    _kept.until, _kept.damage = 0.0, ""


def saw(error: BaseException) -> None:
    """Report a damaged database as not ready until this process ends.

    A probe reads only a few rows, so any query can be the first to read a damaged page.
    """
    if classify(error) is Trouble.DAMAGED:
        _kept.damage, _kept.until = _line(error), 0.0


def why_no_executor() -> str | None:
    """Return why no executor takes executions, as a sentence; None if an executor takes them.

    An executor that cannot write its heartbeat, because the disk is full or the database is
    locked, still answers at its socket.
    """
    rows = list(ExecutorHeartbeat.objects.all())
    alive = [row for row in rows if row.seen_at > timezone.now() - ALIVE_WITHIN]
    if any(not row.draining for row in alive):
        return None
    if alive:
        return "The executor is stopping and accepts no executions: try again in a moment."
    if _within_reach(rows) and get_engine().connection_error() is None:
        return None
    return "No executor is running: start `manage.py executor`."


def _try(name: str, probe: Callable[[], str]) -> Readiness:
    try:
        return Readiness(name=name, ok=True, detail=probe())
    except (DatabaseError, schema.SchemaError) as error:
        with contextlib.suppress(DatabaseError):
            connection.close_if_unusable_or_obsolete()
        return Readiness(name=name, ok=False, detail=_line(error))
    except OSError as error:
        what = error.strerror or str(error)
        return Readiness(name=name, ok=False, detail=f"{what}: free space, or repair the disk")


def _database() -> str:
    """Read the tables that a submission reads, and commit a write."""
    if _kept.damage:
        message = f"a query found damage ({_kept.damage}): see `manage.py doctor --database`"
        raise DatabaseError(message)
    newest = Execution.objects.order_by("-created_at").select_related("version__template")
    list(newest.only("id", "state", "version__number", "version__template__name")[:1])
    # Write the unchanged value of a row that always exists: a real write without an effect.
    applied = MigrationRecorder.Migration.objects.filter(app="execapp", name="0001_initial")
    if applied.update(applied=F("applied")) != 1:
        message = "the first migration is not recorded: run `manage.py migrate`"
        raise DatabaseError(message)
    return "reads and writes"


def _schema() -> str:
    schema.require()
    return "equal to the code"


def _disk() -> str:
    """Write a file in the data directory."""
    data = Path(settings.STENCIL_DATA)
    with tempfile.TemporaryFile(dir=data) as file:
        file.write(bytes(WRITTEN_BYTES))
        file.flush()
        os.fdatasync(file.fileno())
    return f"writes; {shutil.disk_usage(data).free // 1024**2:,} MiB are free"


def _executor() -> list[Readiness]:
    rows = list(ExecutorHeartbeat.objects.order_by("-seen_at"))
    alive = [row for row in rows if row.seen_at > timezone.now() - ALIVE_WITHIN]
    taking = [row for row in alive if not row.draining]
    if not taking:
        detail = STOPPING if alive else NO_EXECUTOR
        return [Readiness(name="executor", ok=False, detail=detail)]
    able = [row for row in taking if not row.trouble]
    detail = "can start sandboxes" if able else f"cannot start a sandbox: {taking[0].trouble}"
    found = [Readiness(name="executor", ok=bool(able), detail=detail)]
    if _within_reach(taking):
        trouble = get_engine().connection_error()
        found.append(Readiness(name="socket", ok=trouble is None, detail=trouble or "answers"))
    return found


def _within_reach(rows: Iterable[ExecutorHeartbeat]) -> bool:
    """Return whether the engine's messages from this process reach one of these executors."""
    here = _host()
    return any(get_engine().crosses_machines or row.host == here for row in rows)


def _host() -> str:
    return socket.gethostname()[:100]


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
