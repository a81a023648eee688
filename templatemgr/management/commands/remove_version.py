"""`manage.py remove_version typescript 3 --reason "superseded"`: free the disk it alone uses."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from templatemgr.errors import TemplateError
from templatemgr.promotion import removal


class Command(BaseCommand):
    help = "Delete a version's tree. Its record and inputs stay: a rebuild from it restores it."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("template")
        parser.add_argument("version", type=int)
        parser.add_argument("--reason", required=True)
        parser.add_argument("--actor", default="cli", help="the actor in the audit trail")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Remove and report."""
        name, number = options["template"], options["version"]
        try:
            freed = removal.remove(
                template=name, version=number, actor=options["actor"], reason=options["reason"]
            )
        except TemplateError as error:
            raise CommandError(error.message) from error
        text = f"{name}@{number} is removed: {freed.files} files, {freed.bytes:,} bytes freed."
        self.stdout.write(self.style.SUCCESS(text))
