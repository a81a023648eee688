"""`manage.py pin_template typescript --reason "exam week"`, and `--unpin` to end it."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from templatemgr.errors import TemplateError
from templatemgr.promotion import promotions


class Command(BaseCommand):
    help = "Pin a template on its version, or unpin it."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("template")
        parser.add_argument("--reason", required=True)
        parser.add_argument("--unpin", action="store_true")
        parser.add_argument("--actor", default="cli", help="the actor in the audit trail")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Pin or unpin."""
        act = promotions.unpin if options["unpin"] else promotions.pin
        try:
            template = act(
                template=options["template"], actor=options["actor"], reason=options["reason"]
            )
        except TemplateError as error:
            raise CommandError(error.message) from error
        state = f"pinned on {template.current or 'nothing'}" if template.pinned else "not pinned"
        self.stdout.write(self.style.SUCCESS(f"{template.name} is {state}"))
