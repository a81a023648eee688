"""`manage.py up`: prepare a data directory, start web and executor, build missing templates."""

import threading
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from webui.quickstart import startup
from webui.quickstart.preparation import StartError


class Command(BaseCommand):
    """Run web and executor until Ctrl-C, and build missing templates beside them."""

    help = "Start web and executor, and build missing templates; Ctrl-C stops everything."
    writing = threading.Lock()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--prepare-only", action="store_true", help="prepare everything, start nothing"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            startup.run(prepare_only=options["prepare_only"], say=self.say)
        except StartError as error:
            raise CommandError(str(error)) from error

    def say(self, line: str) -> None:
        """Write one line of progress and flush it, so that it is seen at once through a pipe."""
        with self.writing:
            self.stdout.write(line)
            self.stdout.flush()
