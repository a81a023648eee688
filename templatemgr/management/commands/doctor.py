"""`manage.py doctor`: check this machine and the templates, and print the findings."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from sandbox import probe, selfcheck
from templatemgr.maintenance import diagnosis


class Command(BaseCommand):
    help = "Check this machine and the templates; print all findings with remedies."
    # Failed system checks are printed among the findings; they must not prevent the report.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Add `--attack`, which also attacks the protections."""
        text = "also try a safe selection of attacks on this machine's sandbox (some seconds)"
        parser.add_argument("--attack", action="store_true", help=text)
        text = "also read the whole database and check that it is intact (minutes when large)"
        parser.add_argument("--database", action="store_true", help=text)

    def handle(self, *_args: Any, **options: Any) -> None:
        """Print every finding; exit status 1 if a requirement is missing."""
        self.stdout.write("This machine")
        findings = probe.findings()
        for finding in findings:
            self._line(finding.level, finding.title, finding.detail, finding.remedy)
        detail = ", ".join(settings.STENCIL_DOORS) or "all are closed"
        self._line("ok", "doors", f"{detail} (STENCIL_DOORS)", None)
        self.stdout.write("Templates")
        try:
            notes = diagnosis.notes()
        except DatabaseError as error:
            notes = [self._database_trouble(error)]
        if options["database"]:
            notes += diagnosis.database_notes()
        for note in notes:
            self._line(note.level, note.title, note.detail, note.remedy)
        levels = [finding.level for finding in findings] + [note.level for note in notes]
        if options["attack"]:
            levels += self._attack()
        missing = levels.count("missing")
        if missing:
            what = "requirement is" if missing == 1 else "requirements are"
            message = f"{missing} {what} missing."
            raise CommandError(message)

    def _database_trouble(self, error: DatabaseError) -> diagnosis.Note:
        """Report the database: `weaker` if it was never set up, `missing` if damaged or locked."""
        if "no such table" in str(error):
            remedy = "run `make up`, or `manage.py migrate`"
            detail = f"not set up yet ({error})"
            return diagnosis.Note(level="weaker", title="database", detail=detail, remedy=remedy)
        remedy = "run `manage.py doctor --database`; restore a backup if it is damaged"
        return diagnosis.Note(level="missing", title="database", detail=str(error), remedy=remedy)

    def _attack(self) -> list[probe.Level]:
        """Write each verdict as soon as it is known; count a failed one as missing."""
        self.stdout.write("Attacks")

        def write_line(verdict: selfcheck.Verdict) -> None:
            self._line(verdict.level, verdict.title, verdict.detail, verdict.remedy)

        return [verdict.level for verdict in selfcheck.verdicts(write_line)]

    def _line(self, level: str, title: str, detail: str, remedy: str | None) -> None:
        style = {"ok": self.style.SUCCESS, "weaker": self.style.WARNING}
        word = style.get(level, self.style.ERROR)(f"{level:<8}")
        self.stdout.write(f"  {word}{title}: {detail}")
        if remedy and level != "ok":
            self.stdout.write(f"          remedy: {remedy}")
