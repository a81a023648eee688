"""Test the limits of storage: bytes per client and day, and free disk space."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django import conf
from django.db import connection, connections
from django.utils import timezone
from pytest_django.fixtures import Settings

from execapp.errors import NoSpaceError, QuotaError
from execapp.executor.daemon import Daemon
from execapp.models import Execution, ExecutorHeartbeat, StoredBytes
from execapp.requests import SubmissionRequest
from execapp.services import claims, storage, submissions
from tests import minimal_template
from tests.execapp.conftest import ROOT, Api, make_api

RESERVE = 2 * 65_536  # output_bytes of the tiny template
HELLO = sum(len(path) + len(text) for path, text in minimal_template.HELLO.files.items())
WHOLE = storage.ROW_BYTES + HELLO + RESERVE


@pytest.fixture(autouse=True)
def look_at_the_disk() -> None:
    storage.disk.forget()


def stored(api: Api) -> int:
    row = StoredBytes.objects.filter(owner=f"token:{api.token.id}").first()
    return row.bytes if row else 0


def submit(api: Api, **more: Any) -> Any:
    return api.call("POST", "/executions", minimal_template.HELLO.body(**more))


def test_a_submission_is_charged_for_its_size_and_its_output_limit(api: Api, alive: object) -> None:
    assert submit(api).status_code == 201
    assert stored(api) == WHOLE
    more = {"stdin": "é" * 50, "args": ["abc"], "env": {"A": "12"}, "labels": {"a": "b"}}
    assert submit(api, **more, limits={"output_bytes": 10}).status_code == 201
    assert stored(api) == 2 * WHOLE - RESERVE + 20 + 100 + 3 + 3 + 2


def test_over_the_limit_it_is_refused_and_costs_nothing(
    api: Api, alive: object, settings: Settings
) -> None:
    settings.STENCIL_CLIENT_BYTES_PER_DAY = 2 * WHOLE
    assert [submit(api).status_code for _ in range(3)] == [201, 201, 429]
    refusal = submit(api, limits={"output_bytes": 0}, stdin="x" * 10)
    error = refusal.json()["error"]
    assert error["code"] == "quota_exceeded"
    assert error["details"] == {
        "limit_name": "bytes_per_day", "limit": 2 * WHOLE, "left": 0,
        "needed": WHOLE - RESERVE + 10,
    }  # fmt: skip
    assert 1 <= int(refusal["Retry-After"]) <= 24 * 3600
    assert stored(api) == 2 * WHOLE
    assert Execution.objects.count() == 2


def test_each_client_has_its_own(api: Api, alive: object, settings: Settings) -> None:
    settings.STENCIL_CLIENT_BYTES_PER_DAY = WHOLE
    same_name = make_api("ci-bot")
    assert submit(api).status_code == 201
    assert submit(api).status_code == 429
    assert submit(same_name).status_code == 201
    request = SubmissionRequest(client="ci-bot", template="tiny", mode="run", files=files())
    made, _ = submissions.submit(request)
    assert storage.owner_of(made) == "user:ci-bot"
    with pytest.raises(QuotaError):
        submissions.rerun(execution=made, client="ci-bot", token=None)


def files() -> list[dict[str, str]]:
    return [
        {"path": path, "content": text, "encoding": "utf8"}
        for path, text in minimal_template.HELLO.files.items()
    ]


def test_a_submission_over_the_daily_limit_is_refused_on_an_empty_day(
    api: Api, alive: object, settings: Settings
) -> None:
    settings.STENCIL_CLIENT_BYTES_PER_DAY = WHOLE - 1
    assert submit(api).status_code == 429
    assert not StoredBytes.objects.exists()


def test_a_known_key_and_a_wrong_request_cost_nothing(
    api: Api, alive: object, settings: Settings
) -> None:
    settings.STENCIL_CLIENT_BYTES_PER_DAY = WHOLE
    body, key = minimal_template.HELLO.body(), {"Idempotency-Key": "one"}
    assert api.call("POST", "/executions", body, **key).status_code == 201
    assert api.call("POST", "/executions", body, **key).status_code == 200
    assert api.call("POST", "/executions", {**body, "mode": "test"}, **key).status_code == 409
    assert submit(api, template="none").status_code == 404
    assert submit(api, files=[]).status_code == 422
    assert stored(api) == WHOLE


def test_a_full_queue_costs_nothing(api: Api, alive: object, settings: Settings) -> None:
    settings.STENCIL_QUEUE_LIMIT = 1
    assert [submit(api).status_code for _ in range(2)] == [201, 503]
    assert stored(api) == WHOLE


def test_a_rerun_counts(api: Api, alive: object, settings: Settings) -> None:
    settings.STENCIL_CLIENT_BYTES_PER_DAY = 2 * WHOLE
    made = submit(api).json()["id"]
    codes = [api.call("POST", f"/executions/{made}/rerun").status_code for _ in range(2)]
    assert codes == [201, 429]


def test_the_remaining_bytes_are_reported(api: Api, alive: object, settings: Settings) -> None:
    settings.STENCIL_CLIENT_BYTES_PER_DAY = 10 * WHOLE
    submit(api)
    me = api.get("/me")
    assert me["limits"]["bytes_per_day"] == 10 * WHOLE
    assert me["left"]["bytes"] == me["remaining"]["bytes"] == 9 * WHOLE
    settings.STENCIL_CLIENT_BYTES_PER_DAY = 0
    me = api.get("/me")
    assert me["limits"]["bytes_per_day"] is me["left"]["bytes"] is None
    submit(api)
    assert stored(api) == WHOLE


def test_at_the_end_the_real_output_is_charged(api: Api, executor: Daemon) -> None:
    made = api.submit(minimal_template.program("console.log('x'.repeat(999))"), wait=60)
    row = Execution.objects.get(id=made["id"])
    printed = len(row.stdout) + len(row.stderr) + len(json.dumps(row.tests) if row.tests else "")
    assert printed >= 1000
    assert stored(api) == storage.submitted_bytes(row) + printed


ENDS: dict[str, Callable[[Execution], object]] = {
    "our fault": lambda row: claims.fail(execution=row, attempt=1, error_id="x", message="x"),
    "cancelled while it ran": lambda row: (
        submissions.cancel(execution_id=row.id, actor="ann"),
        claims.requeue(execution=row, attempt=1),
    ),
    "its version was damaged": lambda row: claims.refuse(execution=row, attempt=1),
}


@pytest.mark.parametrize("end", ENDS)
def test_every_end_gives_the_reserve_back_once(end: str, api: Api, alive: object) -> None:
    submit(api)
    claimed = claims.claim(worker="w", rotation=claims.Rotation())
    assert claimed is not None
    ENDS[end](claimed)
    assert Execution.objects.get().finished
    assert stored(api) == WHOLE - RESERVE
    ENDS[end](claimed)
    assert stored(api) == WHOLE - RESERVE


def test_cancelled_in_the_queue_gives_the_reserve_back_once(api: Api, alive: object) -> None:
    made = submit(api).json()["id"]
    for _ in range(2):
        api.call("POST", f"/executions/{made}/cancel")
        assert stored(api) == WHOLE - RESERVE


def test_a_given_back_attempt_keeps_its_reserve(api: Api, alive: object) -> None:
    submit(api)
    claimed = claims.claim(worker="w", rotation=claims.Rotation())
    assert claimed is not None
    claims.requeue(execution=claimed, attempt=1)
    assert stored(api) == WHOLE


def test_a_new_day_is_empty_and_old_days_go(api: Api, alive: object) -> None:
    submit(api)
    StoredBytes.objects.update(day="2026-01-01")
    assert submit(api).status_code == 201
    assert StoredBytes.objects.count() == 2
    claims.forget_keys()
    assert StoredBytes.objects.count() == 1
    assert storage.forget(before=timezone.now() - timedelta(days=1)) == 0


def test_threads_that_race_for_the_last_bytes(api: Api, alive: object, settings: Settings) -> None:
    settings.STENCIL_CLIENT_BYTES_PER_DAY = 5 * WHOLE
    gate, seen = threading.Barrier(8), list[int]()

    def run() -> None:
        gate.wait()
        try:
            seen.extend(submit(Api(token=api.token, secret=api.secret)).status_code for _ in "ab")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == [201] * 5 + [429] * 11
    assert stored(api) == 5 * WHOLE


RACER = """
import sys, django
django.setup()
from django.conf import settings
from django.test import Client
settings.ROOT_URLCONF = "execapp.api.urls"
settings.STENCIL_CLIENT_BYTES_PER_DAY = int(sys.argv[1])
client, codes = Client(), []
print("ready", flush=True)
sys.stdin.readline()
for _ in range(10):
    answer = client.post("/api/v1/executions", sys.argv[3], content_type="application/json",
                         headers={"Authorization": f"Bearer {sys.argv[2]}"})
    codes.append(answer.status_code)
print(*codes)
"""


def test_processes_that_race_for_the_last_bytes(api: Api, alive: object) -> None:
    limit, body = str(7 * WHOLE), json.dumps(minimal_template.HELLO.body())
    env = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.execapp.executor.executor_settings",
        "STENCIL_DATA": str(conf.settings.STENCIL_DATA),
        "STENCIL_TEST_DATABASE": str(connection.settings_dict["NAME"]),
    }
    racers = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", RACER, limit, api.secret, body],
            env=env,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    codes: list[str] = []
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    # Three interpreters take long to start on a busy machine: the executor is alive all the while.
    ExecutorHeartbeat.objects.update(seen_at=timezone.now())
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("\n")
        racer.stdin.flush()
    for racer in racers:
        out, _ = racer.communicate(timeout=120)
        codes += out.split()
    assert sorted(codes) == ["201"] * 7 + ["429"] * 23
    assert stored(api) == 7 * WHOLE


def test_a_disk_that_is_nearly_full_takes_nothing(
    api: Api, alive: object, settings: Settings
) -> None:
    settings.STENCIL_FREE_BYTES = 2**60
    refusal = submit(api)
    assert refusal.status_code == 503
    assert int(refusal["Retry-After"]) == NoSpaceError.retry_after
    error = refusal.json()["error"]
    assert error["code"] == "no_space"
    assert 0 < error["details"]["free_bytes"] < 2**60 == error["details"]["least_free_bytes"]
    assert stored(api) == 0
    settings.STENCIL_FREE_BYTES = 0
    assert submit(api).status_code == 201


def test_the_disk_is_looked_at_once_a_second(
    api: Api, alive: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[object] = []
    look = shutil.disk_usage

    def count(path: str) -> object:
        looks.append(path)
        return look(path)

    monkeypatch.setattr(shutil, "disk_usage", count)
    clock = [100.0]
    monkeypatch.setattr(storage, "monotonic", lambda: clock[0])
    for _ in range(3):
        storage.check_disk()
    assert len(looks) == 1
    clock[0] += storage.LOOK_SECONDS
    storage.check_disk()
    assert len(looks) == 2
