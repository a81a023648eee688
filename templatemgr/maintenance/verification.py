"""Verifications: request, schedule, claim and run them, and heal the versions that they examine.

The database rows are the queue. If the process of a verification dies, the verification runs again:
reading is safe to repeat, and the findings are recorded at the end, in one transaction.
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
from django.db.models import F, Q
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
from templatemgr.queues import VERIFICATIONS
from templatemgr.trees import foreign, hashing, manifests

logger = logging.getLogger(__name__)

RELATED = ("version__template", "version__health", "build")
HEALING = timedelta(minutes=15)
REPORT_SECONDS = 0.5
SCHEDULER = "schedule"  # the actor of scheduled verifications


@dataclass(kw_only=True)
class Surroundings:
    """Callbacks of the verifying process: whether executions run, and whether to stop."""

    busy: Callable[[], bool] = lambda: False
    stop: Callable[[], bool] = lambda: False
    slot: str = "heal"  # the control group of the sandbox that fills a cache


def request(
    *,
    template: str,
    version: int,
    actor: str,
    heal: bool | None = None,
    scheduled: bool = False,
) -> Verification:
    """Queue a verification of a version and wake an executor; return an open one if it exists.

    If `heal` is None, use the setting STENCIL_HEAL. Raises UnknownTemplateError,
    UnknownVersionError.
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
        if found is None:  # the open verification has ended since
            return request(
                template=template, version=version, actor=actor, heal=heal, scheduled=scheduled
            )
        wake_on_commit(WakeKind.VERIFICATION)
        return found


def request_healing(*, template: str, version: int, actor: str) -> Verification:
    """Queue a verification that heals the version if it is damaged.

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
        rows = Verification.objects.select_related(*RELATED)
        return rows.get(pk=verification_id)
    except (Verification.DoesNotExist, ValidationError, ValueError):
        message = f"There is no verification {verification_id}."
        raise UnknownVerificationError(message, verification=str(verification_id)) from None


def latest(*, version: Version) -> Verification | None:
    """Return the newest verification of a version, or None, in one query."""
    return Verification.objects.filter(version=version).order_by("-created_at", "-pk").first()


def claim(*, worker: str) -> Verification | None:
    """Claim the oldest queued verification, requested before scheduled ones, or return None."""
    # Among scheduled verifications, versions that wait for a retry of healing come first.
    down = F("version__health__retry_at").asc(nulls_last=True)
    rows = Verification.objects.select_related(*RELATED)
    return VERIFICATIONS.claim(
        worker=worker,
        choose=lambda: VERIFICATIONS.oldest(rows, "scheduled", down),
        files_done=0,
        bytes_done=0,
    )


def run(
    *,
    verification: Verification,
    surroundings: Surroundings | None = None,
    reader: inspection.Reader | None = None,
) -> Verification:
    """Verify a version, heal it if `verification.heal` is set, and return the ended row.

    Damage is recorded and not raised. A version that cannot be read is quarantined; if the hashing
    process dies or hangs, only after the last attempt. If `surroundings.stop` returns True, the
    verification returns to the queue. `reader.known` may be shared between the verifications of one
    round; `reader.hasher` is replaced by a hasher that yields to executions. Raises DatabaseError.
    """
    around = surroundings or Surroundings()
    progress = _Progress(verification=verification)
    version = verification.version

    def apart(root: Path, paths: Sequence[str]) -> dict[str, str]:
        def advance(path: str) -> None:
            progress.advance(root / path)

        return hashing.hash_apart(
            root,
            paths,
            busy=around.busy,
            stop=around.stop,
            on_file=advance,
            on_bytes=progress.report,
        )

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
        VERIFICATIONS.give_back(verification, counted=False)
    except hashing.HashingError as error:
        logger.warning("verification %s of %s: %s", verification.pk, version, error)
        if verification.attempt < VERIFICATIONS.max_attempts:
            VERIFICATIONS.give_back(verification)
        else:
            _condemn(verification, f"{error} This was the third attempt.", around.slot)
    except DatabaseError:
        raise
    except Exception as error:
        logger.exception("verification %s of %s failed", verification.pk, version)
        _condemn(verification, foreign.reason(error), around.slot)
    return get(verification_id=verification.pk)


def schedule(*, now: datetime | None = None) -> list[Verification]:
    """Queue the verifications that are due at `now`, by default the current time.

    Versions that executions use are due after STENCIL_VERIFY_HOURS, all versions after
    STENCIL_VERIFY_ALL_HOURS; 0 turns either off. Return the queued verifications.
    """
    moment = now or timezone.now()
    often, rarely = _hours(settings.STENCIL_VERIFY_HOURS), _hours(settings.STENCIL_VERIFY_ALL_HOURS)
    shortest = min((span for span in (often, rarely) if span), default=None)
    if shortest is None:
        return []
    waiting = Verification.objects.filter(state__in=OPEN_VERIFICATIONS).values("version")
    rows = (
        Version.objects.select_related("template", "health")
        # A check time in the future means that the clock was set back: verify again.
        .filter(Q(health__checked_at__lte=moment - shortest) | Q(health__checked_at__gt=moment))
        .exclude(health__state=HealthState.RETIRED)
        .exclude(pk__in=waiting)
        .order_by("health__checked_at")
    )
    requested = (request_scheduled(row) for row in rows if _due(row, moment, often, rarely))
    return [verification for verification in requested if verification is not None]


def request_scheduled(version: Version) -> Verification | None:
    """Queue a scheduled verification; if that fails, log the error and return None."""
    try:
        return request(
            template=version.template.name,
            version=version.number,
            actor=SCHEDULER,
            scheduled=True,
        )
    except Exception:
        logger.exception("the verification of %s could not be requested", version)
        return None


def take_over(*, worker: str) -> int:
    """Recover the verifications of a worker that is known to be dead; return their number."""
    return _recover(Q(worker=worker))


def reap() -> int:
    """Requeue verifications with an expired lease, or end them after the last attempt.

    Return the number of recovered verifications.
    """
    return _recover(VERIFICATIONS.expired())


@dataclass(kw_only=True)
class _Progress:
    """Count the files and bytes read, and record them at intervals, which also renews the lease."""

    verification: Verification
    files: int = 0
    bytes: int = 0
    written_at: float = field(default_factory=time.monotonic)

    def begin(self, home: Path) -> None:
        counts = [manifests.contents(home / folder) for folder in ("tree", "cache")]
        VERIFICATIONS.update(
            self.verification,
            files_total=sum(files for files, _ in counts),
            bytes_total=sum(size for _, size in counts),
        )

    def advance(self, path: Path) -> None:
        self.files += 1
        try:
            self.bytes += path.lstat().st_size
        except OSError:
            logger.info("%s vanished while it was verified", path)
        self.report()

    def report(self) -> None:
        """Record the counts and renew the lease, unless that was done just now."""
        if time.monotonic() >= self.written_at + REPORT_SECONDS:
            self.written_at = time.monotonic()
            VERIFICATIONS.renew(self.verification, files_done=self.files, bytes_done=self.bytes)


def _finish(verification: Verification, health: VersionHealth, slot: str) -> None:
    """Heal the version if requested, and end the row with the resulting health."""
    problems = len(health.problems) + len(health.doubts)
    if health.severity == Severity.NONE:
        _end(verification, state=VerificationState.VERIFIED, problems=problems)
        return
    build, message = None, ""
    if verification.heal:
        VERIFICATIONS.renew(verification, lease=HEALING)  # healing does not renew the lease
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
    elif left.severity == Severity.UNSAFE:
        message = message or left.message
    message = foreign.printable(message)
    _end(verification, state=state, problems=problems, build=build, message=message)


def _condemn(verification: Verification, reason: str, slot: str) -> None:
    """Quarantine a version that could not be read, then heal it if requested."""
    health = checking.condemn(
        version=verification.version, actor=verification.requested_by, reason=reason
    )
    _finish(verification, health, slot)
    ended = Verification.objects.filter(pk=verification.pk, message="")
    ended.update(message=reason)


def _end(verification: Verification, *, unrenewed: bool = False, **values: Any) -> bool:
    """Record the end; return False if this attempt no longer holds the row."""
    if values["state"] != VerificationState.FAILED:
        values |= {"files_done": F("files_total"), "bytes_done": F("bytes_total")}
    return VERIFICATIONS.end(verification, unrenewed=unrenewed, **values)


def _recover(condition: Q) -> int:
    rows = Verification.objects.select_related("version__template", "version__health")
    return VERIFICATIONS.recover(condition, give_up=_give_up, rows=rows)


def _give_up(verification: Verification) -> bool:
    """Quarantine a version whose verification process died in every attempt."""
    text = f"The process that verified it ended, {VERIFICATIONS.max_attempts} times."
    checking.condemn(version=verification.version, actor=verification.requested_by, reason=text)
    quarantined = VerificationState.QUARANTINED
    return _end(verification, unrenewed=True, state=quarantined, problems=1, message=text)


def _due(row: Version, now: datetime, often: timedelta | None, rarely: timedelta | None) -> bool:
    age = now - row.health.checked_at
    if rarely is not None and age >= rarely:
        return True
    return often is not None and age >= often and _wanted(row)


def _wanted(row: Version) -> bool:
    """Return whether executions use this version now, or would use it after one rollback."""
    if row.template.current_id == row.pk:
        return True
    previous = promotions.rollback_target(row.template.name)
    # `usage.reasons` covers versions that are pinned for a client or used by open executions.
    return (previous is not None and previous.pk == row.pk) or bool(usage.reasons(row))


def _hours(number: int) -> timedelta | None:
    return timedelta(hours=number) if number else None
