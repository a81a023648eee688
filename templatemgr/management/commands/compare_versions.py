"""`manage.py compare_versions typescript 7 8`, as text or with `--json` as data."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from templatemgr.errors import TemplateError
from templatemgr.promotion import comparison


class Command(BaseCommand):
    help = "Print the differences between two versions of a template."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("template")
        parser.add_argument("old", type=int)
        parser.add_argument("new", type=int)
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Compare and print."""
        try:
            found = comparison.compare(
                template=options["template"], old=options["old"], new=options["new"]
            )
        except TemplateError as error:
            raise CommandError(error.message) from error
        if options["json"]:
            self.stdout.write(json.dumps(comparison.to_data(found), indent=2))
            return
        for line in comparison.to_text(found):
            self.stdout.write(line)
