"""`manage.py build_template typescript --promote`: build here and now, the log on the terminal."""

import os
import socket
import time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from templatemgr import catalog
from templatemgr.build import builds
from templatemgr.errors import TemplateError
from templatemgr.models import Build, BuildKind, BuildState, Template, Version
from templatemgr.promotion import promotions


class Command(BaseCommand):
    help = "Build a template from its definition, and print the resulting version."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("template")
        parser.add_argument("--kind", choices=BuildKind.values, default=BuildKind.REBUILD)
        parser.add_argument("--from", type=int, dest="source", help="start from this version")
        parser.add_argument(
            "--package", action="append", default=[], help="for update: name or name@version"
        )
        parser.add_argument(
            "--file", action="append", default=[], help="for edit: path=file with the new text"
        )
        parser.add_argument("--promote", action="store_true", help="make the result current")
        parser.add_argument("--if-missing", action="store_true", help="only when none is current")
        parser.add_argument("--actor", default="cli", help="the actor in the audit trail")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Build, follow, promote."""
        name, actor = options["template"], options["actor"]
        try:
            catalog.sync_definitions()
            template = catalog.get(name=name)
            if options["if_missing"] and self._there(template, options):
                return
            build = self._build(name, options)
            if options["promote"]:
                self._promote(name, _result(build).number, actor)
        except TemplateError as error:
            raise CommandError(error.message) from error

    def _there(self, template: Template, options: dict[str, Any]) -> bool:
        """Return whether no build is needed; promote the newest version if none is current."""
        if template.current is not None and template.current.healthy:
            self.stdout.write(f"{template.current} is current.")
            return True
        ready = Version.objects.filter(template=template, health__state="verified")
        newest = ready.order_by("-number").first()
        if newest is None:
            return False
        if options["promote"]:
            self._promote(template.name, newest.number, options["actor"])
        else:
            self.stdout.write(f"{newest} is built; no version is current.")
        return True

    def _build(self, name: str, options: dict[str, Any]) -> Build:
        estimate = builds.estimate_seconds(name)
        build = builds.request(
            template=name,
            kind=options["kind"],
            actor=options["actor"],
            from_version=options["source"],
            packages=options["package"],
            files=_files(options["file"]) if options["file"] else None,
            wake=False,
        )
        about = f", about {estimate:.0f} s" if estimate else ""
        self.stdout.write(f"build {build.pk} of {name}{about}")
        worker = f"cli-{socket.gethostname()}-{os.getpid()}"
        mine = builds.claim(worker=worker, build_id=build.pk)
        if mine is not None:
            build = builds.run(build=mine, worker=worker, on_line=self._line)
        else:  # an executor claimed the build first: follow its log
            build = self._follow(build)
        if build.state not in (BuildState.READY, BuildState.REPRODUCED):
            message = f"{build.state} in step {build.step}: {build.message}"
            raise CommandError(message)
        word = "made" if build.state == BuildState.READY else "reproduced"
        seconds = build.duration_seconds or 0
        self.stdout.write(self.style.SUCCESS(f"{word} {_result(build)} in {seconds:.1f} s"))
        return build

    def _follow(self, build: Build) -> Build:
        after = 0
        while True:
            build = builds.get(build_id=build.pk)  # before the lines: the last ones are not missed
            for line in builds.log_lines(build=build, after=after):
                self._line(line.step, line.stream, line.text)
                after = line.sequence
            if build.finished:
                return build
            time.sleep(0.5)

    def _line(self, step: str, _stream: str, text: str) -> None:
        self.stdout.write(f"  {step:<10} {text}")

    def _promote(self, name: str, number: int, actor: str) -> None:
        template = catalog.get(name=name)
        if template.current is not None and template.current.number == number:
            self.stdout.write(f"{template.current} is current already.")
            return
        promotions.promote(
            template=name, version=number, actor=actor, reason="built with build_template --promote"
        )
        self.stdout.write(self.style.SUCCESS(f"{name}@{number} is current"))


def _files(pairs: list[str]) -> dict[str, str]:
    """Read the texts that "path=file" names."""
    found: dict[str, str] = {}
    for pair in pairs:
        path, _, file = pair.partition("=")
        try:
            found[path] = Path(file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            message = f"--file {pair}: {error}"
            raise CommandError(message) from error
    return found


def _result(build: Build) -> Version:
    version = build.version or build.reproduces
    if version is None:
        message = f"{build} made no version."
        raise CommandError(message)
    return version
