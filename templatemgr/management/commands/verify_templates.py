"""`manage.py verify_templates [name]`: rehash versions; exit status 1 when one is not whole."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from templatemgr.errors import TemplateError
from templatemgr.integrity import checking
from templatemgr.models import HealthState, VersionHealth

SHOWN = 10


class Command(BaseCommand):
    help = "Rehash versions against their manifests, and quarantine those that do not match."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("template", nargs="?")
        parser.add_argument("--actor", default="cli", help="the actor in the audit trail")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Verify and report."""
        try:
            found = checking.verify_all(actor=options["actor"], template=options["template"])
        except TemplateError as error:
            raise CommandError(error.message) from error
        bad = [health for health in found if health.state == HealthState.QUARANTINED]
        for health in found:
            self._report(health)
        if bad:
            message = f"{len(bad)} of {len(found)} versions are quarantined."
            raise CommandError(message)
        self.stdout.write(self.style.SUCCESS(f"{len(found)} versions are whole."))

    def _report(self, health: VersionHealth) -> None:
        self.stdout.write(f"{health.version}: {health.state}")
        for problem in health.problems[:SHOWN]:
            self.stdout.write(f"  {problem['problem']:<8} {problem['path']}")
        if len(health.problems) > SHOWN:
            self.stdout.write(f"  and {len(health.problems) - SHOWN} more")
