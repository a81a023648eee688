"""Fixtures: real rows, an executor with a real sandbox on a tiny template, and Django's client."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django import conf
from django.db import connection
from django.test import Client
from pytest_django.fixtures import Settings

from core.database import triggers
from execapp.executor.daemon import Daemon
from execapp.models import ApiToken, Execution, ExecutorHeartbeat
from execapp.services import tokens
from templatemgr import version_runtimes
from templatemgr.models import Version
from tests import factories, minimal_template
from tests.conftest import free_port
from tests.timeouts import HANGS_SECONDS

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Api:
    """A client of the API with its token."""

    token: ApiToken
    secret: str
    client: Client = field(default_factory=Client)

    def call(self, method: str, path: str, body: object = None, **headers: str) -> Any:
        """Send one request; send a str or bytes body unchanged and any other body as JSON."""
        raw = (
            body if isinstance(body, str | bytes) else json.dumps(body) if body is not None else ""
        )
        given = {"Authorization": f"Bearer {self.secret}", **headers}
        kind = given.pop("Content-Type", "application/json")
        return self.client.generic(method, f"/api/v1{path}", raw, content_type=kind, headers=given)

    def get(self, path: str) -> Any:
        """Send a GET that must succeed; return the parsed reply."""
        response = self.call("GET", path)
        assert response.status_code == 200, response.content
        return response.json()

    def submit(
        self,
        program: minimal_template.Program = minimal_template.HELLO,
        mode: str = "run",
        **more: object,
    ) -> Any:
        """Send a submission that must be accepted; return the parsed reply."""
        response = self.call("POST", "/executions", program.body(mode, **more))
        assert response.status_code == 201, response.content
        return response.json()


def make_api(name: str, *scopes: str) -> Api:
    """Return an API client with this name and these scopes."""
    token, secret = tokens.create(name=name, scopes=scopes or ("execute", "read"), actor="ann")
    return Api(token=token, secret=secret)


@pytest.fixture(autouse=True)
def own_addresses(settings: Settings) -> None:
    """Serve the addresses of the API alone: it works without the dashboard."""
    settings.ROOT_URLCONF = "execapp.api.urls"


@pytest.fixture
def committed(transactional_db: None) -> Iterator[None]:
    """Use real commits; remove the append-only triggers before the flush at the end."""
    Path(conf.settings.STATIC_ROOT).mkdir(exist_ok=True)  # else the static middleware warns
    yield
    triggers.remove(connection)


@pytest.fixture
def current(committed: None) -> Iterator[Version]:
    """Yield version 1 of the tiny template, which is current."""
    yield factories.promote_runnable_version()
    version_runtimes._kept_runtime.cache_clear()
    shutil.rmtree(Path(conf.settings.STENCIL_DATA) / "templates", ignore_errors=True)


@pytest.fixture
def api(current: Version) -> Api:
    """Return a client that may execute and read."""
    return make_api("ci-bot")


@pytest.fixture
def alive(committed: None) -> ExecutorHeartbeat:
    """Make a heartbeat without an executor: the API accepts submissions, and they stay queued."""
    return factories.make_heartbeat_row()


@pytest.fixture(autouse=True)
def helpers_use_our_database(django_db_setup: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let helpers that an executor in this process starts use the database of the test."""
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "tests.execapp.executor.executor_settings")
    monkeypatch.setenv("STENCIL_TEST_DATABASE", str(connection.settings_dict["NAME"]))


@pytest.fixture
def start_executor(current: Version) -> Iterator[Callable[..., Daemon]]:
    """Yield a function that starts executors in this process; stop them at the end."""
    started: list[Daemon] = []

    def start(**options: Any) -> Daemon:
        daemon = Daemon(**{"slots": 2, "warm": 0, "grace": 0.2, **options})
        daemon.start()
        started.append(daemon)
        return daemon

    yield start
    for daemon in started:
        if not daemon.stopped:
            daemon.stop()


@pytest.fixture
def executor(start_executor: Callable[..., Daemon]) -> Daemon:
    """Return an executor with two slots and no warm sandboxes."""
    return start_executor()


@pytest.fixture
def executor_process(current: Version) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Yield a function that starts `manage.py executor`; kill running executors at the end."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), "executor", *arguments],
            env=os.environ
            | {
                "DJANGO_SETTINGS_MODULE": "tests.execapp.executor.executor_settings",
                "STENCIL_DATA": str(conf.settings.STENCIL_DATA),
                "STENCIL_TEST_DATABASE": str(connection.settings_dict["NAME"]),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if "ready" in line:
                return process
        pytest.fail("the executor did not start:\n" + "".join(said))

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait(HANGS_SECONDS)
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture
def web_process(current: object) -> Iterator[Callable[[], str]]:
    """Yield a function that starts `manage.py web` and returns its address."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> str:
        port = str(free_port())
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), "web", "--port", port],
            env=os.environ
            | {
                "DJANGO_SETTINGS_MODULE": "tests.execapp.executor.executor_settings",
                "STENCIL_DATA": str(conf.settings.STENCIL_DATA),
                "STENCIL_TEST_DATABASE": str(connection.settings_dict["NAME"]),
            },
        )
        started.append(process)
        until(lambda: _listens(int(port)))
        return f"http://127.0.0.1:{port}"

    yield start
    for process in started:
        process.send_signal(signal.SIGTERM)
        assert process.wait(HANGS_SECONDS) == 0


def _listens(port: int) -> bool:
    with socket.socket() as link:
        return link.connect_ex(("127.0.0.1", port)) == 0


def until[T](
    look: Callable[[], T], seconds: float = HANGS_SECONDS, *, left: Callable[[], str] = str
) -> T:
    """Call `look` until it returns a true value, and return this value; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if seen or time.monotonic() > deadline:
            assert seen, f"it did not happen in time {left()}"
            return seen
        time.sleep(0.02)


def state_of(execution: Any) -> str:
    """Return the state of the execution in an API reply, read from its row."""
    return Execution.objects.values_list("state", flat=True).get(id=execution["id"])
