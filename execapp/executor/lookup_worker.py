"""The executor's lane of questions to registries: one at a time, beside slots and builds."""

import time

from core.database import connections
from execapp.executor import execution_worker, helpers
from templatemgr.build import lookups

REAP_SECONDS = 15.0


def serve(house: execution_worker.House) -> None:
    """Claim and answer until the executor drains, which stops a question that is being asked."""
    reap_at = 0.0
    try:
        while not house.draining.is_set():
            seen = house.errands.count
            try:
                if time.monotonic() >= reap_at:
                    lookups.reap()
                    reap_at = time.monotonic() + REAP_SECONDS
                worked = _answer_one(house)
                house.failures.worked("the lane of look-ups")
            except Exception as error:  # noqa: BLE001 - logged, and tried again
                house.failures.failed("the lane of look-ups", error)
                connections.release()
                worked = False
            if not worked:
                house.errands.wait(seen, execution_worker.LOOK_SECONDS)
    finally:
        connections.release()


def _answer_one(house: execution_worker.House) -> bool:
    lookup = connections.patiently(lambda: lookups.claim(worker=house.worker))
    if lookup is None:
        return False
    # What the lock and the registry say is a stranger's: it is read in a process of its own.
    helper = helpers.start(
        "run_lookup", str(lookup.pk), "--worker", house.worker, slot=f"{house.worker}-lookup"
    )
    ending, reason = helpers.follow(helper, lambda seconds: _why_stop(house, seconds))
    what = "was stopped" if reason else ending.cause
    message = f"The process that asked {what}. Ask again."
    connections.patiently(lambda: lookups.died(lookup=lookup, message=message))
    return True


def _why_stop(house: execution_worker.House, seconds: float) -> str | None:
    if house.draining.is_set():
        return "stopped"
    return "wall" if seconds > lookups.LEASE.total_seconds() else None
