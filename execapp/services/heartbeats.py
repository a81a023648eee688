"""The executor's sign of life, as the executor writes it."""

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
        "builds_running": 0,
        "draining": False,
        "fingerprint": fingerprint,
        "started_at": now,
        "seen_at": now,
    }
    ExecutorHeartbeat.objects.update_or_create(worker=worker, defaults=values)


def beat(*, worker: str, busy: int, warm: int, builds_running: int, draining: bool) -> None:
    """It lives, and this is what it does."""
    ExecutorHeartbeat.objects.filter(worker=worker).update(
        busy=busy,
        warm=warm,
        builds_running=builds_running,
        draining=draining,
        seen_at=timezone.now(),
    )


def leave(*, worker: str) -> None:
    """It has stopped in good order; nobody need wait for it to fall silent."""
    ExecutorHeartbeat.objects.filter(worker=worker).delete()
