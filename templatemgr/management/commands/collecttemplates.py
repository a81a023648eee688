"""`manage.py collecttemplates`: definitions to where production reads them."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from templatemgr import operator_rules
from templatemgr.definitions import collection
from templatemgr.errors import DefinitionError


class Command(BaseCommand):
    help = "Check the definitions and copy them, read-only, to the folder of production."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        base = Path(settings.BASE_DIR)
        parser.add_argument("--source", type=Path, default=base / "templates_runtime")
        parser.add_argument("--target", type=Path, default=base / "dist" / "templates")
        parser.add_argument("--dry-run", action="store_true", help="print what would be copied")
        parser.add_argument("--check", action="store_true", help="fail if a copy is out of date")
        parser.add_argument("--clear", action="store_true", help="delete earlier collections")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Collect, check or preview."""
        source, target = options["source"], options["target"]
        try:
            found = collection.collect(source, operator_rules.current())
        except DefinitionError as error:
            raise CommandError(error.message) from error
        if not found.files:
            message = f"There is no definition in {source}."
            raise CommandError(message)
        if options["check"]:
            self._check(found, target)
        elif options["dry_run"]:
            self._preview(found, target)
        else:
            self._publish(found, source, target, clear=options["clear"])

    def _check(self, found: collection.Collection, target: Path) -> None:
        wrong = collection.differences(found, target)
        if wrong:
            text = "\n".join(f"  {line}" for line in wrong)
            message = f"{target} is not up to date: run collecttemplates.\n{text}"
            raise CommandError(message)
        self.stdout.write(f"{target} is up to date: {len(found.files)} files.")

    def _preview(self, found: collection.Collection, target: Path) -> None:
        for path in sorted(found.files):
            self.stdout.write(f"would copy {path}")
        self.stdout.write(f"{len(found.files)} files to {target}; nothing was written.")

    def _publish(
        self, found: collection.Collection, source: Path, target: Path, *, clear: bool
    ) -> None:
        try:
            final = collection.publish(found, source, target)
        except OSError as error:
            raise CommandError(str(error)) from error
        for path in collection.clear(target) if clear else ():
            self.stdout.write(f"removed {path.name}")
        self.stdout.write(self.style.SUCCESS(f"{len(found.files)} files in {final.name}"))
