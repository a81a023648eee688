"""`manage.py gate_policy typescript --require smoke --reason "…"`: which gates must be open."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from templatemgr import catalog
from templatemgr.errors import TemplateError
from templatemgr.promotion import gates, promotions


class Command(BaseCommand):
    help = "Show or set which gates a promotion of a template must pass."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("template")
        chosen = parser.add_mutually_exclusive_group()
        chosen.add_argument("--require", action="append", help="a gate besides the essential ones")
        chosen.add_argument("--all", action="store_true", help="every gate, as by default")
        chosen.add_argument("--essential", action="store_true", help="no gate but the essential")
        parser.add_argument("--reason", default="", help="needed for a change")
        parser.add_argument("--actor", default="cli", help="the actor in the audit trail")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Set the policy if an option asks for it, then print the policy in force."""
        name = options["template"]
        try:
            if options["all"] or options["essential"] or options["require"]:
                gates.set_policy(
                    template=name,
                    required=None if options["all"] else (options["require"] or []),
                    actor=options["actor"],
                    reason=promotions.checked_reason(options["reason"]),
                )
            template = catalog.get(name=name)
        except TemplateError as error:
            raise CommandError(error.message) from error
        names = ", ".join(sorted(gates.required(template=template)))
        self.stdout.write(f"{name} must pass: {names}")
