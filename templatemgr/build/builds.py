"""Builds: request, claim, run, cancel and reap them, and sweep leftovers from disk."""

import logging
import os
import uuid
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import Max, Q
from django.utils import timezone

from core import parsing
from core.engine import WakeKind, wake_on_commit
from templatemgr import audit, catalog, data_paths, store
from templatemgr.build import input_changes, pipeline
from templatemgr.build.log_writer import LogWriter
from templatemgr.errors import (
    BuildCancelledError,
    BuildError,
    InvalidBuildError,
    LeaseLostError,
    UnknownBuildError,
)
from templatemgr.integrity import checking, repair
from templatemgr.models import (
    ACTIVE_STATES,
    Build,
    BuildKind,
    BuildLogLine,
    BuildState,
    HealthState,
    Template,
    Version,
)
from templatemgr.promotion import removal
from templatemgr.queues import BUILDS
from templatemgr.store import Freed
from templatemgr.trees import beneath, foreign, manifests

logger = logging.getLogger(__name__)
RELATED = ("template", "version__template", "reproduces__template", "from_version__template")

INTERRUPTED = "The process of the build ended. It left nothing behind; start the build again."
OUT_OF_MEMORY = (
    "The build's process needed more memory than its limit. Check the contents of its inputs."
)


@dataclass(frozen=True, kw_only=True)
class Swept:
    """The leftovers of dead builds and of removals that were deleted from disk."""

    removed: tuple[Path, ...]
    freed: Freed  # objects that no tree linked to
    failed: Mapping[Path, str]  # leftovers that could not be deleted, with the reason


@dataclass(frozen=True, kw_only=True)
class Tidied(Swept):
    """The swept leftovers, and the number of builds that were marked as interrupted."""

    interrupted: int


def request(
    *,
    template: str,
    kind: str,
    actor: str,
    from_version: int | None = None,
    packages: Sequence[str] = (),
    files: Mapping[str, str] | None = None,
    heal: int | None = None,
    wake: bool = True,
    admit: Callable[[int], None] | None = None,
) -> Build:
    """Queue a build from the definition folder, or from the kept inputs of a version.

    With `wake`, wake the executors on commit; without it, the caller must claim the build.

    Kind "update" updates `packages` ("vitest", "vitest@5.2.0"), or all packages within their ranges
    if there are none. Kind "edit" replaces `files` (path of an input → new text). With `heal`, the
    build fails unless it reproduces the version of that number. Raises UnknownTemplateError,
    UnknownVersionError, InvalidBuildError (unknown kind), InvalidOptionsError, DefinitionError
    (refused inputs). `admit` is called with the bytes of the edited files, in the transaction that
    inserts the build; what it raises refuses the build.
    """
    if kind not in BuildKind.values:
        message = f"{kind!r} is not a kind of build: {', '.join(BuildKind.values)}."
        raise InvalidBuildError(message, kind=kind)
    row = catalog.get(name=template)
    source = (
        catalog.get_version(template=template, number=from_version)
        if from_version is not None
        else None
    )
    inputs = data_paths.version(source) / "inputs" if source else data_paths.definition(template)
    options = input_changes.options(kind, packages, files, inputs)
    if heal is None:  # a healing build uses its inputs unchanged; refusals are recorded later
        input_changes.check(kind, options, inputs)
    options |= {} if heal is None else {"heal": heal}
    with transaction.atomic():
        if admit is not None and (size := input_changes.edited_bytes(options)):
            admit(size)
        build = Build.objects.create(
            template=row, kind=kind, from_version=source, requested_by=actor, options=options
        )
        details = {"build": str(build.pk), "kind": kind, "from": from_version}
        details |= input_changes.shown(options)
        audit.append(actor=actor, action="build.request", object=template, details=details)
        if wake:
            wake_on_commit(WakeKind.BUILD)
    return build


def get(*, build_id: uuid.UUID | str) -> Build:
    """Return a build with its template and its versions. Raises UnknownBuildError."""
    identifier = parsing.identifier_or_none(build_id)
    found = None
    if identifier is not None:
        found = Build.objects.select_related(*RELATED).filter(pk=identifier).first()
    if found is None:
        shown = str(build_id)[:80]
        message = f"There is no build {shown}."
        raise UnknownBuildError(message, build=shown)
    return found


def held(*, build_id: uuid.UUID, worker: str, attempt: int) -> Build | None:
    """Return a build that this attempt of this worker holds; None if it does not hold it."""
    rows = BUILDS.held_attempt(build_id, attempt).select_related(*RELATED)
    return rows.filter(worker=worker).first()


def claim(*, worker: str, build_id: uuid.UUID | None = None) -> Build | None:
    """Claim the oldest queued build, or the build `build_id`; None if no such build is queued."""
    rows = Build.objects.select_related(*RELATED)
    if build_id is not None:
        rows = rows.filter(pk=build_id)
    first = BuildState.FETCHING
    return BUILDS.claim(worker=worker, choose=lambda: BUILDS.oldest(rows), step=first)


def run(
    *, build: Build, worker: str, on_line: Callable[[str, str, str], None] | None = None
) -> Build:
    """Execute every step of a build that this worker claimed, and return the ended build.

    A failure of the build is recorded in its row (step, message, remedy) and not raised. `on_line`
    is called with (step, stream, text) for each line, in addition to the rows of the log. Raises
    LeaseLostError if the worker does not hold the build.
    """
    if build.worker != worker or build.state not in ACTIVE_STATES:
        message = f"{worker} does not hold {build}."
        raise LeaseLostError(message)
    with LogWriter(build, on_line) as log_writer:
        try:
            pipeline.execute(build, log_writer)
        except BuildCancelledError:
            _end(build, log_writer, BuildState.CANCELLED, "Cancelled.")
        except LeaseLostError:
            logger.warning("build %s was taken from %s", build.pk, worker)
        except BuildError as error:
            _end(build, log_writer, BuildState.FAILED, _explain(error))
            _gave_up_healing(build, log_writer.redact(error.message))
        except MemoryError:
            logger.exception("build %s needed more memory than its limit", build.pk)
            _end(build, log_writer, BuildState.FAILED, OUT_OF_MEMORY)
        except Exception:  # the row must end on any error
            logger.exception("build %s failed because of an internal error", build.pk)
            text = "Stencil itself failed; its log has the cause. Start the build again."
            _end(build, log_writer, BuildState.FAILED, text)
        except BaseException:  # a signal or an interrupt: record it before the process exits
            _end(build, log_writer, BuildState.INTERRUPTED, INTERRUPTED)
            raise
    return get(build_id=build.pk)


def died(*, build: Build, message: str, state: BuildState = BuildState.INTERRUPTED) -> bool:
    """Record the end of a build whose process died without recording it, and sweep leftovers.

    Call it only if the process is known to be dead. Return False if the end is already recorded or
    another attempt holds the build.
    """
    with store.locked(data_paths.store_lock()):
        with transaction.atomic():  # readers see the end and its log line together
            row = BUILDS.held(build).first()
            ended = row is not None and _interrupt(row, message, state)
            if row is not None and ended:
                sequence = row.lines.aggregate(last=Max("sequence"))["last"] or 0
                said = {"time": timezone.now(), "step": row.step, "stream": "build"}
                row.lines.create(sequence=sequence + 1, text=message, **said)
        sweep()
    return ended


def cancel(*, build_id: uuid.UUID | str, actor: str) -> Build:
    """Request the cancellation of a build, and return the build.

    A queued build ends at once; a finished build is unchanged. Raises UnknownBuildError.
    """
    build = get(build_id=build_id)
    with transaction.atomic():
        text = "Cancelled before it started."
        ended = BUILDS.cancel_queued(build.pk, state=BuildState.CANCELLED, message=text)
        if ended or BUILDS.request_cancel(build.pk):
            details = {"build": str(build.pk)}
            audit.append(
                actor=actor, action="build.cancel", object=build.template.name, details=details
            )
            wake_on_commit(WakeKind.BUILD)
    return get(build_id=build.pk)


def reap() -> int:
    """Mark builds with an expired lease as interrupted, and sweep their leftovers from disk.

    Return the number of marked builds.
    """
    return tidy().interrupted


def take_over(*, worker: str) -> int:
    """Mark every build of a worker that is known to be dead, and sweep their leftovers.

    Return the number of marked builds.
    """
    with store.locked(data_paths.store_lock()):
        interrupted = BUILDS.recover(Q(worker=worker), give_up=_interrupt)
        if interrupted:
            sweep()
    return interrupted


def tidy() -> Tidied:
    """Mark builds with an expired lease, sweep all leftovers, and return a report of both.

    Hold the store's lock, so that no build is between the rename of a version and its row.
    """
    with store.locked(data_paths.store_lock()):
        interrupted = BUILDS.recover(BUILDS.expired(), give_up=_interrupt)
        return Tidied(interrupted=interrupted, **vars(sweep()))


def sweep() -> Swept:
    """Delete staging folders without a running build, version folders without a row, removed trees.

    Only folders of templates that have a row are looked at. No link is followed. The caller holds
    the store's lock.
    """
    removed, failed = list[Path](), dict[Path, str]()
    for name in Template.objects.order_by("name").values_list("name", flat=True):
        for path in _leftovers(name):
            reason = _swept(path)
            if reason:
                failed[path] = reason
            else:
                removed.append(path)
    removed += removal.finish()
    # If no folder was removed, no object lost its last link: skip the walk over all objects.
    freed = store.collect(data_paths.objects(), checking.needed_objects) if removed else Freed()
    return Swept(removed=tuple(removed), freed=freed, failed=failed)


def _leftovers(template: str) -> list[Path]:
    """Return what lies in a template's staging and versions without a build or a row."""
    data, home = data_paths.data(), data_paths.template(template)
    place = home.relative_to(data).as_posix()
    staged = beneath.names(data, f"{place}/staging")
    active = Build.objects.filter(state__in=ACTIVE_STATES)
    running = {str(pk) for pk in active.values_list("pk", flat=True)}
    rows = Version.objects.filter(template__name=template)
    known = {name for row in rows for name in (row.folder, row.directory)}
    _put_back(home, staged, known)
    published = beneath.names(data, f"{place}/versions")
    return [
        *(home / "staging" / name for name in staged if name not in running),
        *(home / "versions" / name for name in published if f"versions/{name}" not in known),
    ]


def log_lines(*, build: Build, after: int = 0, limit: int = 500) -> list[BuildLogLine]:
    """Return at most `limit` log lines with a sequence greater than `after`, in order."""
    return list(build.lines.filter(sequence__gt=after).order_by("sequence")[:limit])


def estimate_seconds(template: str) -> float | None:
    """Return the mean duration of the last five successful builds in seconds, or None."""
    through = Build.objects.filter(
        template__name=template,
        state__in=(BuildState.READY, BuildState.REPRODUCED),
        started_at__isnull=False,
        finished_at__isnull=False,
    )
    last = through.order_by("-finished_at").values_list("started_at", "finished_at")[:5]
    durations = [end - start for start, end in last if start and end]
    if not durations:
        return None
    return sum(durations, timedelta()).total_seconds() / len(durations)


def _swept(path: Path) -> str:
    """Delete an unknown folder; return the reason if that fails, else ""."""
    logger.info("sweeping %s", path)
    data = data_paths.data()
    try:
        beneath.remove(data, path.relative_to(data).as_posix())
    except OSError as error:
        logger.warning("%s cannot be removed: %s", path, error)
        return foreign.reason(error)
    return ""


def _put_back(home: Path, staged: list[str], known: Set[str]) -> None:
    """Move version folders back that an interrupted repair had moved away.

    Take them out of `staged`. A folder without a row, or whose version has a folder again, stays.
    """
    # The newest first: the names end with the time.
    for name in sorted(staged, reverse=True):
        version, mark, _ = name.partition(repair.DAMAGED)
        place = home / "versions" / version
        if not mark or f"versions/{version}" not in known or os.path.lexists(place):
            continue
        staged.remove(name)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            repair.move_away(home / "staging" / name, place)  # unchanged: healing examines it
            if place.is_dir() and not place.is_symlink():
                place.chmod(manifests.FOLDER_MODE)
        except OSError as error:
            logger.warning("%s cannot be put back: %s", home / "staging" / name, error)


def _explain(error: BuildError) -> str:
    return f"{error.message}\n{error.remedy}" if error.remedy else error.message


def _closed_steps(build: Build, state: str) -> list[dict[str, Any]]:
    """Return the steps of a build, with the active step ended as `state`."""
    now = timezone.now().isoformat()
    return [
        {**entry, "state": state, "finished_at": now} if entry["state"] == "active" else entry
        for entry in build.steps
    ]


def _end(build: Build, log_writer: LogWriter, state: BuildState, message: str) -> None:
    """Record an end without a version; do nothing if this attempt lost the build."""
    message = log_writer.redact(message)
    for line in message.splitlines():
        log_writer.line("build", line)
    BUILDS.end(build, state=state, message=message, steps=_closed_steps(build, state))


def _gave_up_healing(build: Build, reason: str) -> None:
    """Record in the health of a version why its healing build failed."""
    number = build.options.get("heal")
    if number is None:
        return
    version = catalog.get_version(template=build.template.name, number=number)
    if version.health.state == HealthState.QUARANTINED:
        checking.not_healed(version, reason, build.requested_by)


def _interrupt(
    build: Build, message: str = INTERRUPTED, state: BuildState = BuildState.INTERRUPTED
) -> bool:
    steps = _closed_steps(build, state)
    return BUILDS.end(build, state=state, unrenewed=True, message=message, steps=steps)
