"""Heartbeats of the executor."""

from collections.abc import Mapping
from typing import Any

from django.utils import timezone

from execapp.models import ExecutorHeartbeat


def arrive(*, worker: str, host: str, pid: int, slots: int, fingerprint: dict[str, Any]) -> None:
    """Record that an executor started; its row replaces the row of its predecessor."""
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
    """Record a heartbeat; `pool` comes from the warm pool's `metrics`.

    `trouble` tells an operator why the executor cannot start a sandbox; "" if it can.
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
    """Record a clean stop of an executor, without waiting until its heartbeat expires."""
    ExecutorHeartbeat.objects.filter(worker=worker).delete()
