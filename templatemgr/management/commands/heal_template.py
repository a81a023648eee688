"""`manage.py heal_template typescript 7`: make a version whole, with all its sharers."""

import os
import socket
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from templatemgr.errors import TemplateError
from templatemgr.maintenance import healing


class Command(BaseCommand):
    help = "Verify a version; heal it and every version that shares its bad files."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("template")
        parser.add_argument("version", type=int)
        parser.add_argument("--actor", default="cli", help="the actor in the audit trail")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Heal and report."""
        try:
            health = healing.heal(
                template=options["template"],
                version=options["version"],
                actor=options["actor"],
                worker=f"cli-{socket.gethostname()}-{os.getpid()}",
                on_line=self._line,
            )
        except TemplateError as error:
            raise CommandError(error.message) from error
        self.stdout.write(self.style.SUCCESS(f"{health.version} is {health.state}"))

    def _line(self, step: str, _stream: str, text: str) -> None:
        self.stdout.write(f"  {step:<10} {text}")
