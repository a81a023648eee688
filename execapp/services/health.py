"""The state of the service: live executors, the queue, readiness."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Count, Subquery
from django.utils import timezone

from core.database.prepared import Param, Prepared
from execapp.models import ALIVE_WITHIN, OPEN_STATES, Execution, ExecutionState, ExecutorHeartbeat
from execapp.services import probes
from execapp.services.probes import Readiness
from templatemgr import version_runtimes
from templatemgr.errors import UnavailableError
from templatemgr.models import HealthState, Template


def _counted() -> Any:
    """Return the query for the number of queued executions, in one row or none."""
    rows = Execution.objects.filter(state=ExecutionState.QUEUED).order_by()
    return rows.values("state").annotate(n=Count("id"))


_QUEUED: Prepared[Execution, int] = Prepared(lambda: _counted().values_list("n", flat=True))
_QUEUED_IF_ALIVE: Prepared[ExecutorHeartbeat, int | None] = Prepared(
    lambda: (
        ExecutorHeartbeat.objects.filter(
            seen_at__gt=Param(ExecutorHeartbeat, "seen_at"), draining=False
        )
        .order_by()
        .values_list(Subquery(_counted().values("n")), flat=True)[:1]
    )
)


@dataclass(frozen=True, kw_only=True)
class WarmGroup:
    """Warm sandboxes of one version in one mode. A spare is kept for a promotion or a roll back.

    With a `tier`, a fork server makes them: `serving`, after so many `forks`, or not, for a reason.
    """

    template: str
    version: int
    mode: str
    spare: bool
    warm: int
    desired: int
    memory_bytes: int
    per_minute: float
    tier: str | None = None
    serving: bool = False
    forks: int = 0
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class HealthSnapshot:
    """The last report of the executors, and counts of the tables."""

    executor_alive: bool
    slots: int
    busy: int
    queued: int
    builds_running: int
    warm: int
    draining: bool
    last_seen: datetime | None
    trouble: str = ""  # why no executor can start a sandbox
    fingerprint: dict[str, Any] = field(default_factory=dict)
    warm_budget_bytes: int = 0
    groups: tuple[WarmGroup, ...] = ()

    @property
    def warm_bytes(self) -> int:
        """Return the memory of all warm sandboxes together."""
        return sum(group.memory_bytes for group in self.groups)


def snapshot() -> HealthSnapshot:
    """Return the current state; two queries."""
    rows = list(ExecutorHeartbeat.objects.order_by("-seen_at"))
    alive = [row for row in rows if row.seen_at > timezone.now() - ALIVE_WITHIN]
    states = open_counts()
    return HealthSnapshot(
        executor_alive=bool(alive),
        slots=sum(row.slots for row in alive),
        busy=states.get(ExecutionState.RUNNING, 0),
        queued=states.get(ExecutionState.QUEUED, 0),
        builds_running=sum(row.builds_running for row in alive),
        warm=sum(row.warm for row in alive),
        draining=bool(alive) and all(row.draining for row in alive),
        trouble=alive[0].trouble if alive and all(row.trouble for row in alive) else "",
        last_seen=rows[0].seen_at if rows else None,
        fingerprint=rows[0].fingerprint if rows else {},
        warm_budget_bytes=sum(row.pool.get("budget_bytes", 0) for row in alive),
        groups=warm_groups(alive),
    )


def open_counts() -> dict[str, int]:
    """Return the numbers of queued and of running executions by state; one query."""
    counted = Execution.objects.filter(state__in=OPEN_STATES).order_by()
    return dict(counted.values_list("state").annotate(n=Count("id")))


def warm_groups(rows: Iterable[ExecutorHeartbeat]) -> tuple[WarmGroup, ...]:
    """Return the warm sandboxes that these heartbeats report."""
    return tuple(WarmGroup(**group) for row in rows for group in row.pool.get("groups", ()))


def queued() -> int:
    """Return the number of executions that wait for a slot; one query."""
    return _QUEUED.first() or 0


def queued_if_alive() -> int | None:
    """Return the same if an executor that takes executions has a recent heartbeat, else None.

    One query, because each submission asks for both.
    """
    found = _QUEUED_IF_ALIVE.all(seen_at=timezone.now() - ALIVE_WITHIN)
    return (found[0] or 0) if found else None


def readiness() -> tuple[Readiness, ...]:
    """Probe the installation, and check the current version of each promoted template.

    Raise nothing: a probe that cannot run counts as not ready.
    """
    found = probes.installation()
    if not found[0].ok:
        return found
    promoted = Template.objects.filter(current__isnull=False).select_related(
        "current__health", "current__template"
    )
    return (*found, *map(_of_template, promoted))


def _of_template(template: Template) -> Readiness:
    version = template.current
    health = getattr(version, "health", None)
    state = health.state if health else "unknown"
    number = version.number if version else 0
    ok = state == HealthState.VERIFIED
    detail = f"version {number} is {state}"
    if ok and health and health.doubts:  # the version is served despite its findings
        detail += f", but not provable: {', '.join(health.parts)}"
        if version and "inputs" in health.parts:  # it runs with a copy, which may be gone, too
            try:
                version_runtimes.runtime_of(version)
            except UnavailableError as error:
                ok, detail = False, error.message
    return Readiness(name=template.name, ok=ok, detail=detail)
