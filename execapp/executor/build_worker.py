"""A build worker: a thread that claims builds one at a time; a helper process runs each."""

import logging
import threading
import time

from django.db import DatabaseError

from core.database import connections
from core.database.retry import retry_on_lock
from execapp.executor import execution_worker, helpers
from sandbox.helper import HelperExit
from templatemgr.build import builds
from templatemgr.models import ACTIVE_STATES, Build, BuildState

logger = logging.getLogger(__name__)
REAP_SECONDS = 15.0
WALL_SECONDS = 4 * 3600.0  # each step has limits of its own; this ends what none of them ends
STOP_SECONDS = 20.0  # what a helper gets to record its own end, when it was cancelled or lost


class BuildWorker:
    """`serve` in a thread, until the executor drains; `abandon` ends the build that runs."""

    def __init__(self, context: execution_worker.ExecutorContext, number: int) -> None:
        self._context = context
        self._slot = f"{context.worker}-build{number}"
        self._abandoned = threading.Event()
        self._ending_since: float | None = None
        self.busy = False

    def serve(self) -> None:
        """Claim and run; never raises."""
        context, reap_at = self._context, 0.0
        try:
            while not context.draining.is_set():
                seen = context.maintenance_wakeup.count
                try:
                    if time.monotonic() >= reap_at:
                        builds.reap()
                        reap_at = time.monotonic() + REAP_SECONDS
                    worked = self._one()
                    context.failures.worked("the build worker")
                except Exception as error:  # noqa: BLE001 - logged, and tried again
                    context.failures.failed("the build worker", error)
                    connections.release()
                    worked = False
                if not worked:
                    context.maintenance_wakeup.wait(seen, execution_worker.LOOK_SECONDS)
        finally:
            connections.release()

    def abandon(self) -> None:
        """End what runs: the executor stops, and has waited for as long as it may."""
        self._abandoned.set()

    def _one(self) -> bool:
        build = retry_on_lock(lambda: builds.claim(worker=self._context.worker))
        if build is None:
            return False
        self.busy, self._ending_since = True, None
        try:
            self._run(build)
        finally:
            self.busy = False
        return True

    def _run(self, build: Build) -> None:
        words = (str(build.pk), "--worker", build.worker, "--attempt", str(build.attempt))
        try:
            helper = helpers.start("run_build", *words, slot=self._slot)
        except Exception as error:
            logger.exception("build %s: its process could not be started", build.pk)
            text = f"Its process could not be started: {error}. Ask for the build again."
            retry_on_lock(lambda: builds.died(build=build, message=text))
            return
        ending, reason = helpers.follow(helper, lambda seconds: self._why_stop(build, seconds))
        state, message = _told(ending, reason)
        if retry_on_lock(lambda: builds.died(build=build, message=message, state=state)):
            logger.warning("build %s: %s", build.pk, message)

    def _why_stop(self, build: Build, seconds: float) -> str | None:
        """Why the helper is to be killed: it does not end by itself when it should."""
        if self._abandoned.is_set():
            return "stopped"
        if seconds > WALL_SECONDS:
            return "wall"
        row = Build.objects.filter(pk=build.pk, attempt=build.attempt, state__in=ACTIVE_STATES)
        try:
            cancelled = row.values_list("cancel_requested", flat=True).first()
        except DatabaseError:  # it is no reason to end a build
            connections.release()
            return None
        if cancelled is False:
            return None
        now = time.monotonic()
        self._ending_since = self._ending_since or now
        if now - self._ending_since < STOP_SECONDS:
            return None
        return "lost" if cancelled is None else "cancelled"


def _told(ending: HelperExit, reason: str | None) -> tuple[BuildState, str]:
    """The state and the message for a build whose process has not recorded its end."""
    again = "Nothing is left of it; ask for the build again."
    if reason == "cancelled":
        return BuildState.CANCELLED, "Cancelled."
    if reason == "stopped":
        return BuildState.INTERRUPTED, f"The executor stopped while it was built. {again}"
    if reason == "wall":
        text = f"It took longer than {WALL_SECONDS / 3600:.0f} hours and was stopped. {again}"
        return BuildState.FAILED, text
    return BuildState.INTERRUPTED, f"The process that built it {ending.cause}. {again}"
