"""`manage.py rollback_template typescript --reason "timers hang"`."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from templatemgr.errors import TemplateError
from templatemgr.promotion import promotions


class Command(BaseCommand):
    help = "Make the previous version of a template current."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("template")
        parser.add_argument("--reason", required=True)
        parser.add_argument("--actor", default="cli", help="the actor in the audit trail")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Roll back."""
        try:
            promotion = promotions.roll_back(
                template=options["template"], actor=options["actor"], reason=options["reason"]
            )
        except TemplateError as error:
            raise CommandError(error.message) from error
        self.stdout.write(self.style.SUCCESS(f"{promotion.to_version} is current"))
