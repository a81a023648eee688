"""Promote, roll back, pin; and the link `current` on disk, which is derived from the row."""

import logging
import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, transaction
from django.utils import timezone

from core.engine import WakeKind, wake_on_commit
from templatemgr import audit, data_paths, store
from templatemgr.errors import (
    CurrentChangedError,
    GateError,
    InvalidReasonError,
    NothingToRollBackToError,
    PinnedError,
    UnknownTemplateError,
    UnknownVersionError,
)
from templatemgr.models import (
    Promotion,
    PromotionKind,
    Template,
    Version,
)
from templatemgr.promotion import gates
from templatemgr.trees import foreign, places

logger = logging.getLogger(__name__)
REASON_LENGTH = 500


def promote(
    *,
    template: str,
    version: int,
    actor: str,
    reason: str,
    expected_current: int | None = None,
    override: bool = False,
    override_reason: str = "",
) -> Promotion:
    """Make a version current, in one transaction; then wake executors and set the link on disk.

    With `override`, closed gates that are not essential are ignored, and the audit trail names them
    with `override_reason`. The caller checks that the actor may override. Raises
    UnknownTemplateError, UnknownVersionError, InvalidReasonError, PinnedError, GateError, and
    CurrentChangedError if `expected_current` is not the number of the current version.
    """
    text = checked_reason(reason)
    with transaction.atomic():
        row = locked(template)
        if expected_current is not None:
            _expect(row, expected_current)
        target = _version(row, version)
        passed_by = _check_gates(target, override, override_reason)
        promotion = _move(row, target, actor, text, PromotionKind.PROMOTE, passed_by)
    derive_link(template=template)
    return promotion


def roll_back(
    *,
    template: str,
    actor: str,
    reason: str,
    expected_current: int | None = None,
    override: bool = False,
    override_reason: str = "",
) -> Promotion:
    """Make the previous version current. A second roll back goes one version further back.

    Raises as `promote` does, and NothingToRollBackToError if there is no earlier version.
    """
    text = checked_reason(reason)
    with transaction.atomic():
        row = locked(template)
        if expected_current is not None:
            _expect(row, expected_current)
        target = _previous(row)
        if target is None:
            raise NothingToRollBackToError(template=template)
        passed_by = _check_gates(target, override, override_reason)
        promotion = _move(row, target, actor, text, PromotionKind.ROLLBACK, passed_by)
    derive_link(template=template)
    return promotion


def rollback_target(template: str) -> Version | None:
    """Return the version that `roll_back` would make current, or None."""
    return _previous(_template(template))


def previous(row: Template) -> Version | None:
    """Return the version that `roll_back` would make current for a loaded template, or None."""
    return previous_of([row]).get(row.pk)


def previous_of(rows: Iterable[Template]) -> dict[int, Version]:
    """Return the previous version of each template, by the template's key, with one query.

    The log of promotions is read as a stack: a promotion pushes the version that was current, a
    roll back pops it. Only number and identity of the versions are loaded, because the whole rows
    of a long log are megabytes.
    """
    log = Promotion.objects.filter(template__in=[row.pk for row in rows]).order_by("id")
    log = log.select_related("from_version").only(
        "kind", "template", "to_version", "from_version__number", "from_version__identity"
    )
    stacks: dict[int, list[Version]] = {}
    for entry in log:
        stack = stacks.setdefault(entry.template_id, [])
        if entry.kind == PromotionKind.ROLLBACK:
            stack.pop()
        elif entry.from_version is not None and entry.from_version_id != entry.to_version_id:
            stack.append(entry.from_version)
    return {owner: stack[-1] for owner, stack in stacks.items() if stack}


def pin(*, template: str, actor: str, reason: str) -> Template:
    """Refuse promotions until `unpin`. A template that is pinned already gets the new reason."""
    text = checked_reason(reason)
    with transaction.atomic():
        row = locked(template)
        row.pinned_at, row.pinned_by, row.pin_reason = timezone.now(), actor, text
        row.save(update_fields=["pinned_at", "pinned_by", "pin_reason"])
        wake_on_commit(WakeKind.PROMOTION)
        held = row.current.number if row.current else None
        details = {"reason": text, "version": held}
        audit.append(actor=actor, action="template.pin", object=row.name, details=details)
    return row


def unpin(*, template: str, actor: str, reason: str) -> Template:
    """Allow promotions again. For a template that is not pinned, change and record nothing."""
    text = checked_reason(reason)
    with transaction.atomic():
        row = locked(template)
        if not row.pinned:
            return row
        row.pinned_at, row.pinned_by, row.pin_reason = None, "", ""
        row.save(update_fields=["pinned_at", "pinned_by", "pin_reason"])
        wake_on_commit(WakeKind.PROMOTION)
        audit.append(
            actor=actor, action="template.unpin", object=row.name, details={"reason": text}
        )
    return row


# Decision 0002: the row is authoritative; the link is derived from it.
def reconcile(*, template: str) -> None:
    """Set the link `current` on disk to the version that the row says.

    The file lock orders concurrent calls. Each call reads the row under the lock, so the last call
    writes the last committed version.
    """
    home = Path(settings.STENCIL_DATA) / "templates" / template
    for folder in (home.parent, home):
        places.folder(folder, data_paths.aside(), linked=True, writable=False)
    with store.locked(home / ".current.lock", aside=data_paths.aside()):
        row = _template(template)
        link = home / "current"
        foreign_entry = os.path.lexists(link) and not link.is_symlink()
        if foreign_entry and home.is_symlink():  # a folder that is not this template's
            message = f"{link} is not the link of this template"
            raise FileExistsError(message)
        if foreign_entry and (link.is_dir() or row.current is None):
            store.set_aside(link, data_paths.aside())  # only these prevent the rename
        if row.current is None:
            link.unlink(missing_ok=True)
        elif not link.is_symlink() or str(link.readlink()) != row.current.folder:
            temporary = home / f".current-{secrets.token_hex(4)}"
            temporary.symlink_to(row.current.folder)
            os.replace(temporary, link)  # noqa: PTH105 - named in the design: atomic


def derive_link(*, template: str) -> str:
    """Derive a template's link from its row; return the reason if this fails, else "".

    The link is for people only, so an error with it stops no promotion and no executor.
    """
    try:
        reconcile(template=template)
    except DatabaseError:
        raise
    except Exception as error:  # noqa: BLE001 - no error with the link may stop an act
        reason = foreign.reason(error)
        logger.warning("the link `current` of %s cannot be set: %s", template, reason)
        return reason
    return ""


def reconcile_all() -> dict[str, str]:
    """Reconcile every template: at the start of an executor, on wake-up and in `doctor`.

    Return the reasons of failures, by the name of the template.
    """
    names = Template.objects.values_list("name", flat=True)
    troubles = {name: derive_link(template=name) for name in names}
    return {name: reason for name, reason in troubles.items() if reason}


def _move(
    row: Template,
    target: Version,
    actor: str,
    reason: str,
    kind: PromotionKind,
    passed_by: Mapping[str, object],
) -> Promotion:
    before = row.current
    promotion = Promotion.objects.create(
        template=row,
        from_version=before,
        to_version=target,
        actor=actor,
        reason=reason,
        kind=kind,
    )
    row.current = target
    row.save(update_fields=["current"])
    wake_on_commit(WakeKind.PROMOTION)
    audit.append(
        actor=actor,
        action=f"version.{kind}",
        object=f"{row.name}@{target.number}",
        details={
            "from": before.number if before else None,
            "to": target.number,
            "reason": reason,
            **passed_by,
        },
    )
    return promotion


def _check_gates(target: Version, override: bool, why: str) -> dict[str, object]:
    """Raise for a closed gate; return the audit details of gates that were overridden."""
    found = gates.evaluate(version=target)
    left = gates.overridden(found) if override else found
    closed = [gate for gate in left if gate.closed]
    for gate in closed:
        if gate.name == "unpinned":
            name = target.template.name
            raise PinnedError(f"{name} is {gate.detail}", gate=gate.name, template=name)
    if closed:
        text = "; ".join(f"{gate.name}: {gate.detail}" for gate in closed)
        message = f"{target} cannot become current: {text}"
        raise GateError(
            message,
            gates=[gate.name for gate in closed],
            template=target.template.name,
            version=target.number,
        )
    passed_by = {gate.name: gate.detail for gate in found if gate.closed}
    if not passed_by:
        return {}
    return {"overridden": passed_by, **({"override_reason": why} if why else {})}


def _previous(row: Template) -> Version | None:
    found = previous(row)
    return found and Version.objects.select_related("template").get(pk=found.pk)


def _expect(row: Template, expected: int) -> None:
    actual = row.current.number if row.current else None
    if actual != expected:
        message = f"{row.name} is on version {actual}, not {expected}."
        raise CurrentChangedError(message, template=row.name, expected=expected, current=actual)


def checked_reason(reason: str) -> str:
    """Return the reason without blanks around it. Raises InvalidReasonError."""
    text = reason.strip()
    if not 1 <= len(text) <= REASON_LENGTH:
        raise InvalidReasonError(field="reason", length=len(text))
    return text


def _template(name: str) -> Template:
    try:
        return Template.objects.select_related("current").get(name=name)
    except Template.DoesNotExist:
        message = f"There is no template {name!r}."
        raise UnknownTemplateError(message, template=name) from None


def locked(name: str) -> Template:
    """Return a template, its row locked until the end of the transaction.

    Raises UnknownTemplateError.
    """
    try:
        # `of`: do not lock the version's row; the join to it is an outer join.
        return Template.objects.select_for_update(of=("self",)).get(name=name)
    except Template.DoesNotExist:
        message = f"There is no template {name!r}."
        raise UnknownTemplateError(message, template=name) from None


def _version(row: Template, number: int) -> Version:
    try:
        return Version.objects.select_related("health", "build", "template").get(
            template=row, number=number
        )
    except Version.DoesNotExist:
        message = f"{row.name} has no version {number}."
        raise UnknownVersionError(message, template=row.name, version=number) from None
