"""Test faults of the machine, each in three ways.

Executions wait instead of ending as our error, `/readyz` and the API name the cause, and the
waiting executions run when the fault is over.
"""

import errno
import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django import conf
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from core.engine import get_engine
from core.engine.local.sockets import socket_path
from execapp.executor.daemon import Daemon
from execapp.models import Execution, ExecutorHeartbeat
from execapp.services import probes, schema
from sandbox import resources
from sandbox.errors import IsolationUnavailableError, StartupError
from templatemgr import data_paths
from templatemgr.models import HealthState, Version
from tests.execapp.conftest import Api, state_of, until
from tests.minimal_template import HELLO, program

StartProcess = Callable[..., subprocess.Popen[str]]
WAITS = program("setTimeout(() => console.log('done'), 500)")


@pytest.fixture(autouse=True)
def probed_anew() -> Iterator[None]:
    probes.forget()
    yield
    probes.forget()


def checks() -> dict[str, str]:
    """Return the failed checks of `/readyz` by name."""
    probes.forget()
    response = Client().get("/readyz")
    if response.status_code == 200:
        return {}
    error = response.json()["error"]
    return {
        check["name"]: check["detail"] for check in error["details"]["checks"] if not check["ok"]
    }


@contextmanager
def few_descriptors(pid: int, spare: int) -> Iterator[None]:
    """Let a process open `spare` more files and no more."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    numbers = [int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()]
    # A sandbox that starts at this moment holds some above 256 until it runs.
    open_now = max(number for number in numbers if number < 256)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_now + spare, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def test_without_descriptors_the_queue_keeps_and_is_run_afterwards(
    api: Api, executor_process: StartProcess
) -> None:
    process = executor_process("--slots", "2", "--warm", "2")
    assert api.submit(HELLO, wait=60)["state"] == "succeeded"
    with few_descriptors(process.pid, 3):
        made = [api.submit(HELLO) for _ in range(20)]
        until(lambda: "executor" in checks())
        said = checks()["executor"]
        assert "cannot start a sandbox" in said
        assert "file descriptors" in said
        assert not Execution.objects.filter(state="error").exists()
        assert Execution.objects.filter(state="queued").count() >= 18
        made += [api.submit(HELLO) for _ in range(5)]  # the queue takes more meanwhile
    for one in made:
        done = api.get(f"/executions/{one['id']}?wait=60")
        assert (done["state"], done["attempts"]) == ("succeeded", 1)
    until(lambda: not checks())


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory"),
        (OSError(errno.EAGAIN, "Resource temporarily unavailable"), "processes"),
        (OSError(errno.ENOSPC, "No space left on device"), "namespaces"),
        (OSError(errno.EIO, "Input/output error"), "disk"),
        (IsolationUnavailableError("bwrap: No permissions to create new namespace"), "namespace"),
        (StartupError("bubblewrap did not start in time"), "did not start in time"),
        (MemoryError(), "memory"),
    ],
)
def test_a_fault_of_the_machine_keeps_the_queue_and_is_named(
    api: Api,
    start_executor: Callable[..., Daemon],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    word: str,
) -> None:
    start_executor()
    with monkeypatch.context() as patch:
        # Nothing is started by anybody: neither a submission's sandbox nor the trial.
        patch.setattr("sandbox.isolation.launch._open_ends", _raiser(error))
        made = [api.submit(HELLO) for _ in range(6)]
        until(lambda: word in checks().get("executor", ""))
        states = set(Execution.objects.values_list("state", flat=True))
        assert states <= {"queued", "running", "succeeded"}
    for one in made:
        done = api.get(f"/executions/{one['id']}?wait=60")
        assert (done["state"], done["attempts"]) == ("succeeded", 1)
    until(lambda: not checks())


def _raiser(error: Exception) -> Callable[..., None]:
    def fail(*_arguments: object) -> None:
        raise error

    return fail


def test_the_pool_frees_its_sandboxes_when_none_can_be_started(
    api: Api, start_executor: Callable[..., Daemon], monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = start_executor(warm=2)
    until(lambda: daemon.context.pool.count() > 0)
    with monkeypatch.context() as patch:
        patch.setattr(resources, "try_start", _refuse)
        daemon.context.breaker._trial = _refuse
        assert daemon.context.breaker.blames_machine(OSError(24, "Too many open files"))
        assert daemon.context.pool.count() == 0


def _refuse(**_options: object) -> None:
    raise OSError(24, "Too many open files")


def test_descriptors_are_raised_at_start_and_the_pool_stays_within_them(
    api: Api, start_executor: Callable[..., Daemon]
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        daemon = start_executor(warm=50)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == hard
        assert daemon.context.pool._most == resources.sandboxes_within(hard, slots=2)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("fault", ["deleted", "replaced by a file", "replaced by another socket"])
def test_a_socket_that_is_gone_is_made_again(api: Api, executor: Daemon, fault: str) -> None:
    path = socket_path()
    path.unlink()
    if fault == "replaced by a file":
        path.write_text("not a socket")
    elif fault == "replaced by another socket":
        os.mknod(path, 0o600 | 0o140000)
    until(lambda: get_engine().connection_error() is None)
    made = api.submit(HELLO, wait=60)
    assert made["state"] == "succeeded"
    assert not checks()


def test_a_folder_in_place_of_the_socket_is_logged_once_and_blocks_no_start(
    api: Api, executor: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    path = socket_path()
    path.unlink()
    path.mkdir()
    try:
        until(lambda: folder_errors(caplog))
        assert "socket" in checks()
        assert api.submit(HELLO, wait=60)["state"] == "succeeded"
        until(lambda: daemon_beats_again())
        assert folder_errors(caplog) == 1
    finally:
        path.rmdir()
    until(lambda: get_engine().connection_error() is None)


def folder_errors(caplog: pytest.LogCaptureFixture) -> int:
    """Return how often the heartbeat logged that a folder is in place of the socket.

    A heartbeat between the removal of the socket and the making of the folder can fail otherwise.
    """
    logged = [
        record.exc_info[1]
        for record in caplog.records
        if record.exc_info and "the heartbeat: unhandled error" in record.getMessage()
    ]
    return sum(isinstance(error, IsADirectoryError) for error in logged)


def daemon_beats_again() -> bool:
    """Wait for a heartbeat that is written after now."""
    before = ExecutorHeartbeat.objects.get().seen_at
    return bool(until(lambda: ExecutorHeartbeat.objects.get().seen_at > before))


def test_a_tree_that_is_gone_ends_one_execution_with_its_reason_and_stops_the_rest(
    api: Api, executor: Daemon, current: Version
) -> None:
    tree = data_paths.version(current) / "tree"
    tree.rename(tree.with_name("elsewhere"))
    made = api.submit(HELLO, wait=60)
    assert made["state"] == "error"
    assert "was found damaged" in made["message"]
    current.health.refresh_from_db()
    assert current.health.state == HealthState.QUARANTINED
    refused = api.call("POST", "/executions", HELLO.body("run"))
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "template_unavailable")
    assert executor.context.breaker.trouble is None, "one template's trouble is its own"


def test_an_executor_that_cannot_write_its_sign_of_life_still_counts(
    api: Api, executor: Daemon
) -> None:
    executor.heartbeat.stop()  # no heartbeat any more, as on a full disk; slots and socket go on
    ExecutorHeartbeat.objects.update(seen_at=timezone.now() - timedelta(minutes=5))
    assert api.submit(HELLO, wait=60)["state"] == "succeeded"


def test_a_stopping_executor_is_not_reported_as_missing(api: Api, alive: ExecutorHeartbeat) -> None:
    ExecutorHeartbeat.objects.update(draining=True)
    refused = api.call("POST", "/executions", HELLO.body("run"))
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (503, "no_executor")
    assert "is stopping" in error["message"]


@pytest.mark.parametrize("direction", ["older", "newer"])
def test_a_schema_that_does_not_fit_is_refused_at_start_and_named(
    api: Api, alive: ExecutorHeartbeat, direction: str
) -> None:
    rows = MigrationRecorder(connection).migration_qs
    last = rows.filter(app="execapp").order_by("-name").first()
    assert last is not None
    if direction == "older":
        last.delete()
    else:
        last = rows.create(app="execapp", name="9999_from_the_future")
    try:
        said = checks()["schema"]
        assert last.name in said
        assert ("manage.py migrate" in said) == (direction == "older")
        for command in ("executor", "web"):
            with pytest.raises(CommandError, match=last.name):
                call_command(command)
    finally:
        if direction == "older":
            rows.create(app=last.app, name=last.name)
        else:
            last.delete()
    assert schema.misfit() is None


def test_a_damaged_database_is_named_by_readyz_and_by_doctor(
    tmp_path: Path, api: Api, executor: Daemon
) -> None:
    api.submit(HELLO, wait=60)
    copy = tmp_path / "damaged.sqlite3"
    name = connection.settings_dict["NAME"]
    with closing(sqlite3.connect(name)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
        (root,) = target.execute(
            "SELECT rootpage FROM sqlite_master WHERE name='execapp_execution'"
        ).fetchone()
        (size,) = target.execute("PRAGMA page_size").fetchone()
    with copy.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(os.urandom(size))
    said = _manage(copy, "doctor", "--database")
    assert "missing" in said
    assert "database integrity" in said
    found = _readiness(copy)
    assert found["database"]["ok"] is False
    assert "malformed" in found["database"]["detail"]
    sound = _manage(Path(name), "doctor", "--database")
    assert "every page, index and reference is in order" in sound


def test_damage_that_a_query_meets_is_remembered(
    alive: ExecutorHeartbeat, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not checks()
    damaged = sqlite3.DatabaseError("database disk image is malformed")
    damaged.sqlite_errorcode = sqlite3.SQLITE_CORRUPT_INDEX

    def meets(**_filters: object) -> None:
        raise DatabaseError("database disk image is malformed") from damaged

    monkeypatch.setattr("execapp.history.page", meets)
    listed = api.call("GET", "/executions")
    assert (listed.status_code, listed.json()["error"]["code"]) == (500, "internal")
    response = Client().get("/readyz")
    assert response.status_code == 503
    assert "doctor --database" in response.content.decode()


def _environment(database: Path) -> dict[str, str]:
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.execapp.executor.executor_settings",
        "STENCIL_DATA": str(conf.settings.STENCIL_DATA),
        "STENCIL_TEST_DATABASE": str(database),
    }


def _manage(database: Path, *arguments: str) -> str:
    manage = str(Path(conf.settings.BASE_DIR) / "manage.py")
    done = subprocess.run(
        [sys.executable, manage, *arguments],
        env=_environment(database),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.stdout + done.stderr


def _readiness(database: Path) -> dict[str, Any]:
    code = (
        "import django, json; django.setup()\n"
        "from execapp.services import health\n"
        "print(json.dumps({r.name: {'ok': r.ok, 'detail': r.detail} for r in health.readiness()}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=_environment(database),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        cwd=conf.settings.BASE_DIR,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def small_disk(tmp_path: Path, settings: Settings) -> Iterator[Path]:
    """Yield a data directory on a tmpfs of 1 MiB, for the probe of the disk."""
    if os.geteuid() != 0:
        pytest.fail("run as root: a small disk has to be mounted")
    data = tmp_path / "small"
    data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(data)], check=True)
    settings.STENCIL_DATA = data
    yield data
    subprocess.run(["umount", str(data)], check=True)


def test_a_full_disk_is_called_so(api: Api, alive: ExecutorHeartbeat, small_disk: Path) -> None:
    assert not checks()
    (small_disk / "filler").write_bytes(bytes(1024 * 1024 - 4096))
    assert "No space left on device" in checks()["disk"]
    (small_disk / "filler").unlink()
    assert not checks()


def test_start_up_goes_on_when_a_folder_blocks_a_link(
    api: Api, start_executor: Callable[..., Daemon], current: Version
) -> None:
    link = data_paths.template("tiny") / "current"
    link.unlink(missing_ok=True)
    link.mkdir()
    (link / "kept").write_text("a person put this here")
    start_executor()
    assert api.submit(HELLO, wait=60)["state"] == "succeeded"


def test_a_killed_program_is_not_blamed_on_the_machine(api: Api, executor: Daemon) -> None:
    """A program that dies by a signal is a result, and opens no breaker."""
    done = api.submit(program("process.kill(process.pid, 'SIGKILL')"), wait=60)
    assert done["state"] == "crashed"
    assert done["signal"] in ("SIGKILL", int(signal.SIGKILL))
    assert state_of(done) == "crashed"
    assert executor.context.breaker.trouble is None


@pytest.mark.parametrize(
    ("step", "what"),
    [
        ("templatemgr.build.builds.claim", "the build worker"),
        ("templatemgr.build.lookups.claim", "the lookup worker"),
        ("templatemgr.maintenance.verification.claim", "the verification worker"),
        ("execapp.services.claims.claim_some", "the execution worker"),
    ],
)
def test_a_loop_that_fails_every_second_is_logged_once_and_once_when_it_is_over(
    current: Version,
    start_executor: Callable[..., Daemon],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    step: str,
    what: str,
) -> None:
    tries: list[int] = []

    def fails(**_options: object) -> None:
        tries.append(1)
        raise ValueError("damaged")

    with monkeypatch.context() as patch:
        patch.setattr(step, fails)
        start_executor()
        until(lambda: len(tries) >= 3)
    until(lambda: f"{what} works again" in caplog.text)
    assert caplog.text.count(f"{what}: unhandled error, continuing") == 1
    assert caplog.text.count("Traceback") == 1
