"""`manage.py seed`: insert many sample rows, to look at and measure pages with."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from webui.quickstart import sample_data


class Command(BaseCommand):
    help = "Fill an unused data folder with sample executions, versions, tokens and events."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        usual = sample_data.Size()
        for name in ("executions", "versions", "tokens", "events"):
            parser.add_argument(f"--{name}", type=int, default=getattr(usual, name))
        parser.add_argument("--force", action="store_true", help="also where executions are")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Insert the rows in one transaction."""
        names = ("executions", "versions", "tokens", "events")
        size = sample_data.Size(**{name: options[name] for name in names})
        try:
            sample_data.seed(size, now=timezone.now(), force=options["force"])
        except sample_data.InUseError as error:
            message = f"{error} Seed another STENCIL_DATA, or say --force."
            raise CommandError(message) from error
        self.stdout.write(", ".join(f"{options[name]} {name}" for name in names))
