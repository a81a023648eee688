"""Kill processes and promote versions under load: no execution is lost, and none ends twice.

`make test-crash` runs more of both than an ordinary run.
"""

import http.client
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from execapp.executor.daemon import Daemon
from execapp.models import FINAL_STATES, Execution
from sandbox.cgroup import leases
from sandbox.cgroup.process_tree import tree_of
from sandbox.isolation import orphans
from templatemgr.models import Version
from templatemgr.promotion import promotions
from tests import factories, minimal_template
from tests.conftest import free_port
from tests.execapp.conftest import ROOT, Api, make_api, until
from tests.timeouts import HANGS_SECONDS

CRASHES = int(os.environ.get("STENCIL_CRASHES", "5"))
PROMOTIONS = int(os.environ.get("STENCIL_PROMOTIONS", "10"))
BRIEF = minimal_template.program("setTimeout(() => console.log('done'), 60)")
MARKER = minimal_template.program(
    "import fs from 'node:fs'; console.log(fs.readFileSync('/template/marker', 'utf8'))"
)
StartProcess = Callable[..., subprocess.Popen[str]]


@dataclass
class Scene:
    """A web server and an executor as processes on the test's database; kill and restart either."""

    start_executor: StartProcess
    port: int = field(default_factory=free_port)

    def open(self) -> None:
        self.begin_executor()
        self.begin_web()

    def begin_executor(self) -> None:
        self.executor = self.start_executor("--slots", "2", "--warm", "1", "--grace", "5")

    def begin_web(self) -> None:
        self.web = subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), "web", "--port", str(self.port)],
            cwd=ROOT,
            env=os.environ
            | {
                "DJANGO_SETTINGS_MODULE": "tests.execapp.executor.executor_settings",
                "STENCIL_DATA": str(settings.STENCIL_DATA),
                "STENCIL_TEST_DATABASE": str(connection.settings_dict["NAME"]),
            },
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        until(lambda: self.call("GET", "/healthz")[0] == 200)

    def kill_executor(self) -> None:
        self.executor.kill()
        self.executor.wait(HANGS_SECONDS)

    def kill_web(self) -> None:
        os.killpg(self.web.pid, signal.SIGKILL)  # of its own session
        self.web.wait(HANGS_SECONDS)

    def kill_runner(self) -> None:
        pids = [member.pid for member in tree_of(self.executor.pid)]
        runners = [pid for pid in pids if _name(pid) == "node"]
        if runners:
            os.kill(secrets.choice(runners), signal.SIGKILL)

    def crash(self, kind: str) -> None:
        """Kill a process in this way and start it again."""
        if kind in {"executor", "all"}:
            self.kill_executor()
        if kind in {"web", "all"}:
            self.kill_web()
        if kind == "runner":
            self.kill_runner()
        if kind in {"executor", "all"}:
            self.begin_executor()
        if kind in {"web", "all"}:
            self.begin_web()

    def call(
        self, method: str, path: str, body: object = None, secret: str = ""
    ) -> tuple[int, str]:
        """Return status and body; (0, "") if the server did not reply."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=HANGS_SECONDS)
        headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        try:
            link.request(method, path, json.dumps(body), headers)
            answer = link.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, http.client.HTTPException):
            return 0, ""
        finally:
            link.close()


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:  # it has just ended
        return ""


@pytest.fixture
def scene(current: Version, executor_process: StartProcess) -> Iterator[Scene]:
    made = Scene(start_executor=executor_process)
    made.open()
    yield made
    made.kill_web()


@contextmanager
def crowd(count: int, work: Callable[[int, threading.Event], None]) -> Iterator[None]:
    """Run `count` threads until the block ends; raise an exception that one of them raised."""
    stop = threading.Event()

    def one(number: int) -> None:
        try:
            work(number, stop)
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(one, number) for number in range(count)]
        try:
            yield
        finally:
            stop.set()
    for future in futures:
        future.result()


def test_every_acknowledged_submission_ends_once(scene: Scene) -> None:
    clients = [make_api(f"client-{number}") for number in range(3)]
    taken: list[str] = []

    def submit(number: int, stop: threading.Event) -> None:
        while not stop.is_set():
            body, secret = BRIEF.body(), clients[number].secret
            status, text = scene.call("POST", "/api/v1/executions", body, secret)
            assert status in {0, 201, 503}, text
            if status == 201:
                taken.append(json.loads(text)["id"])
            time.sleep(0.15)

    ended: dict[str, tuple[str, int]] = {}
    with crowd(3, submit):
        for number in range(CRASHES):
            time.sleep(secrets.randbelow(400) / 1000)
            kinds = ("executor", "web", "runner", "all")
            scene.crash(kinds[number] if number < len(kinds) else secrets.choice(kinds))
            remember(ended)
    until(lambda: not Execution.objects.exclude(state__in=FINAL_STATES).exists(), 60)
    remember(ended)
    assert set(taken) <= set(ended)
    assert taken
    assert {state for state, _ in ended.values()} <= {"succeeded", "crashed", "error"}
    assert all(attempt == 3 for state, attempt in ended.values() if state == "error")
    worker = json.loads((settings.STENCIL_DATA / "executor.lock").read_text())["identity"]
    scene.executor.send_signal(signal.SIGTERM)
    scene.executor.wait(HANGS_SECONDS)
    assert leases.sweep(f"{worker}-") == []
    assert orphans.sweep(f"{worker}-") == []


def remember(ended: dict[str, tuple[str, int]]) -> None:
    """Record every end; assert that each recorded end is unchanged."""
    rows = Execution.objects.filter(state__in=FINAL_STATES).values_list("id", "state", "attempt")
    for identifier, state, attempt in rows:
        assert ended.setdefault(str(identifier), (state, attempt)) == (state, attempt)


def test_promotions_under_load(current: Version, start_executor: Callable[..., Daemon]) -> None:
    for version in (current, factories.make_runnable_version(number=2)):
        home = settings.STENCIL_DATA / "templates/tiny" / version.directory
        (home / "tree/marker").write_text(str(version.number))
    clients: list[Api] = [make_api(f"client-{number}") for number in range(8)]
    start_executor(warm=1)
    versions: list[int] = []

    def submit(number: int, stop: threading.Event) -> None:
        while not stop.is_set():
            done = clients[number].submit(MARKER, wait=60)
            assert done["state"] == "succeeded", done
            assert done["stdout"] == f"{done['template']['version']}\n"
            versions.append(done["template"]["version"])

    with crowd(8, submit):
        for number in range(PROMOTIONS):
            wanted = 2 if number % 2 == 0 else 1
            promotions.promote(template="tiny", version=wanted, actor="ann", reason="to and fro")
            time.sleep(0.2)
    assert set(versions) == {1, 2}
