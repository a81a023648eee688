"""`manage.py audit verify` and `manage.py audit list`."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from templatemgr import audit
from templatemgr.models import AuditEvent


class Command(BaseCommand):
    help = "Walk the audit trail's chain, or list its latest events."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("act", choices=("verify", "list"))
        parser.add_argument("--limit", type=int, default=50)

    def handle(self, *_args: Any, **options: Any) -> None:
        """Verify or list."""
        if options["act"] == "list":
            self._list(options["limit"])
            return
        result = audit.verify_chain()
        if not result.ok:
            message = f"The chain breaks at event {result.first_broken}: {result.reason}."
            raise CommandError(message)
        self.stdout.write(self.style.SUCCESS(f"{result.count} events, unbroken."))

    def _list(self, limit: int) -> None:
        for event in reversed(AuditEvent.objects.order_by("-sequence")[:limit]):
            time = event.time.isoformat(timespec="seconds")
            self.stdout.write(
                f"{event.sequence:>6} {time} {event.actor} {event.action} {event.object}"
            )
