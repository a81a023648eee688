"""`manage.py export_inputs typescript 7 FOLDER`: copy the inputs of a version as files."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from templatemgr.build import export
from templatemgr.errors import TemplateError


class Command(BaseCommand):
    help = "Copy the inputs that a version keeps into a folder, to commit them back."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("template")
        parser.add_argument("version", type=int)
        parser.add_argument("folder", type=Path)
        parser.add_argument("--overwrite", action="store_true", help="also into a folder in use")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Copy and report."""
        try:
            paths = export.export(
                template=options["template"],
                version=options["version"],
                target=options["folder"],
                overwrite=options["overwrite"],
            )
        except (TemplateError, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(self.style.SUCCESS(f"{len(paths)} files in {options['folder']}"))
