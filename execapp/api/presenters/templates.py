"""Templates, versions and promotions as the API shows them."""

from collections.abc import Sequence
from typing import Any

from django.db.models import Count, OuterRef, QuerySet, Subquery

from core import parsing
from core.pagination import NUMBER, TEXT, Order, paginate
from execapp.api.presenters.fields import rfc3339, version_reference
from execapp.limits import limits_to_json
from templatemgr import catalog, version_runtimes
from templatemgr.errors import TemplateError, UnknownTemplateError, UnknownVersionError
from templatemgr.maintenance import retrying, verification
from templatemgr.models import (
    HealthState,
    Promotion,
    Severity,
    Template,
    Verification,
    Version,
)
from templatemgr.promotion import gates

TEMPLATES = Order(("name",), cursor=TEXT)
VERSIONS = Order(("-number",), cursor=NUMBER)
PROMOTIONS = Order(("-id",), cursor=NUMBER)


def templates(*, cursor: str | None, limit: int) -> tuple[list[dict[str, Any]], str | None]:
    """A page of templates by name; the cursor is the last name."""
    page = paginate(_templates(), TEMPLATES, cursor=cursor, limit=limit)
    return [_template(row) for row in page.items], page.next


def template(*, name: str) -> dict[str, Any]:
    """One template, with the limits of its current version."""
    row = _find(name)
    shown = {**_template(row), "limits": None}
    if row.current is not None:
        try:
            runtime = version_runtimes.runtime_of(row.current)
        except TemplateError:  # its files are damaged; the health of the version says so
            return shown
        default, maximum = limits_to_json(runtime.default), limits_to_json(runtime.maximum)
        shown["limits"] = {"default": default, "maximum": maximum}
    return shown


def versions(
    *, name: str, cursor: str | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """A page of a template's versions, newest first; the cursor is the last number."""
    row = _find(name)
    rows = Version.objects.filter(template=row).select_related("health", "template")
    page = paginate(rows.defer("packages"), VERSIONS, cursor=cursor, limit=limit)
    return [_version(version, row) for version in page.items], page.next


def version(*, name: str, number: str) -> dict[str, Any]:
    """One version with its packages and smoke results."""
    found = find_version(name=name, number=number)
    latest = verification.latest(version=found)
    tries = retrying.tries(version=found)
    return {
        **_version(found, found.template),
        "packages": found.packages,
        "smoke": found.smoke,
        "verification": show_verification(latest) if latest else None,
        "healing": [show_verification(one) for one in tries],
    }


def find_version(*, name: str, number: str) -> Version:
    """A version by what stands in an address. Raises UnknownTemplateError, UnknownVersionError."""
    row = _find(name)
    wanted = parsing.whole_or_none(number)
    rows = Version.objects.select_related("health", "template", "build")
    found = rows.filter(template=row, number=wanted).first() if wanted is not None else None
    if found is None:
        message = f"{row.name} has no version {number[:40]}."
        raise UnknownVersionError(message, template=row.name, version=number[:40])
    return found


def gates_of(*, version: Version) -> dict[str, Any]:
    """Every gate of a version's promotion, and whether all that matter are open."""
    found = gates.evaluate(version=version)
    shown = [
        {
            "name": gate.name,
            "ok": gate.ok,
            "required": gate.required,
            "essential": gate.name in gates.ESSENTIAL,
            "detail": gate.detail,
        }
        for gate in found
    ]
    promotable = not any(gate.closed for gate in found)
    return {"version": version.number, "promotable": promotable, "gates": shown}


def policy(*, name: str) -> dict[str, Any]:
    """Which gates promotions of a template must pass. Raises UnknownTemplateError."""
    required = gates.required(template=catalog.get(name=name))
    return {
        "required": sorted(required),
        "essential": sorted(gates.ESSENTIAL),
        "known": list(gates.names()),
    }


def promotions(
    *, name: str, cursor: str | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """A page of what was current when, newest first; the cursor is the last id."""
    row = _find(name)
    rows = Promotion.objects.filter(template=row).select_related("from_version", "to_version")
    page = paginate(rows, PROMOTIONS, cursor=cursor, limit=limit)
    return [show_promotion(promotion) for promotion in page.items], page.next


def _templates() -> QuerySet[Any]:
    latest = Promotion.objects.filter(template=OuterRef("pk")).order_by("-id")
    return Template.objects.select_related("current").annotate(
        version_count=Count("versions"),
        promoted_at=Subquery(latest.values("created_at")[:1]),
        promoted_by=Subquery(latest.values("actor")[:1]),
    )


def _find(name: str) -> Any:
    row = _templates().filter(name=name).first()
    if row is None:
        message = f"There is no template {name[:80]!r}."
        raise UnknownTemplateError(message, template=name[:80])
    return row


def _template(row: Any) -> dict[str, Any]:
    current = pinned = None
    if row.current is not None:
        shown = version_reference(row.current, row.name)
        current = {
            "version": shown["version"],
            "digest": shown["digest"],
            "promoted_at": rfc3339(row.promoted_at),
            "promoted_by": row.promoted_by,
        }
    if row.pinned:
        at = rfc3339(row.pinned_at)
        pinned = {"at": at, "by": row.pinned_by, "reason": row.pin_reason}
    return {
        "name": row.name,
        "title": row.title,
        "modes": _modes(row.current),
        "current": current,
        "pinned": pinned,
        "versions": row.version_count,
    }


def _modes(current: Version | None) -> Sequence[str]:
    """What the current version can do; nothing when there is none that can be read."""
    if current is None:
        return []
    try:
        return list(version_runtimes.runtime_of(current).modes)
    except TemplateError:
        return []


def _version(found: Version, row: Any) -> dict[str, Any]:
    health = found.health
    return {
        "version": found.number,
        "state": _state(found, row),
        "health": {
            "state": health.state,
            "checked_at": rfc3339(health.checked_at),
            "checked_by": health.checked_by,
            "problems": health.problems,
            "message": health.message or None,
            "severity": str(health.severity),
            "findings": _findings(found),
            "retry": _retry(found),
        },
        "digest": f"sha256:{found.identity}",
        "tree_digest": f"sha256:{found.tree_digest}",
        "definition_digest": f"sha256:{found.definition_digest}",
        "platform": found.platform,
        "toolchain": found.toolchain,
        "size_bytes": found.size_bytes,
        "own_bytes": found.own_bytes,
        "files": found.file_count,
        "created_at": rfc3339(found.created_at),
        "created_by": found.created_by,
        "build": str(found.build_id),
    }


def _findings(found: Version) -> list[dict[str, Any]]:
    """Everything that is wrong with a version, each with how bad that is."""
    unsafe = [{"part": "tree", **problem} for problem in found.health.problems]
    rest = [(doubt, Severity.NOT_PROVABLE) for doubt in found.health.doubts]
    return [
        {
            "part": finding["part"],
            "path": finding["path"],
            "problem": finding["problem"],
            "detail": finding.get("detail"),
            "severity": str(severity),
        }
        for finding, severity in [*((one, Severity.UNSAFE) for one in unsafe), *rest]
    ]


def _retry(found: Version) -> dict[str, Any] | None:
    """When healing is tried next, and how often it was in vain; None when nothing is to heal."""
    health = found.health
    if health.severity == Severity.NONE or health.retry_at is None:
        return None
    return {"at": rfc3339(health.retry_at), "tries": health.tries}


def _state(found: Version, row: Any) -> str:
    if row.current_id == found.pk:
        return "current"
    return "removed" if found.health.state == HealthState.RETIRED else "ready"


def show_verification(found: Verification) -> dict[str, Any]:
    """A verification: how far it is, and what it found. `build` is the one that is to heal it."""
    return {
        "id": str(found.pk),
        "state": found.state,
        "heal": found.heal,
        "requested_by": found.requested_by,
        "files_done": found.files_done,
        "files_total": found.files_total,
        "bytes_done": found.bytes_done,
        "bytes_total": found.bytes_total,
        "problems": found.problems,
        "message": found.message or None,
        "build": str(found.build_id) if found.build_id else None,
        "created_at": rfc3339(found.created_at),
        "started_at": rfc3339(found.started_at),
        "finished_at": rfc3339(found.finished_at),
    }


def show_promotion(promotion: Promotion) -> dict[str, Any]:
    """One change of what is current."""
    before = promotion.from_version
    return {
        "kind": promotion.kind,
        "from": before.number if before else None,
        "to": promotion.to_version.number,
        "actor": promotion.actor,
        "reason": promotion.reason,
        "created_at": rfc3339(promotion.created_at),
    }
