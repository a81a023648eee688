"""`manage.py up`: from a fresh checkout to a running Stencil, and from a stopped one in seconds."""

import errno
import json
import os
import socket
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from execapp.services import health
from sandbox import probe
from templatemgr.services import catalog
from webui import credentials
from webui.supervisor import Program, Supervisor

WEB_THREADS = 64
READY_SECONDS = 60
EXAMPLE = {
    "template": "typescript",
    "mode": "test",
    "wait": True,
    "files": [
        {"path": "sum.ts", "content": "export const sum = (a: number, b: number) => a + b\n"},
        {
            "path": "sum.test.ts",
            "content": (
                "import { expect, it } from 'vitest'\n"
                "import { sum } from './sum'\n"
                "it('adds', () => expect(sum(1, 2)).toBe(3))\n"
                "it('keeps cents', () => expect(sum(0.1, 0.2)).toBe(0.3))\n"
            ),
        },
    ],
}


class Command(BaseCommand):
    """Prepares what is missing, then runs web and executor until Ctrl-C."""

    help = "Build what is missing, then start web and executor; Ctrl-C stops both."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--prepare-only", action="store_true", help="prepare everything, start nothing"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        self.check_machine()
        if not options["prepare_only"]:
            self.check_port()
        self.prepare()
        made = credentials.load() or credentials.create()
        if not options["prepare_only"]:
            self.serve(made)

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

    def prepare(self) -> None:
        """Database, static files and templates; each is left alone when it is there already."""
        self.say("database: migrating")
        call_command("migrate", verbosity=0, interactive=False)
        self.say("static files: collecting")
        call_command("collectstatic", verbosity=0, interactive=False)
        for template in catalog.sync_definitions():
            if template.current is not None:
                self.say(f"{template.name}: version {template.current.number} is current")
                continue
            self.say(f"{template.name}: building the first version")
            call_command("build_template", template.name, promote=True, if_missing=True)

    def serve(self, made: credentials.Credentials | None) -> None:
        """Start both processes, wait until they answer, say how to reach them, and tend them."""
        supervisor = Supervisor(list(programs()), env=os.environ, say=self.say)
        supervisor.start()
        try:
            if self.await_ready(supervisor):
                self.announce(made)
        except BaseException:
            supervisor.stop()
            raise
        supervisor.wait()
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
        self.stdout.write(f"\nStencil is ready: {url}\n")
        if made is None:
            self.stdout.write(
                f"The admin exists, but {credentials.path()} is gone. Set a password with\n"
                "manage.py changepassword admin, make a token with manage.py create_token.\n"
            )
            return
        self.stdout.write(f"  user      {made.admin.username}\n  password  {made.admin.password}\n")
        self.stdout.write(f"  kept in   {credentials.path()}\n\nTry it:\n\n{curl(made)}\n\n")
        self.stdout.write("Ctrl-C stops it.\n")
        self.stdout.flush()

    def say(self, line: str) -> None:
        """One line of progress, seen at once even through a pipe."""
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


def curl(made: credentials.Credentials) -> str:
    """A request to paste into a shell: quotes inside the JSON are safe between single quotes."""
    body = json.dumps(EXAMPLE, indent=1).replace("'", "\\u0027")
    return (
        f"curl -s {made.url}/api/v1/executions \\\n"
        f"  -H 'Authorization: Bearer {made.token}' \\\n"
        f"  -H 'Content-Type: application/json' \\\n"
        f"  -d '{body}'"
    )
