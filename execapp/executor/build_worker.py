"""A build worker: a thread that claims builds one at a time; a helper process runs each."""

import logging
import threading
import time

from django.db import DatabaseError

from core.database import connections
from core.database.retry import retry_on_lock
from core.jobs.worker import Periodic, Worker
from execapp.executor import helpers
from execapp.executor.context import ExecutorContext
from sandbox.helper import HelperExit
from templatemgr.build import builds
from templatemgr.models import Build, BuildState
from templatemgr.queues import BUILDS

logger = logging.getLogger(__name__)
REAP_SECONDS = 15.0
WALL_SECONDS = 4 * 3600.0  # a last limit; each step also has its own
STOP_SECONDS = 20.0  # in which a cancelled or lost helper can record its own end


# Decision 0019: each build runs in a process of its own.
class BuildWorker:
    """Serve builds. Call `serve` in a thread; it returns when the executor drains."""

    def __init__(self, context: ExecutorContext, number: int) -> None:
        self._context = context
        self._slot = f"{context.worker}-build{number}"
        self._abandoned = threading.Event()
        self._cancelled_since: float | None = None
        self.busy = False
        self._worker = Worker[Build](
            name="the build worker",
            claim=lambda: retry_on_lock(lambda: builds.claim(worker=context.worker)),
            run=self._run,
            wakeup=context.maintenance_wakeup,
            stopping=context.draining,
            failures=context.failures,
            periodic=[
                Periodic(name="the reaper of builds", action=builds.reap, seconds=REAP_SECONDS)
            ],
        )

    def serve(self) -> None:
        """Claim and run builds; never raise."""
        self._worker.serve()

    def abandon(self) -> None:
        """End the running build: the executor stops and the grace is over."""
        self._abandoned.set()

    def _run(self, build: Build) -> None:
        self.busy, self._cancelled_since = True, None
        try:
            self._follow(build)
        finally:
            self.busy = False

    def _follow(self, build: Build) -> None:
        words = (str(build.pk), "--worker", build.worker, "--attempt", str(build.attempt))
        try:
            helper = helpers.start("run_build", *words, slot=self._slot)
        except Exception as error:
            logger.exception("build %s: its process could not be started", build.pk)
            text = f"Its process could not be started: {error}. Start the build again."
            retry_on_lock(lambda: builds.died(build=build, message=text))
            return
        helper_exit, reason = helpers.follow(helper, lambda seconds: self._why_stop(build, seconds))
        state, message = _outcome(helper_exit, reason)
        if retry_on_lock(lambda: builds.died(build=build, message=message, state=state)):
            logger.warning("build %s: %s", build.pk, message)

    def _why_stop(self, build: Build, seconds: float) -> str | None:
        """Return why the helper must be killed, or None."""
        if self._abandoned.is_set():
            return "stopped"
        if seconds > WALL_SECONDS:
            return "wall"
        try:
            cancelled = BUILDS.held(build).values_list("cancel_requested", flat=True).first()
        except DatabaseError:  # an unreachable database does not end a build
            connections.release()
            return None
        if cancelled is False:
            return None
        now = time.monotonic()
        self._cancelled_since = self._cancelled_since or now
        if now - self._cancelled_since < STOP_SECONDS:
            return None
        return "lost" if cancelled is None else "cancelled"


def _outcome(helper_exit: HelperExit, reason: str | None) -> tuple[BuildState, str]:
    """Return state and message of a build whose process ended without recording them."""
    again = "It left nothing behind; start the build again."
    if reason == "cancelled":
        return BuildState.CANCELLED, "Cancelled."
    if reason == "stopped":
        return BuildState.INTERRUPTED, f"The executor stopped during the build. {again}"
    if reason == "wall":
        text = f"It took longer than {WALL_SECONDS / 3600:.0f} hours and was stopped. {again}"
        return BuildState.FAILED, text
    return BuildState.INTERRUPTED, f"The process of the build {helper_exit.cause}. {again}"
