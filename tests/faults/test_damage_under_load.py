"""Test damage while a real executor runs submissions in real sandboxes."""

import threading
from collections.abc import Iterator

import pytest
from django.db import connection

from execapp.executor import verification_worker
from execapp.executor.daemon import Daemon
from execapp.models import Execution, ExecutorHeartbeat
from templatemgr.maintenance import verification
from templatemgr.models import AuditEvent, Verification
from tests.execapp.conftest import make_api, until
from tests.faults import damage
from tests.faults.installation import BODY, Installation

WHOLE = b"filled\nhello\n"
UNFILLED = b"hello\n"  # while the cache is away


@pytest.fixture
def executor(place: Installation, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    """Start an executor with a warm sandbox; its full verification is due after the test."""
    monkeypatch.setattr(verification_worker, "READ_ALL_SECONDS", 3600.0)
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "tests.execapp.executor.executor_settings")
    monkeypatch.setenv("STENCIL_TEST_DATABASE", str(connection.settings_dict["NAME"]))
    ExecutorHeartbeat.objects.all().delete()
    daemon = Daemon(slots=1, warm=1, grace=0.2)
    daemon.start()
    yield daemon
    daemon.stop()


def submit_until(done: threading.Event) -> None:
    api = make_api("busy")
    try:
        while not done.is_set():
            status = api.call("POST", "/executions", {**BODY, "wait": True}).status_code
            assert status in (201, 503)
    finally:
        connection.close()


@pytest.mark.parametrize(
    "name",
    ["another inode of what is printed", "missing folder", "cache byte", "objects/xx a file"],
)
def test_known_damage_is_not_served(place: Installation, executor: Daemon, name: str) -> None:
    done = threading.Event()
    client = threading.Thread(target=submit_until, args=(done,))
    client.start()
    try:
        until(lambda: Execution.objects.filter(state="succeeded").count() >= 3)
        known = AuditEvent.objects.count()
        if name in damage.BY_NAME:
            damage.BY_NAME[name].do(place)
        else:
            damage.replace(place.tree / "said.txt", damage.text("evil\n"))
        asked = verification.request(template="fake", version=2, actor="ann")
        until(lambda: Verification.objects.get(pk=asked.pk).finished, 120)
        until(lambda: place.health.severity == "none", 120)
        before = Execution.objects.filter(state="succeeded").count()
        until(lambda: Execution.objects.filter(state="succeeded").count() >= before + 3)
    finally:
        done.set()
        client.join()
    found = AuditEvent.objects.filter(action__in=("version.quarantine", "version.verify"))
    since = found.filter(sequence__gt=known).order_by("sequence")[0].time
    ran = Execution.objects.filter(started_at__gt=since, state="succeeded")
    allowed = {WHOLE, UNFILLED} if name == "cache byte" else {WHOLE}
    assert {bytes(text) for text in ran.values_list("stdout", flat=True)} <= allowed
    assert place.whole()
    stopped = Execution.objects.filter(started_at__gt=since).exclude(state="succeeded")
    assert all("so the program did not run" in row.message for row in stopped.filter(state="error"))
