"""Options, and the fixture of a whole Stencil that `manage.py up` starts."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests import xdist_groups
from tests.runtime.matrix_plugin import Matrix
from tests.timeouts import HANGS_SECONDS

ROOT = Path(__file__).resolve().parent.parent
READY_SECONDS = 420
_FIRST_PORT = 15_000

# `make test-fuzz` takes the other one. No deadline: a machine may be busy.
settings.register_profile("usual", deadline=None)
settings.register_profile("fuzz", deadline=None, max_examples=10_000)
settings.load_profile("usual")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options for the matrices. A test named on the command line always runs."""
    group = parser.getgroup("stencil")
    group.addoption("--matrix", choices=("all", "changed"), default="all", help="see 0010")
    group.addoption(
        "--remember-matrix", action="store_true", help="write tests/runtime/passed.json if all pass"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Matrix(config), "stencil-matrix")
    config.pluginmanager.register(xdist_groups, "stencil-workers")
    take_own_mounts()


def take_own_mounts() -> None:
    """Give this process and its children a mount namespace of their own if it runs as root.

    Some tests mount, and attacks compare the host's mounts before and after. Both run at the same
    time, in separate processes. The namespace also removes the mounts of a run that was killed.
    """
    if os.geteuid() != 0:
        return  # an ordinary user mounts nothing
    try:
        os.unshare(os.CLONE_NEWNS)
    except PermissionError:
        return  # a container without that right
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


def free_port() -> int:
    """Return a loopback port that nobody listens on.

    It lies below the ports that the kernel gives to outgoing connections: one of those could take
    it before the test's server does.
    """
    outgoing = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0]
    while True:
        port = _FIRST_PORT + secrets.randbelow(max(int(outgoing) - _FIRST_PORT, 1000))
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


@dataclass
class Stencil:
    """A running Stencil: web server, executor and the templates built by real npm and pip."""

    url: str
    token: str
    username: str
    password: str
    data: Path
    env: dict[str, str]
    process: subprocess.Popen[str]
    lines: list[str]

    def api(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Call the API over HTTP; return the status and the parsed reply."""
        request = urllib.request.Request(  # noqa: S310 - our own http address
            f"{self.url}/api/v1{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=90) as answer:  # noqa: S310
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, json.load(refusal)

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a management command on the data of this Stencil."""
        return subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), *arguments],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


def start(data: Path, port: int) -> Stencil:
    """Run `manage.py up` on `data` and wait until it says that it is ready."""
    env = os.environ | {
        "DJANGO_SETTINGS_MODULE": "webui.settings",
        "STENCIL_DATA": str(data),
        "STENCIL_HOST": "127.0.0.1",
        "STENCIL_PORT": str(port),
    }
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), "up"],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    lines: list[str] = []
    ready = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if line.startswith("Ctrl-C stops it"):
                ready.set()
        ready.set()

    threading.Thread(target=read, daemon=True).start()
    if not ready.wait(READY_SECONDS) or process.poll() is not None:
        process.send_signal(signal.SIGINT)
        process.wait(HANGS_SECONDS)
        pytest.fail("make up did not become ready:\n" + "\n".join(lines[-40:]))
    made = json.loads((data / "credentials.json").read_text())
    admin = made["admin"]
    stencil = Stencil(
        url=made["url"],
        token=made["token"],
        username=admin["username"],
        password=admin["password"],
        data=data,
        env=env,
        process=process,
        lines=lines,
    )
    await_templates(stencil)
    return stencil


def await_templates(stencil: Stencil) -> None:
    """Wait until every template is built: `up` is ready as soon as the first one answers."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        _, page = stencil.api("GET", "/templates")
        if all(template["current"] is not None for template in page["items"]):
            return
        time.sleep(0.5)
    stop(stencil)
    pytest.fail("not every template was built:\n" + "\n".join(stencil.lines[-60:]))


def stop(stencil: Stencil) -> int:
    """Stop Stencil as Ctrl-C does; return its exit status."""
    stencil.process.send_signal(signal.SIGINT)
    status = stencil.process.wait(HANGS_SECONDS)
    assert stencil.process.stdout is not None
    stencil.process.stdout.close()
    return status


@pytest.fixture(scope="session")
def stencil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stencil]:
    """Yield one Stencil for the whole run. A test that promotes a version restores the old one."""
    running = start(tmp_path_factory.mktemp("stencil") / "var", free_port())
    yield running
    stop(running)
