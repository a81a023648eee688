"""Lookups of newer package versions in the registry of a template.

The row of a lookup holds the result and its time. Web requests only queue and read lookups; an
executor queries the registry, because a query takes seconds and may fail.
"""

import logging
import os
import threading
import uuid
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from core.engine import WakeKind, wake_on_commit
from templatemgr import catalog, data_paths, operator_rules, store
from templatemgr.build import inputs
from templatemgr.builders import registry, secrets
from templatemgr.builders.base import Candidate, Job
from templatemgr.definitions import screening
from templatemgr.errors import InvalidBuildError, TemplateError
from templatemgr.models import Lookup, LookupState
from templatemgr.queues import LOOKUPS
from templatemgr.redaction import Redactor

logger = logging.getLogger(__name__)

OPEN = (LookupState.QUEUED, LookupState.RUNNING)
RELATED = ("template", "from_version__template")
INTERRUPTED = "The process of the lookup ended. Start the lookup again."


def request(*, template: str, actor: str, from_version: int | None = None) -> Lookup:
    """Queue a lookup of the packages of a version, or of the definition; wake an executor.

    Return the open lookup of the same inputs if one exists. Raises UnknownTemplateError,
    UnknownVersionError, UnavailableError, and InvalidBuildError if the builder does not support
    lookups.
    """
    source = inputs.read(template=template, version=from_version)
    builder = source.definition.builder
    if registry.update_finder(builder) is None:
        message = f"The builder {builder} cannot look up newer packages."
        raise InvalidBuildError(message, template=template)
    with transaction.atomic():
        row = catalog.get(name=template)
        wake_on_commit(WakeKind.LOOKUP)
        same = Lookup.objects.filter(template=row, digest=source.digest)
        waiting = same.filter(state__in=OPEN).first()
        if waiting is not None:
            return waiting
        # Delete only failed lookups: the previous result stays until the new one is recorded.
        same.filter(state=LookupState.FAILED).delete()
        return Lookup.objects.create(
            template=row, from_version=source.version, digest=source.digest, requested_by=actor
        )


def newest(*, template: str, digest: str) -> Lookup | None:
    """Return the newest lookup for the inputs of this digest, or None."""
    return Lookup.objects.filter(template__name=template, digest=digest).first()


def answered(lookup: Lookup) -> list[Candidate]:
    """Return the packages of a finished lookup."""
    return [Candidate(**candidate) for candidate in lookup.candidates]


def claim(*, worker: str) -> Lookup | None:
    """Claim the oldest lookup for this worker; None if no lookup is queued."""
    rows = Lookup.objects.select_related(*RELATED)
    return LOOKUPS.claim(worker=worker, choose=lambda: LOOKUPS.oldest(rows))


def run(*, lookup: Lookup, cancel: threading.Event) -> Lookup:
    """Query the registry, record the result and return the lookup.

    Failures are recorded in the row and not raised.
    """
    redact = secrets.redactor(os.environ)
    try:
        found = [_redacted(item, redact) for item in _query(lookup, cancel, redact)]
    except TemplateError as error:
        remedy = str(error.details.get("remedy") or "")
        text = error.message if remedy in error.message else f"{error.message}\n{remedy}"
        _end(lookup, LookupState.FAILED, message=redact(text))
    except Exception:  # the row must end on any error
        logger.exception("lookup %s failed because of an internal error", lookup.pk)
        _end(lookup, LookupState.FAILED, message="Stencil itself failed; its log has the cause.")
    else:
        _end(lookup, LookupState.DONE, found=found)
    lookup.refresh_from_db()
    return lookup


def held(*, lookup_id: uuid.UUID, worker: str, attempt: int) -> Lookup | None:
    """Return a lookup that this attempt of this worker holds; None if it does not hold it."""
    rows = LOOKUPS.held_attempt(lookup_id, attempt).select_related(*RELATED)
    return rows.filter(worker=worker).first()


def died(*, lookup: Lookup, message: str) -> bool:
    """Record that the process of a lookup died; return False if the lookup already ended."""
    return LOOKUPS.end(lookup, state=LookupState.FAILED, message=message)


def reap() -> int:
    """End the lookups with an expired lease; return their number."""
    return LOOKUPS.recover(LOOKUPS.expired(), give_up=_interrupt)


def take_over(*, worker: str) -> int:
    """End the lookups of a worker that is known to be dead; return their number."""
    return LOOKUPS.recover(Q(worker=worker), give_up=_interrupt)


def _interrupt(lookup: Lookup) -> bool:
    failed = LookupState.FAILED
    return LOOKUPS.end(lookup, state=failed, unrenewed=True, message=INTERRUPTED)


def _redacted(found: Candidate, redact: Redactor) -> Candidate:
    """Redact the versions of a candidate: a registry may repeat a credential in its reply."""
    return replace(
        found,
        installed=redact(found.installed),
        wanted=redact(found.wanted),
        latest=redact(found.latest),
    )


def _query(lookup: Lookup, cancel: threading.Event, redact: Redactor) -> list[Candidate]:
    number = lookup.from_version.number if lookup.from_version else None
    source = inputs.read(template=lookup.template.name, version=number)
    finder = registry.update_finder(source.definition.builder)
    if finder is None or source.digest != lookup.digest:
        message = "The inputs changed after the request. Start the lookup again."
        raise InvalidBuildError(message)
    home = data_paths.data() / "lookups"
    home.mkdir(mode=0o700, exist_ok=True)
    with TemporaryDirectory(prefix="", dir=home) as folder:
        job = Job(
            definition=source.definition,
            workspace=Path(folder) / "workspace",
            log=_quiet(lookup, redact),
            cancel=cancel,
            sources=frozenset(settings.STENCIL_PACKAGE_SOURCES),
            fetch_hosts=settings.STENCIL_FETCH_HOSTS,
        )
        store.copy({path: source.files[path] for path in source.definition.files}, job.tree)
        allowed = operator_rules.current()
        screening.check(source.definition, allowed)
        screening.check_files(job.tree, job.definition.builder, source.definition.files, allowed)
        job.downloads.mkdir()
        return list(finder.outdated(job))


def _quiet(lookup: Lookup, redact: Redactor) -> Callable[[str, str], None]:
    return lambda stream, text: logger.debug("lookup %s %s: %s", lookup.pk, stream, redact(text))


def _end(
    lookup: Lookup, state: LookupState, *, message: str = "", found: list[Candidate] | None = None
) -> None:
    """Record the end of this attempt; on success delete older results for the same inputs."""
    with transaction.atomic():
        answer = [asdict(candidate) for candidate in found or ()]
        won = LOOKUPS.end(lookup, state=state, message=message, candidates=answer)
        if won and state == LookupState.DONE:
            older = Lookup.objects.filter(template=lookup.template, digest=lookup.digest)
            older.exclude(pk=lookup.pk).exclude(state__in=OPEN).delete()
