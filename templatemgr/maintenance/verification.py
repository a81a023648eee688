"""Verifications: asked for or due, claimed, run beside executions, and healed from what they find.

The rows are the queue. A verification that its process left is run again: reading is safe to
repeat, and what was found is recorded at its end, in one transaction.
"""

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from core.engine import WakeKind, wake_on_commit
from templatemgr import audit, catalog, data_paths
from templatemgr.errors import NotHealedError, UnknownVerificationError
from templatemgr.integrity import backoff, checking, inspection
from templatemgr.maintenance import healing
from templatemgr.models import (
    OPEN_VERIFICATIONS,
    HealthState,
    Severity,
    Verification,
    VerificationState,
    Version,
    VersionHealth,
)
from templatemgr.promotion import promotions, usage
from templatemgr.trees import foreign, hashing, manifests

logger = logging.getLogger(__name__)

LEASE = timedelta(minutes=1)
HEALING = timedelta(minutes=15)
REPORT_SECONDS = 0.5
MAX_ATTEMPTS = 3
SCHEDULER = "schedule"  # who asks for what is due


@dataclass(kw_only=True)
class Surroundings:
    """What the process that verifies says: are executions running, and is it to stop."""

    busy: Callable[[], bool] = lambda: False
    stop: Callable[[], bool] = lambda: False
    slot: str = "heal"  # whose control group a sandbox gets that fills a cache


def request(
    *,
    template: str,
    version: int,
    actor: str,
    heal: bool | None = None,
    scheduled: bool = False,
) -> Verification:
    """Queue the verification of a version and wake an executor; return the open one if any.

    `heal` None: as the setting says. Raises UnknownTemplateError, UnknownVersionError.
    """
    row = catalog.get_version(template=template, number=version)
    try:
        with transaction.atomic():
            made = Verification.objects.create(
                version=row,
                requested_by=actor,
                heal=settings.STENCIL_HEAL if heal is None else heal,
                scheduled=scheduled,
            )
            wake_on_commit(WakeKind.VERIFICATION)
            if not scheduled:
                details = {"verification": str(made.pk)}
                audit.append(
                    actor=actor, action="version.verify_request", object=str(row), details=details
                )
            return made
    except IntegrityError:
        found = Verification.objects.filter(version=row, state__in=OPEN_VERIFICATIONS).first()
        if found is None:  # it ended in between
            return request(
                template=template, version=version, actor=actor, heal=heal, scheduled=scheduled
            )
        wake_on_commit(WakeKind.VERIFICATION)
        return found


def request_healing(*, template: str, version: int, actor: str) -> Verification:
    """Queue a verification that heals what it finds damaged.

    Raises UnknownTemplateError, UnknownVersionError, NotHealedError for a removed version.
    """
    row = catalog.get_version(template=template, number=version)
    if row.health.state == HealthState.RETIRED:
        message = f"{row} was removed: a rebuild from it brings it back."
        raise NotHealedError(message, template=template, version=version)
    return request(template=template, version=version, actor=actor, heal=True)


def get(*, verification_id: uuid.UUID | str) -> Verification:
    """Return a verification with its version. Raises UnknownVerificationError."""
    try:
        rows = Verification.objects.select_related("version__template", "version__health", "build")
        return rows.get(pk=verification_id)
    except (Verification.DoesNotExist, ValidationError, ValueError):
        message = f"There is no verification {verification_id}."
        raise UnknownVerificationError(message, verification=str(verification_id)) from None


def latest(*, version: Version) -> Verification | None:
    """Return the newest verification of a version; one query."""
    return Verification.objects.filter(version=version).order_by("-created_at", "-pk").first()


def claim(*, worker: str) -> Verification | None:
    """Take the oldest queued verification, what people asked for first; None when there is none."""
    while True:
        queued = Verification.objects.filter(state=VerificationState.QUEUED)
        # Of what nobody waits for in person, what is down goes before what is due.
        down = F("version__health__retry_at").asc(nulls_last=True)
        oldest = queued.order_by("scheduled", down, "created_at", "pk").values_list("pk", flat=True)
        first = oldest.first()
        if first is None:
            return None
        now = timezone.now()
        won = queued.filter(pk=first).update(
            state=VerificationState.RUNNING,
            worker=worker,
            attempt=F("attempt") + 1,
            lease_until=now + LEASE,
            started_at=now,
            files_done=0,
            bytes_done=0,
        )
        if won == 1:  # else another worker was faster: look again
            return get(verification_id=first)


def run(
    *,
    verification: Verification,
    surroundings: Surroundings | None = None,
    reader: inspection.Reader | None = None,
) -> Verification:
    """Verify, heal if the row says so, and return the row as it ended.

    Never raises for damage: what could not be looked at is quarantined, a hashing process that dies
    at the third time. Told to stop, it goes back to the queue. `reader.known` may be shared
    between verifications of one round; its hasher is replaced by one that makes way for others.
    """
    around = surroundings or Surroundings()
    progress = _Progress(verification=verification)
    version = verification.version

    def apart(root: Path, paths: Sequence[str]) -> dict[str, str]:
        def advance(path: str) -> None:
            progress.advance(root / path)

        return hashing.hash_apart(root, paths, busy=around.busy, stop=around.stop, on_file=advance)

    known = reader.known if reader else {}
    try:
        progress.begin(data_paths.version(version))
        health = checking.verify(
            template=version.template.name,
            version=version.number,
            actor=verification.requested_by,
            reader=inspection.Reader(hasher=apart, known=known),
        )
        _finish(verification, health, around.slot)
    except hashing.StoppedError:
        _give_back(_mine(verification), counts=False)
    except hashing.HashingError as error:
        logger.warning("verification %s of %s: %s", verification.pk, version, error)
        if verification.attempt < MAX_ATTEMPTS:
            _give_back(_mine(verification))
        else:
            _condemn(verification, f"{error} That was the third time.", around.slot)
    except DatabaseError:
        raise
    except Exception as error:
        logger.exception("verification %s of %s failed", verification.pk, version)
        _condemn(verification, foreign.reason(error), around.slot)
    return get(verification_id=verification.pk)


def schedule(*, now: datetime | None = None) -> list[Verification]:
    """Queue what is due: often what executions can get without naming it, rarely the rest."""
    moment = now or timezone.now()
    often, rarely = _hours(settings.STENCIL_VERIFY_HOURS), _hours(settings.STENCIL_VERIFY_ALL_HOURS)
    shortest = min((span for span in (often, rarely) if span), default=None)
    if shortest is None:
        return []
    waiting = Verification.objects.filter(state__in=OPEN_VERIFICATIONS).values("version")
    rows = (
        Version.objects.select_related("template", "health")
        # What was checked in the future was so by a clock that has since gone back.
        .filter(Q(health__checked_at__lte=moment - shortest) | Q(health__checked_at__gt=moment))
        .exclude(health__state=HealthState.RETIRED)
        .exclude(pk__in=waiting)
        .order_by("health__checked_at")
    )
    asked = (ask(row) for row in rows if _due(row, moment, often, rarely))
    return [verification for verification in asked if verification is not None]


def ask(version: Version) -> Verification | None:
    """Queue a verification as the schedule does; None, with the reason logged, when that fails."""
    try:
        return request(
            template=version.template.name,
            version=version.number,
            actor=SCHEDULER,
            scheduled=True,
        )
    except Exception:
        logger.exception("the verification of %s could not be asked for", version)
        return None


def take_over(*, worker: str) -> int:
    """When an executor starts as `worker`: what is running under that name, nobody runs."""
    return _recover(Q(worker=worker))


def reap() -> int:
    """Return verifications whose lease ran out to the queue, or end them after the last attempt."""
    return _recover(Q(lease_until__lt=timezone.now()))


@dataclass(kw_only=True)
class _Progress:
    """Counts what was read, and writes it down a few times a second; that holds the lease, too."""

    verification: Verification
    files: int = 0
    bytes: int = 0
    written_at: float = field(default_factory=time.monotonic)

    def begin(self, home: Path) -> None:
        counts = [manifests.contents(home / folder) for folder in ("tree", "cache")]
        _mine(self.verification).update(
            files_total=sum(files for files, _ in counts),
            bytes_total=sum(size for _, size in counts),
        )

    def advance(self, path: Path) -> None:
        self.files += 1
        try:
            self.bytes += path.lstat().st_size
        except OSError:
            logger.info("%s went while it was verified", path)
        if time.monotonic() >= self.written_at + REPORT_SECONDS:
            self.written_at = time.monotonic()
            _mine(self.verification).update(
                files_done=self.files, bytes_done=self.bytes, lease_until=timezone.now() + LEASE
            )


def _finish(verification: Verification, health: VersionHealth, slot: str) -> None:
    """Heal what was found, if that is wanted, and end the row as it then is."""
    problems = len(health.problems) + len(health.doubts)
    if health.severity == Severity.NONE:
        _end(verification, state=VerificationState.VERIFIED, problems=problems)
        return
    build, message = None, ""
    if verification.heal:
        _mine(verification).update(lease_until=timezone.now() + HEALING)  # nothing renews it there
        try:
            build = healing.heal_or_queue_rebuild(
                version=verification.version, actor=verification.requested_by, slot=slot
            )
        except NotHealedError as error:
            message = error.message
        except DatabaseError:
            raise
        except Exception as error:
            logger.exception("%s could not be healed", verification.version)
            message = foreign.reason(error)
        backoff.plan(version=verification.version)
    left = VersionHealth.objects.get(version=verification.version)
    state = {
        Severity.NONE: VerificationState.HEALED,
        Severity.NOT_PROVABLE: VerificationState.VERIFIED,
        Severity.UNSAFE: VerificationState.QUARANTINED,
    }[left.severity]
    if left.severity == Severity.NOT_PROVABLE:
        message = left.message or f"Served, but not provable: {', '.join(left.parts)}."
    _end(verification, state=state, problems=problems, build=build, message=message)


def _condemn(verification: Verification, reason: str, slot: str) -> None:
    """What could not be looked at is not served; healing looks for itself."""
    health = checking.condemn(
        version=verification.version, actor=verification.requested_by, reason=reason
    )
    _finish(verification, health, slot)
    ended = Verification.objects.filter(pk=verification.pk, message="")
    ended.update(message=reason)


def _mine(verification: Verification) -> QuerySet[Verification]:
    """The row, while it is still ours to write."""
    return Verification.objects.filter(
        pk=verification.pk, attempt=verification.attempt, state=VerificationState.RUNNING
    )


def _end(verification: Verification, **values: Any) -> None:
    """Record an end; nothing when the row is not ours any more."""
    fresh: dict[str, Any] = {"finished_at": timezone.now(), "lease_until": None}
    if values["state"] != VerificationState.FAILED:
        fresh |= {"files_done": F("files_total"), "bytes_done": F("bytes_total")}
    _mine(verification).update(**fresh, **values)


def _recover(condition: Q) -> int:
    running = Verification.objects.filter(condition, state=VerificationState.RUNNING)
    stale = list(running.select_related("version__template", "version__health"))
    for verification in stale:
        if verification.attempt < MAX_ATTEMPTS:
            _give_back(_mine(verification))
            continue
        text = f"The process that verified it ended, {MAX_ATTEMPTS} times."
        checking.condemn(version=verification.version, actor=verification.requested_by, reason=text)
        _end(verification, state=VerificationState.QUARANTINED, problems=1, message=text)
    return len(stale)


def _give_back(rows: QuerySet[Verification], *, counts: bool = True) -> None:
    """Back to the queue. An orderly stop is no failed attempt."""
    attempts: dict[str, Any] = {} if counts else {"attempt": F("attempt") - 1}
    rows.update(
        state=VerificationState.QUEUED, worker="", lease_until=None, started_at=None, **attempts
    )


def _due(row: Version, now: datetime, often: timedelta | None, rarely: timedelta | None) -> bool:
    age = now - row.health.checked_at
    if rarely is not None and age >= rarely:
        return True
    return often is not None and age >= often and _wanted(row)


def _wanted(row: Version) -> bool:
    """Whether executions get this version now, or would after one step back."""
    if row.template.current_id == row.pk:
        return True
    previous = promotions.rollback_target(row.template.name)
    # Others hold what is pinned for a client, or what open executions run on.
    return (previous is not None and previous.pk == row.pk) or bool(usage.reasons(row))


def _hours(number: int) -> timedelta | None:
    return timedelta(hours=number) if number else None
