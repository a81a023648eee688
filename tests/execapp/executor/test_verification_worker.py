"""Test that a real executor finds, heals and verifies damage in served versions, under load."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from execapp.executor.daemon import Daemon
from execapp.models import Execution
from templatemgr import catalog, data_paths, store, version_runtimes
from templatemgr.maintenance import verification
from templatemgr.models import AuditEvent, Verification, Version, VersionHealth
from templatemgr.promotion import promotions
from templatemgr.trees import hashing, manifests
from tests import factories
from tests.execapp.conftest import Api, make_api, until
from tests.templatemgr.conftest import run_build
from tests.tiny_definition import write_definition

BODY = {"template": "tiny", "mode": "run", "files": [{"path": "main.js", "content": "1"}]}
WHOLE = b"filled\nhello\n"


@pytest.fixture
def version(tmp_path: Path, settings: Settings, committed: None) -> Iterator[Version]:
    """Build a version with real npm that prints a file of its tree; promote it."""
    settings.STENCIL_DATA = tmp_path / "var"
    settings.STENCIL_DEFINITIONS = tmp_path / "definitions"
    settings.STENCIL_DATA.mkdir()
    write_definition(settings.STENCIL_DEFINITIONS / "tiny")
    catalog.sync_definitions()
    made = run_build().version
    assert made is not None
    promotions.promote(template="tiny", version=1, actor="ann", reason="r")
    yield made
    version_runtimes._kept_runtime.cache_clear()
    store.remove(settings.STENCIL_DATA)


@pytest.fixture
def start(version: Version, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Daemon]]:
    """Yield a function that starts executors in this process; stop them at the end."""
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "tests.execapp.executor.executor_settings")
    monkeypatch.setenv("STENCIL_TEST_DATABASE", str(connection.settings_dict["NAME"]))
    started: list[Daemon] = []

    def begin(**options: int) -> Daemon:
        daemon = Daemon(grace=0.2, **{"slots": 2, "warm": 1, **options})
        daemon.start()
        started.append(daemon)
        return daemon

    yield begin
    for daemon in started:
        if not daemon.stopped:
            daemon.stop()


def flip_a_byte(path: Path) -> int:
    """Change a file in place, as a failing disk or an intruder would; return its inode."""
    mode = path.stat().st_mode
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.write(b"J")
    path.chmod(mode)
    return path.stat().st_ino


def outputs(**chosen: object) -> list[bytes]:
    """Return the output of every execution that succeeded."""
    rows = Execution.objects.filter(state="succeeded", **chosen)
    return [bytes(text) for text in rows.values_list("stdout", flat=True)]


def submit_until(done: threading.Event, api: Api, refused: list[int]) -> None:
    """Submit and wait for the end, again and again, until `done` is set; record each 503."""
    try:
        while not done.is_set():
            status = api.call("POST", "/executions", {**BODY, "wait": True}).status_code
            if status == 503:
                refused.append(status)
                time.sleep(0.05)
            else:
                assert status == 201
    finally:
        connection.close()


def test_a_flipped_byte_under_load_is_healed_and_not_served_once_found(
    start: Callable[..., Daemon], version: Version
) -> None:
    start()
    file = data_paths.version(version) / "tree/said.txt"
    refused: list[int] = []
    done = threading.Event()
    clients = [
        threading.Thread(target=submit_until, args=(done, make_api(f"client-{n}"), refused))
        for n in range(3)
    ]
    for client in clients:
        client.start()
    try:
        until(lambda: Execution.objects.filter(state="succeeded").count() >= 10)
        damaged = flip_a_byte(file)
        until(lambda: b"Jello" in b"".join(outputs()))
        asked = verification.request(template="tiny", version=1, actor="ann")
        until(lambda: Verification.objects.get(pk=asked.pk).finished, 60)
        until(lambda: VersionHealth.objects.get().state == "verified", 240)
        served = Execution.objects.filter(state="succeeded").count()
        until(lambda: Execution.objects.filter(state="succeeded").count() >= served + 10)
    finally:
        done.set()
        for client in clients:
            client.join()
    found = AuditEvent.objects.get(action="version.quarantine")
    ended = Verification.objects.get(pk=asked.pk)
    assert (ended.state, ended.problems) == ("quarantined", 1)
    assert ended.build is not None
    ended.build.refresh_from_db()
    assert ended.build.state == "reproduced"
    # Executions that were claimed after the damage was known ran on whole files or not at all.
    assert set(outputs(started_at__gt=found.time)) == {WHOLE}
    stopped = Execution.objects.filter(started_at__gt=found.time).exclude(state="succeeded")
    assert all("so the program did not run" in execution.message for execution in stopped)
    assert refused or stopped
    # A new inode, and its digest is the manifest's.
    home = data_paths.version(version)
    manifest = manifests.load((home / "manifest.json.gz").read_bytes())
    entry = next(entry for entry in manifest.files if entry.path == "said.txt")
    assert file.stat().st_ino != damaged
    assert hashing.hash_file(file) == entry.digest
    assert manifest.digest() == version.tree_digest
    actions = list(AuditEvent.objects.order_by("sequence").values_list("action", flat=True))
    recorded = [action for action in actions if action.startswith("version.")]
    # Until the rebuild's process starts, the version may be checked once or twice more.
    recorded = [action for action, _ in itertools.groupby(recorded)]
    assert recorded == [
        "version.create",
        "version.promote",
        "version.verify_request",
        "version.quarantine",
        "version.verify",
        "version.heal",
    ]


def test_a_submission_accepted_before_the_damage_was_known_does_not_run(
    start: Callable[..., Daemon], version: Version
) -> None:
    api = make_api("client")
    factories.make_heartbeat_row()
    waiting = api.call("POST", "/executions", BODY).json()
    VersionHealth.objects.update(state="quarantined")
    start(warm=0)
    ended = api.get(f"/executions/{waiting['id']}?wait=60")
    assert ended["state"] == "error"
    assert "tiny@1 was found damaged after the submission" in ended["message"]


def test_a_version_that_cannot_be_healed_is_a_503_with_the_way_back(
    start: Callable[..., Daemon], version: Version, settings: Settings
) -> None:
    write_definition(settings.STENCIL_DEFINITIONS / "tiny", pin="6.0.0")
    assert run_build().version is not None
    promotions.promote(template="tiny", version=2, actor="ann", reason="r")
    start()
    home = data_paths.version(catalog.get_version(template="tiny", number=2))
    flip_a_byte(home / "tree/node_modules/is-number/index.js")
    flip_a_byte(home / "inputs/said.txt")  # nothing to rebuild it from
    write_definition(settings.STENCIL_DEFINITIONS / "tiny")
    asked = verification.request(template="tiny", version=2, actor="ann")
    until(lambda: Verification.objects.get(pk=asked.pk).finished, 60)
    api = make_api("client")
    refusal = api.call("POST", "/executions", BODY)
    assert refusal.status_code == 503
    assert refusal.json()["error"]["code"] == "template_unavailable"
    assert "restore them from a backup" in VersionHealth.objects.get(version__number=2).message
    promotions.roll_back(template="tiny", actor="ann", reason="damaged")
    done = api.call("POST", "/executions", {**BODY, "wait": True}).json()
    assert done["stdout"] == WHOLE.decode()


def test_a_due_version_is_verified_and_healed_without_a_request(
    start: Callable[..., Daemon], version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = data_paths.version(version) / "tree/said.txt"
    replace_file(file, "evil\n")
    VersionHealth.objects.update(checked_at=timezone.now() - timedelta(hours=25))
    start(warm=0)
    until(lambda: Verification.objects.filter(state="healed").exists())
    assert file.read_text() == "hello\n"
    actors = AuditEvent.objects.filter(action="version.heal").values_list("actor", flat=True)
    assert list(actors) == ["schedule"]


def test_an_executor_takes_over_the_verification_of_a_dead_one(
    start: Callable[..., Daemon], version: Version
) -> None:
    asked = verification.request(template="tiny", version=1, actor="ann")
    first = start(warm=0)
    until(lambda: Verification.objects.get(pk=asked.pk).finished)
    worker = first.context.worker
    first.stop()
    # The state that a killed executor leaves: claimed, without a worker.
    Verification.objects.filter(pk=asked.pk).update(
        state="running", worker=worker, lease_until=timezone.now() + timedelta(hours=1)
    )
    start(warm=0)
    until(lambda: Verification.objects.get(pk=asked.pk).finished)
    assert Verification.objects.get(pk=asked.pk).attempt == 2


def replace_file(file: Path, text: str) -> None:
    """Put another file in its place, in this tree alone."""
    file.parent.chmod(0o755)
    file.unlink()
    file.write_text(text)
    file.chmod(0o444)
    file.parent.chmod(0o555)
