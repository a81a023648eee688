"""`manage.py promote_template typescript 8 --reason "vitest 5.2"`."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from templatemgr.errors import TemplateError
from templatemgr.promotion import promotions


class Command(BaseCommand):
    help = "Make a version current."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("template")
        parser.add_argument("version", type=int)
        parser.add_argument("--reason", required=True)
        parser.add_argument("--expected-current", type=int, help="refuse if another is current")
        parser.add_argument(
            "--override", action="store_true", help="pass closed gates; the audit trail names them"
        )
        parser.add_argument("--actor", default="cli", help="the actor in the audit trail")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Promote."""
        try:
            promotion = promotions.promote(
                template=options["template"],
                version=options["version"],
                actor=options["actor"],
                reason=options["reason"],
                expected_current=options["expected_current"],
                override=options["override"],
            )
        except TemplateError as error:
            raise CommandError(error.message) from error
        self.stdout.write(self.style.SUCCESS(f"{promotion.to_version} is current"))
