"""The two processes of one machine, executor and web, and whether they are ready."""

import errno
import socket
import sys
import time
from urllib.error import URLError
from urllib.request import urlopen

from django.conf import settings

from execapp.services import health
from webui.quickstart import credentials
from webui.quickstart.preparation import StartError
from webui.quickstart.supervisor import Program, Supervisor

READY_SECONDS = 60
WEB_STOP_SECONDS = 15


def programs() -> list[Program]:
    """Return executor and web, in the order in which they stop.

    Web stops last: clients that wait get their replies while the executor drains.
    """
    manage = str(settings.BASE_DIR / "manage.py")
    web = [sys.executable, manage, "web"]
    executor = [sys.executable, manage, "executor"]
    grace = settings.STENCIL_GRACE_SECONDS + 10.0
    return [
        Program(name="executor", argv=executor, stop_seconds=grace),
        Program(name="web", argv=web, stop_seconds=WEB_STOP_SECONDS, obstacle=port_problem),
    ]


def check_port() -> None:
    """Raise StartError if web cannot listen on its address."""
    problem = port_problem()
    if problem is not None:
        raise StartError(problem)


def port_problem() -> str | None:
    """Return why web cannot listen on its address, with the remedy; None if it can."""
    address = (settings.STENCIL_HOST, settings.STENCIL_PORT)
    family = socket.AF_INET6 if ":" in settings.STENCIL_HOST else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe_socket:
        probe_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe_socket.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                reason = "is in use: stop the program that listens there, or set STENCIL_PORT"
            else:
                reason = f"cannot be used ({error.strerror}): set STENCIL_HOST, STENCIL_PORT"
            return f"{address[0]}:{address[1]} {reason}."
    return None


def wait_until_ready(supervisor: Supervisor) -> bool:
    """Wait until web answers and the executor reports; return False if stopped meanwhile.

    Raises StartError if a process ends, or if READY_SECONDS pass.
    """
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if supervisor.stopping.wait(0.1):
            return False
        if answers(f"{credentials.base_url()}/healthz") and health.snapshot().executor_alive:
            return True
        for program in supervisor.programs:
            if program.process is not None and program.process.poll() is not None:
                message = f"{program.name} ended at once: see the lines above for its reason."
                raise StartError(message)
    message = f"web and executor did not become ready in {READY_SECONDS} s."
    raise StartError(message)


def answers(url: str) -> bool:
    """Return whether `url` answers with 200."""
    try:
        with urlopen(url, timeout=2) as response:  # noqa: S310 - our own http address
            return bool(response.status == 200)
    except (URLError, OSError):
        return False
