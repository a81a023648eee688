"""The executor's sign of life, as the executor writes it."""

from collections.abc import Mapping
from typing import Any

from django.utils import timezone

from execapp.models import ExecutorHeartbeat


def arrive(*, worker: str, host: str, pid: int, slots: int, fingerprint: dict[str, Any]) -> None:
    """An executor has started; it replaces the row of the one before it."""
    now = timezone.now()
    values = {
        "host": host,
        "pid": pid,
        "slots": slots,
        "busy": 0,
        "warm": 0,
        "pool": {},
        "builds_running": 0,
        "draining": False,
        "trouble": "",
        "fingerprint": fingerprint,
        "started_at": now,
        "seen_at": now,
    }
    ExecutorHeartbeat.objects.update_or_create(worker=worker, defaults=values)


def beat(
    *,
    worker: str,
    busy: int,
    pool: Mapping[str, Any],
    builds_running: int,
    draining: bool,
    trouble: str = "",
) -> None:
    """It lives, and this is what it does; `pool` as `Pool.figures` gives it.

    `trouble`: why it can start no sandbox now, for an operator to read; "" when it can.
    """
    ExecutorHeartbeat.objects.filter(worker=worker).update(
        busy=busy,
        warm=sum(group["warm"] for group in pool["groups"]),
        pool=dict(pool),
        builds_running=builds_running,
        draining=draining,
        trouble=trouble[:500],
        seen_at=timezone.now(),
    )


def leave(*, worker: str) -> None:
    """It has stopped in good order; nobody need wait for it to fall silent."""
    ExecutorHeartbeat.objects.filter(worker=worker).delete()
