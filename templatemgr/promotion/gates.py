"""The gates of a promotion: a registry of checks, and the checks that a template requires.

Apps above this one may register more checks at their start. Every promotion needs a finished build,
whole files and no pin, even with an override. The policy of the template says which other gates
must be open; by default, all of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from django.db import transaction

from templatemgr import audit
from templatemgr.builders.pip.pip_contents import LOCAL
from templatemgr.errors import InvalidPolicyError, UnknownTemplateError
from templatemgr.models import BuildState, HealthState, Template, Version

SHOWN = 5  # packages and hosts that a gate names
ESSENTIAL = frozenset({"ready", "healthy", "unpinned"})


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One condition of a promotion, with its reason. A closed gate blocks if it is `required`."""

    name: str
    ok: bool
    detail: str
    required: bool = True

    @property
    def closed(self) -> bool:
        """Return whether the gate blocks the promotion."""
        return self.required and not self.ok


Check = Callable[[Version], tuple[bool, str]]  # open?, and why

_checks: dict[str, Check] = {}


def register(name: str, check: Check) -> None:
    """Register a check. Every promotion evaluates it, after the checks that exist already."""
    _checks[name] = check


def unregister(name: str) -> None:
    """Remove a check."""
    _checks.pop(name, None)


def names() -> tuple[str, ...]:
    """Return the names of all gates, in the order of their evaluation."""
    return tuple(_checks)


def evaluate(*, version: Version) -> tuple[Gate, ...]:
    """Return every gate of a promotion of this version, open or closed, each with its reason."""
    policy = required(template=version.template)
    found = ((name, check(version)) for name, check in _checks.items())
    return tuple(
        Gate(name=name, ok=ok, detail=detail, required=name in policy)
        for name, (ok, detail) in found
    )


def overridden(found: Sequence[Gate]) -> tuple[Gate, ...]:
    """Return the gates as an override leaves them: only the essential ones are required."""
    return tuple(replace(gate, required=gate.name in ESSENTIAL) for gate in found)


def required(*, template: Template) -> frozenset[str]:
    """Return the names of the gates that this template's promotions must pass."""
    chosen = template.policy.get("required")
    return frozenset(_checks if chosen is None else chosen) | ESSENTIAL


def set_policy(
    *, template: str, required: Sequence[str] | None, actor: str, reason: str
) -> Template:
    """Set the gates that promotions of a template must pass besides the essential; None: all.

    Raises UnknownTemplateError, and InvalidPolicyError for a gate that does not exist.
    """
    unknown = sorted(set(required or ()) - _checks.keys())
    if unknown:
        message = f"No such gate: {', '.join(unknown)}. There are {', '.join(_checks)}."
        raise InvalidPolicyError(message, field="required")
    policy = {} if required is None else {"required": sorted({*required, *ESSENTIAL})}
    with transaction.atomic():
        row = Template.objects.select_for_update().filter(name=template).first()
        if row is None:
            message = f"There is no template {template!r}."
            raise UnknownTemplateError(message, template=template)
        details = {"from": row.policy, "to": policy, "reason": reason}
        row.policy = policy
        row.save(update_fields=["policy"])
        audit.append(actor=actor, action="template.policy", object=template, details=details)
    return row


def _ready(version: Version) -> tuple[bool, str]:
    built = f"built {version.created_at:%Y-%m-%d %H:%M} by {version.created_by}"
    return version.build.state == BuildState.READY, built


def _smoke(version: Version) -> tuple[bool, str]:
    failed = [str(case["case"]) for case in version.smoke if not case["ok"]]
    detail = f"failed: {', '.join(failed)}" if failed else f"{len(version.smoke)} passed"
    return bool(version.smoke) and not failed, detail


def _healthy(version: Version) -> tuple[bool, str]:
    health = version.health
    detail = f"{health.state}, checked {health.checked_at:%Y-%m-%d %H:%M}"
    return health.state == HealthState.VERIFIED, detail


def _origins(version: Version) -> tuple[bool, str]:
    """Close if a package came from, or over, a host that was no configured registry then."""
    origins = version.build.origins
    if not origins:
        return True, "not on record: built before hosts were kept"
    usual = {*origins.get("configured", ()), LOCAL}
    packages: dict[str, str] = origins.get("packages", {})
    odd = sorted(name for name, host in packages.items() if not set(host.split(", ")) <= usual)
    hosts = sorted(set(origins.get("reached", ())) - usual)
    if not odd and not hosts:
        return True, f"{len(packages)} packages from the configured registries"
    shown = ", ".join(f"{name} from {packages[name]}" for name in odd[:SHOWN])
    more = f" and {len(odd) - SHOWN} more" if len(odd) > SHOWN else ""
    led = f"reached besides: {', '.join(hosts[:SHOWN])}" if hosts else ""
    return False, "; ".join(filter(None, (f"{shown}{more}", led)))


def _unpinned(version: Version) -> tuple[bool, str]:
    template = version.template
    if not template.pinned:
        return True, "not pinned"
    return False, f"pinned by {template.pinned_by}: {template.pin_reason}"


register("ready", _ready)
register("smoke", _smoke)
register("healthy", _healthy)
register("unpinned", _unpinned)
register("origins", _origins)
