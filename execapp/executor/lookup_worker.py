"""The lookup worker: query package registries for newer versions, one lookup at a time.

A helper process reads the lock files and the replies of registries, because they are untrusted.
"""

from functools import partial

from core.database.retry import retry_on_lock
from core.jobs.worker import Periodic, Worker
from execapp.executor import helpers
from execapp.executor.context import ExecutorContext
from templatemgr.build import lookups
from templatemgr.models import Lookup
from templatemgr.queues import LOOKUPS

REAP_SECONDS = 15.0


def make_worker(context: ExecutorContext) -> Worker[Lookup]:
    """Return the worker; when the executor drains, it ends the running lookup and stops."""
    return Worker(
        name="the lookup worker",
        claim=lambda: retry_on_lock(lambda: lookups.claim(worker=context.worker)),
        run=partial(_run, context),
        wakeup=context.maintenance_wakeup,
        stopping=context.draining,
        failures=context.failures,
        periodic=[
            Periodic(name="the reaper of lookups", action=lookups.reap, seconds=REAP_SECONDS)
        ],
    )


def _run(context: ExecutorContext, lookup: Lookup) -> None:
    words = (str(lookup.pk), "--worker", lookup.worker, "--attempt", str(lookup.attempt))
    helper = helpers.start("run_lookup", *words, slot=f"{context.worker}-lookup")
    helper_exit, reason = helpers.follow(helper, lambda seconds: _why_stop(context, seconds))
    what = "was stopped" if reason else helper_exit.cause
    message = f"The process of the lookup {what}. Start the lookup again."
    retry_on_lock(lambda: lookups.died(lookup=lookup, message=message))


def _why_stop(context: ExecutorContext, seconds: float) -> str | None:
    if context.draining.is_set():
        return "stopped"
    return "wall" if seconds > LOOKUPS.lease.total_seconds() else None
