"""`manage.py up`: from a fresh checkout to a running Stencil, and from a stopped one in seconds."""

import errno
import json
import os
import socket
import sys
import threading
import time
from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from execapp.services import health
from sandbox import probe
from templatemgr.services import catalog
from webui import credentials, examples
from webui.first_builds import FirstBuilds
from webui.supervisor import Program, Supervisor

WEB_THREADS = 64
READY_SECONDS = 60


class Command(BaseCommand):
    """Runs web and executor until Ctrl-C, and builds what is missing beside them."""

    help = "Start web and executor, and build what is missing; Ctrl-C stops all of it."
    writing = threading.Lock()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--prepare-only", action="store_true", help="prepare everything, start nothing"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        self.check_machine()
        if not options["prepare_only"]:
            self.check_port()
        missing = self.prepare()
        made = credentials.load() or credentials.create()
        if options["prepare_only"]:
            self.build_all(missing)
        else:
            self.serve(made, missing)

    def check_machine(self) -> None:
        """Refuse before any work is done when this machine cannot isolate a program."""
        if settings.STENCIL_SANDBOX == "none" or probe.isolation_available():
            return
        missing = [finding for finding in probe.findings() if finding.level == "missing"]
        lines = [f"{f.title}: {f.detail}\n  {f.remedy or ''}" for f in missing]
        raise CommandError("\n".join(["This machine cannot run code safely yet.", *lines]))

    def check_port(self) -> None:
        """Say which port is taken before ten seconds of building, not after."""
        address = (settings.STENCIL_HOST, settings.STENCIL_PORT)
        family = socket.AF_INET6 if ":" in settings.STENCIL_HOST else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe_socket:
            probe_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe_socket.bind(address)
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    reason = "is in use: stop what listens there, or set STENCIL_PORT"
                else:
                    reason = f"cannot be used ({error.strerror}): set STENCIL_HOST, STENCIL_PORT"
                message = f"{address[0]}:{address[1]} {reason}."
                raise CommandError(message) from error

    def prepare(self) -> list[str]:
        """Database and static files; return the templates that have no version to serve yet."""
        self.say("database: migrating")
        call_command("migrate", verbosity=0, interactive=False)
        self.say("static files: collecting")
        call_command("collectstatic", verbosity=0, interactive=False)
        missing = []
        for template in catalog.sync_definitions():
            if template.current is not None:
                self.say(f"{template.name}: version {template.current.number} is current")
            else:
                missing.append(template.name)
        return missing

    def build_all(self, missing: list[str]) -> None:
        """Build what is missing, and wait for it. CommandError names what could not be built."""
        failed: list[str] = []

        def ended(name: str, good: bool) -> None:
            if not good:
                failed.append(name)

        builds = FirstBuilds(missing, env=os.environ, say=self.say, ended=ended)
        builds.start()
        try:
            builds.wait()
        except BaseException:
            builds.stop()
            raise
        if failed:
            message = f"Not built: {', '.join(sorted(failed))}. Its lines above say why."
            raise CommandError(message)

    def serve(self, made: credentials.Credentials | None, missing: list[str]) -> None:
        """Start both processes, then what is missing; say how to reach them, and tend them."""
        supervisor = Supervisor(list(programs()), env=os.environ, say=self.say)
        welcome = Welcome(self, made, missing)
        builds = FirstBuilds(missing, env=os.environ, say=self.say, ended=welcome.ended)
        supervisor.start()
        try:
            if self.await_ready(supervisor):
                welcome.serving()
                builds.start()
        except BaseException:
            supervisor.stop()
            raise
        try:
            supervisor.wait()
        finally:
            builds.stop()
        self.say("stopped")

    def await_ready(self, supervisor: Supervisor) -> bool:
        """Wait for web to answer and the executor to report; False when told to stop meanwhile."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if supervisor.stopping.wait(0.1):
                return False
            if answers(f"{credentials.base_url()}/healthz") and health.snapshot().executor_alive:
                return True
            for program in supervisor.programs:
                if program.process is not None and program.process.poll() is not None:
                    message = f"{program.name} ended at once: see the lines above for its reason."
                    raise CommandError(message)
        message = f"web and executor did not become ready in {READY_SECONDS} s."
        raise CommandError(message)

    def announce(self, made: credentials.Credentials | None) -> None:
        """Print where Stencil is, how to get in, and a request to paste."""
        url = credentials.base_url()
        lines = [f"\nStencil is ready: {url}"]
        if made is None:
            lines.append(
                f"The admin exists, but {credentials.path()} is gone. Set a password with\n"
                "manage.py changepassword admin, make a token with manage.py create_token."
            )
        else:
            lines += [f"  user      {made.admin.username}", f"  password  {made.admin.password}"]
            lines.append(f"  kept in   {credentials.path()}\n")
            example = example_to_paste()
            if example is not None:
                lines += [f"Try it:\n\n{curl(made, example)}\n"]
            else:
                lines.append("Nothing is built yet: build a template in the dashboard.\n")
        lines.append("Ctrl-C stops it.")
        self.say("\n".join(lines))

    def say(self, line: str) -> None:
        """One line of progress, seen at once even through a pipe."""
        with self.writing:
            self.stdout.write(line)
            self.stdout.flush()


def programs() -> Iterable[Program]:
    """Web and executor, as argv lists of this very Python."""
    host = f"[{settings.STENCIL_HOST}]" if ":" in settings.STENCIL_HOST else settings.STENCIL_HOST
    web = [
        *(sys.executable, "-m", "gunicorn", "webui.wsgi"),
        *("--bind", f"{host}:{settings.STENCIL_PORT}", "--worker-class", "gthread"),
        *("--workers", "1", "--threads", str(WEB_THREADS), "--no-control-socket"),
        *("--graceful-timeout", "5", "--log-level", "warning"),
    ]
    executor = [sys.executable, str(settings.BASE_DIR / "manage.py"), "executor"]
    return [Program(name="web", argv=web, stop_seconds=15), Program(name="executor", argv=executor)]


def answers(url: str) -> bool:
    """Does `url` answer with 200?"""
    try:
        with urlopen(url, timeout=2) as response:  # noqa: S310 - our own http address
            return bool(response.status == 200)
    except (URLError, OSError):
        return False


class Welcome:
    """Says that Stencil is ready once the first template answers, or none ever will."""

    def __init__(
        self, command: Command, made: credentials.Credentials | None, missing: list[str]
    ) -> None:
        self._command, self._made = command, made
        self._left = len(missing)
        self._lock = threading.Lock()
        self._said = False

    def serving(self) -> None:
        """Web and executor answer."""
        if self._left and example_to_paste() is None:
            url = credentials.base_url()
            self._command.say(f"web and executor answer at {url}; building {self._left} templates")
        else:
            self._say()

    def ended(self, name: str, good: bool) -> None:
        """A template was built, or could not be."""
        if not good:
            self._command.say(
                f"{name}: not built. Its log is on the template's page of the dashboard; try again "
                f"there, or with: manage.py build_template {name} --promote"
            )
        with self._lock:
            self._left -= 1
        if good or self._left == 0:
            self._say()

    def _say(self) -> None:
        with self._lock:
            if self._said:
                return
            self._said = True
        self._command.announce(self._made)


def example_to_paste() -> examples.Example | None:
    """A submission that shows most: a test that fails beside one that passes, in what is built."""
    try:
        shelves = examples.shelves()
    finally:
        connection.close()  # also asked by threads that build
    shown = [examples.to_show(shelves, shelf.template) for shelf in shelves]
    return next((example for example in shown if example is not None), None)


def curl(made: credentials.Credentials, example: examples.Example) -> str:
    """A request to paste into a shell: quotes inside the JSON are safe between single quotes."""
    files = [{"path": path, "content": content} for path, content in example.files]
    request = {"template": example.template, "mode": example.mode, "wait": True, "files": files}
    body = json.dumps(request, indent=1).replace("'", "\\u0027")
    return (
        f"curl -s {made.url}/api/v1/executions \\\n"
        f"  -H 'Authorization: Bearer {made.token}' \\\n"
        f"  -H 'Content-Type: application/json' \\\n"
        f"  -d '{body}'"
    )
