"""The lookup worker: asks package registries for newer versions, one look-up at a time."""

import time

from core.database import connections
from core.database.retry import retry_on_lock
from execapp.executor import execution_worker, helpers
from templatemgr.build import lookups

REAP_SECONDS = 15.0


def serve(context: execution_worker.ExecutorContext) -> None:
    """Claim and answer until the executor drains, which stops a question that is being asked."""
    reap_at = 0.0
    try:
        while not context.draining.is_set():
            seen = context.maintenance_wakeup.count
            try:
                if time.monotonic() >= reap_at:
                    lookups.reap()
                    reap_at = time.monotonic() + REAP_SECONDS
                worked = _answer_one(context)
                context.failures.worked("the lookup worker")
            except Exception as error:  # noqa: BLE001 - logged, and tried again
                context.failures.failed("the lookup worker", error)
                connections.release()
                worked = False
            if not worked:
                context.maintenance_wakeup.wait(seen, execution_worker.LOOK_SECONDS)
    finally:
        connections.release()


def _answer_one(context: execution_worker.ExecutorContext) -> bool:
    lookup = retry_on_lock(lambda: lookups.claim(worker=context.worker))
    if lookup is None:
        return False
    # What the lock and the registry say is a stranger's: it is read in a process of its own.
    helper = helpers.start(
        "run_lookup", str(lookup.pk), "--worker", context.worker, slot=f"{context.worker}-lookup"
    )
    ending, reason = helpers.follow(helper, lambda seconds: _why_stop(context, seconds))
    what = "was stopped" if reason else ending.cause
    message = f"The process that asked {what}. Ask again."
    retry_on_lock(lambda: lookups.died(lookup=lookup, message=message))
    return True


def _why_stop(context: execution_worker.ExecutorContext, seconds: float) -> str | None:
    if context.draining.is_set():
        return "stopped"
    return "wall" if seconds > lookups.LEASE.total_seconds() else None
