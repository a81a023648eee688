"""Templates, promotions and the policy of gates in the shapes of the HTTP contract."""

from collections.abc import Collection, Sequence
from typing import Any

from execapp.api.presenters.fields import rfc3339, version_reference
from execapp.limits import limits_to_json
from templatemgr import version_runtimes
from templatemgr.errors import TemplateError
from templatemgr.models import Promotion, Version
from templatemgr.promotion import gates


def present_template(row: Any) -> dict[str, Any]:
    """Return a template as a list shows it; `row` comes from `templatemgr.lists`."""
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


def present_whole_template(row: Any) -> dict[str, Any]:
    """Return a template with the limits of its current version; `row` as `present_template`."""
    shown = {**present_template(row), "limits": None}
    if row.current is not None:
        try:
            runtime = version_runtimes.runtime_of(row.current)
        except TemplateError:  # its files are damaged; the health of the version says so
            return shown
        default, maximum = limits_to_json(runtime.default), limits_to_json(runtime.maximum)
        shown["limits"] = {"default": default, "maximum": maximum}
    return shown


def present_promotion(promotion: Promotion) -> dict[str, Any]:
    """Return one promotion or roll back."""
    before = promotion.from_version
    return {
        "kind": promotion.kind,
        "from": before.number if before else None,
        "to": promotion.to_version.number,
        "actor": promotion.actor,
        "reason": promotion.reason,
        "created_at": rfc3339(promotion.created_at),
    }


def present_policy(required: Collection[str]) -> dict[str, Any]:
    """Return the gates that promotions of a template must pass, and all that there are."""
    return {
        "required": sorted(required),
        "essential": sorted(gates.ESSENTIAL),
        "known": list(gates.names()),
    }


def _modes(current: Version | None) -> Sequence[str]:
    """Return the modes of the current version; none when there is no readable one."""
    if current is None:
        return []
    try:
        return list(version_runtimes.runtime_of(current).modes)
    except TemplateError:
        return []
