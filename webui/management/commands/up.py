"""`manage.py up`: from a fresh checkout to a running Stencil, and from a stopped one in seconds."""

import errno
import json
import os
import shlex
import socket
import sys
import threading
import time
from argparse import ArgumentParser
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from execapp.services import health
from sandbox import probe
from templatemgr import catalog
from templatemgr.trees import modes
from webui.playground import examples
from webui.quickstart import credentials
from webui.quickstart.first_builds import FirstBuilds
from webui.quickstart.supervisor import AlreadyRunningError, Program, Supervisor, SupervisorLock

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
        lock = self.lock()
        try:
            if not options["prepare_only"]:
                self.check_port()
            missing = self.prepare()
            created = credentials.create()
            if options["prepare_only"]:
                self.build_all(missing)
            else:
                self.serve(created, missing)
        finally:
            lock.release()

    def lock(self) -> SupervisorLock:
        """Refuse at once when another `up` works on the same data."""
        data = Path(settings.STENCIL_DATA)
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            lock = SupervisorLock(data / "up.lock")
        except AlreadyRunningError as error:
            raise CommandError(str(error)) from error
        for opened in modes.close_to_others(data):
            what = "closed to other users" if opened.repaired else opened.trouble
            self.say(f"{opened.path} had mode {opened.mode:04o}: {what}")
        return lock

    def check_machine(self) -> None:
        """Refuse before any work is done when this machine cannot isolate a program."""
        if settings.STENCIL_SANDBOX == "none" or probe.isolation_available():
            return
        missing = [finding for finding in probe.findings() if finding.level == "missing"]
        lines = [f"{f.title}: {f.detail}\n  {f.remedy or ''}" for f in missing]
        raise CommandError("\n".join(["This machine cannot run code safely yet.", *lines]))

    def check_port(self) -> None:
        """Say which port is taken before ten seconds of building, not after."""
        trouble = port_trouble()
        if trouble is not None:
            raise CommandError(trouble)

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

    def serve(self, created: credentials.Credentials | None, missing: list[str]) -> None:
        """Start both processes, then what is missing; say how to reach them, and tend them.

        `created`: the first admin and token, when they were made just now.
        """
        supervisor = Supervisor(list(programs()), env=os.environ, say=self.say)
        welcome = Welcome(self, created, missing)
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

    def announce(self, created: credentials.Credentials | None) -> None:
        """Print where Stencil is, how to get in, and a request to paste.

        The password and the token are printed once, when they are made: what `up` prints often
        ends in a log. Later the lines say where they are kept.
        """
        kept = credentials.load()
        lines = [f"\nStencil is ready: {credentials.base_url()}"]
        if created is not None:
            lines += [f"  user      {created.admin.username}"]
            lines += [
                f"  password  {created.admin.password}",
                f"  kept in   {credentials.path()}\n",
            ]
        elif kept is not None:
            lines += [f"  user      {kept.admin.username}"]
            lines += [f"  password and token are kept in {credentials.path()}\n"]
        else:
            lines.append(
                f"The admin exists, but {credentials.path()} is gone. Set a password with\n"
                "manage.py changepassword admin, make a token with manage.py create_token."
            )
        if kept is not None:
            example = example_to_paste()
            token = created.token if created else token_from_file()
            if example is not None:
                lines += [f"Try it:\n\n{curl(kept.url, token, example)}\n"]
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
    """Executor and web, as argv lists of this very Python."""
    manage = str(settings.BASE_DIR / "manage.py")
    web = [sys.executable, manage, "web"]
    executor = [sys.executable, manage, "executor"]
    grace = settings.STENCIL_GRACE_SECONDS + 10.0
    # In the order in which they stop: web answers those who wait until the executor has drained.
    return [
        Program(name="executor", argv=executor, stop_seconds=grace),
        Program(name="web", argv=web, stop_seconds=15, obstacle=port_trouble),
    ]


def port_trouble() -> str | None:
    """Why web could not listen where it is to, as a sentence with the remedy; None if it can."""
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
            return f"{address[0]}:{address[1]} {reason}."
    return None


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
        self, command: Command, created: credentials.Credentials | None, missing: list[str]
    ) -> None:
        self._command, self._created = command, created
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
        self._command.announce(self._created)


def example_to_paste() -> examples.Example | None:
    """A test that fails beside one that passes shows most; else any example of what is built."""
    try:
        groups = examples.example_groups()
    finally:
        connection.close()  # also asked by threads that build
    shown = [examples.to_show(groups, group.template) for group in groups]
    others = [example for group in groups for example in group.examples]
    return next((example for example in (*shown, *others) if example is not None), None)


def token_from_file() -> str:
    """A shell expression that reads the token where it is kept, so that it is not printed."""
    path = shlex.quote(str(credentials.path()))
    return f'$(sed -n \'s/.*"token": *"\\([^"]*\\)".*/\\1/p\' {path})'


def curl(url: str, token: str, example: examples.Example) -> str:
    """A request to paste into a shell: quotes inside the JSON are safe between single quotes.

    `token` may be a shell expression: its header stands in double quotes then.
    """
    quote = "'" if token.isalnum() or "$" not in token else '"'
    files = [{"path": path, "content": content} for path, content in example.files]
    request = {"template": example.template, "mode": example.mode, "wait": True, "files": files}
    request |= {"args": list(example.args)} if example.args else {}
    request |= {"stdin": example.stdin} if example.stdin else {}
    body = json.dumps(request, indent=1).replace("'", "\\u0027")
    return (
        f"curl -s {url}/api/v1/executions \\\n"
        f"  -H {quote}Authorization: Bearer {token}{quote} \\\n"
        f"  -H 'Content-Type: application/json' \\\n"
        f"  -d '{body}'"
    )
