"""`manage.py executor`: the process that owns the slots, the warm sandboxes and the builds."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from execapp.executor.daemon import Daemon
from execapp.executor.lock import LockedError
from execapp.management.starting import require_schema
from execapp.management.stopping import StopSignals
from sandbox import probe


class Command(BaseCommand):
    """Run until SIGTERM or SIGINT, then drain."""

    help = "Run executions and builds; one executor a data directory. SIGTERM drains it."

    # A slot that wakes up waits this long for the interpreter while another thread computes.
    switch_seconds = 0.0005

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--slots", type=int, help="executions that compute at a time (STENCIL_SLOTS)"
        )
        parser.add_argument("--warm", type=int, help="warm sandboxes a version and mode")
        parser.add_argument("--grace", type=float, help="seconds that running ones get to finish")

    def handle(self, *_args: Any, **options: Any) -> None:
        require_schema()
        require_isolation()
        sys.setswitchinterval(self.switch_seconds)
        signals = StopSignals()
        daemon = Daemon(slots=options["slots"], warm=options["warm"], grace=options["grace"])
        try:
            daemon.start()
        except LockedError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"executor: ready, {daemon.slots} slots")
        self.stdout.flush()
        try:
            signals.wait()
        finally:
            daemon.stop()
        self.stdout.write("executor: stopped")


def require_isolation() -> None:
    """Raise CommandError with the remedy unless this machine can isolate code."""
    if settings.STENCIL_SANDBOX == "none":
        message = (
            "STENCIL_SANDBOX=none means to run foreign code without isolation. "
            "This release never does that: unset it; `manage.py doctor` names the missing parts."
        )
        raise CommandError(message)
    if probe.isolation_available():
        return
    missing = [finding for finding in probe.findings() if finding.level == "missing"]
    lines = [f"{found.title}: {found.detail}\n  {found.remedy or ''}" for found in missing]
    raise CommandError("\n".join(["This machine cannot isolate foreign code.", *lines]))
