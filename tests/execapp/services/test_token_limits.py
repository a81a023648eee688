"""Test the limits of a token: templates, requests, open executions, CPU seconds, bytes."""

import json
import os
import subprocess
import sys
import threading
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django import conf
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection, connections
from django.utils import timezone
from pytest_django.fixtures import Settings

from execapp.errors import InvalidRequestError
from execapp.executor import dispatcher
from execapp.models import ApiToken, Execution, ExecutorHeartbeat, RequestMeter, TokenUsage
from execapp.services import claims, request_meter, rotation, storage, token_limits, usage
from execapp.services.token_limits import TokenLimits
from templatemgr.models import AuditEvent
from tests import minimal_template
from tests.execapp.conftest import ROOT, Api

RESERVE = 2 * 65_536  # output_bytes of the tiny template


def limit(api: Api, **limits: Any) -> None:
    token_limits.replace_all(token_id=api.token.id, limits=TokenLimits(**limits), actor="ann")


def submit(api: Api, **more: Any) -> Any:
    return api.call("POST", "/executions", minimal_template.HELLO.body(**more))


def end_one(cpu_ms: int = 0) -> None:
    claimed = claims.claim(worker="w", rotation=claims.Rotation())
    assert claimed is not None
    values = {"state": "succeeded", "usage": {"cpu_ms": cpu_ms}, "timings": {}}
    assert claims._end(claimed, claimed.attempt, values)


def test_only_allowed_templates_run_also_by_a_rerun(api: Api, alive: object) -> None:
    made = submit(api).json()["id"]
    ApiToken.objects.filter(id=api.token.id).update(templates=["other"])
    for answer in (submit(api), submit(api, template="tiny@1"), submit(api, template="nope"),
                   api.call("POST", f"/executions/{made}/rerun")):  # fmt: skip
        assert answer.status_code == 403
        error = answer.json()["error"]
        assert error["code"] == "forbidden"
        assert error["details"]["templates"] == ["other"]
    assert Execution.objects.count() == 1
    limit(api, templates=("tiny",))
    assert submit(api).status_code == 201
    assert submit(api, template="tiny@1").status_code == 201
    assert api.get("/me")["templates"] == ["tiny"]


def test_open_executions_are_refused_until_one_ends(api: Api, alive: object) -> None:
    limit(api, open_executions=2)
    assert [submit(api).status_code for _ in range(3)] == [201, 201, 429]
    refusal = submit(api)
    assert refusal["Retry-After"] == "1"
    error = refusal.json()["error"]
    assert error["code"] == "quota_exceeded"
    assert error["details"] == {"limit_name": "open_executions", "limit": 2, "left": 0}
    me = api.get("/me")
    assert (me["limits"]["open_executions"], me["left"]["open_executions"]) == (2, 0)
    end_one()
    assert api.get("/me")["left"]["open_executions"] == 1
    assert [submit(api).status_code for _ in range(2)] == [201, 429]


def test_each_submission_of_a_batch_is_counted(api: Api, alive: object) -> None:
    limit(api, open_executions=2)
    body = {"submissions": [minimal_template.HELLO.body()] * 4}
    answer: Any = api.call("POST", "/executions/batch", body)
    items = json.loads(answer.getvalue())["items"]
    assert [item["status"] for item in items] == [201, 201, 429, 429]
    assert Execution.objects.count() == 2


def test_cpu_seconds_are_charged_at_the_end(
    api: Api, alive: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(api, cpu_seconds_per_day=2)
    for _ in range(3):
        assert submit(api).status_code == 201
    end_one(1_999)
    assert api.get("/me")["left"]["cpu_seconds"] == 0
    assert submit(api).status_code == 201
    end_one(1)
    refusal = submit(api)
    assert refusal.status_code == 429
    assert refusal.json()["error"]["details"]["limit_name"] == "cpu_seconds_per_day"
    assert 1 <= int(refusal["Retry-After"]) <= 86_400
    end_one(5_000)  # what is open may finish
    assert usage.cpu_ms_today(api.token.id) == 7_000
    TokenUsage.objects.update(day=storage.day_of(timezone.now() - timedelta(days=1)))
    assert submit(api).status_code == 201


def test_the_bytes_of_a_token_go_before_those_of_the_setting(
    api: Api, alive: object, settings: Settings
) -> None:
    settings.STENCIL_CLIENT_BYTES_PER_DAY = 0
    limit(api, bytes_per_day=2 * RESERVE)
    assert [submit(api).status_code for _ in range(2)] == [201, 429]
    before = api.get("/me")["left"]["bytes"]
    end_one()
    assert api.get("/me")["left"]["bytes"] == before + RESERVE


def test_settings_limit_tokens_without_limits_of_their_own(
    api: Api, alive: object, settings: Settings
) -> None:
    settings.STENCIL_TOKEN_OPEN_EXECUTIONS = 1
    settings.STENCIL_TOKEN_CPU_SECONDS_PER_DAY = 1
    assert [submit(api).status_code for _ in range(2)] == [201, 429]
    limit(api, open_executions=2)
    assert submit(api).status_code == 201
    end_one(1_000)
    assert submit(api).json()["error"]["details"]["limit_name"] == "cpu_seconds_per_day"


def test_every_end_is_counted_once(api: Api, alive: object) -> None:
    for _ in range(4):
        submit(api)
    queued = Execution.objects.order_by("-created_at").first()
    assert queued is not None
    for _ in range(2):
        api.call("POST", f"/executions/{queued.id}/cancel")
    end_one(7)
    failed = claims.claim(worker="w")
    assert failed is not None
    for _ in range(2):
        claims.fail(execution=failed, attempt=1, error_id="x", message="x")
    assert claims.claim(worker="dead") is not None
    Execution.objects.filter(worker="dead").update(attempt=99)
    claims.take_over(worker="dead")
    row = TokenUsage.objects.get()
    assert (row.executions, row.cpu_ms, row.template_name) == (4, 7, "tiny")


def test_requests_are_counted_in_a_row(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [10**18]
    monkeypatch.setattr(request_meter, "time_ns", lambda: clock[0])
    limit(api, requests_per_minute=7)
    answers = [api.call("GET", "/me") for _ in range(9)]
    assert [each.status_code for each in answers] == [200] * 7 + [429] * 2
    assert [each["RateLimit-Remaining"] for each in answers] == list("654321000")
    assert answers[-1]["Retry-After"] == "9"
    assert answers[-1]["RateLimit-Limit"] == "7"
    assert answers[-1]["RateLimit-Reset"] == "60"
    clock[0] += 8 * 10**9
    assert api.call("GET", "/me").status_code == 429
    clock[0] += 10**9
    assert [api.call("GET", "/me").status_code for _ in range(2)] == [200, 429]
    clock[0] += 120 * 10**9
    assert api.get("/me")["left"]["requests"] == 6


def test_a_clock_that_was_set_back_locks_nobody_out(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [10**18]
    monkeypatch.setattr(request_meter, "time_ns", lambda: clock[0])
    limit(api, requests_per_minute=2)
    assert [api.call("GET", "/me").status_code for _ in range(3)] == [200, 200, 429]
    clock[0] -= 5 * 10**9  # another machine's clock is a little behind: still the same budget
    assert api.call("GET", "/me").status_code == 429
    clock[0] -= 3600 * 10**9
    assert [api.call("GET", "/me").status_code for _ in range(3)] == [200, 200, 429]


@pytest.mark.parametrize("number", [1, 7, 59, 999, 2_000])
def test_a_full_budget_admits_exactly_its_number(
    api: Api, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_meter, "time_ns", lambda: 10**18)
    taken = [request_meter.take(api.token.id, number)[0] for _ in range(number + 2)]
    assert taken == [True] * number + [False] * 2


def test_a_rotated_token_keeps_its_counts_and_a_revoked_one_counts_nothing(api: Api) -> None:
    limit(api, requests_per_minute=2)
    api.get("/me")
    _, secret = rotation.rotate(token_id=api.token.id, actor="ann", grace=timedelta(hours=1))
    new = Api(token=api.token, secret=secret)
    assert [new.call("GET", "/me").status_code for _ in range(2)] == [200, 429]
    assert api.call("GET", "/me").status_code == 429
    ApiToken.objects.update(revoked_at=timezone.now())
    before = RequestMeter.objects.get().full_at
    assert new.call("GET", "/me").status_code == 401
    assert RequestMeter.objects.get().full_at == before


def test_a_token_that_asks_for_a_core_gets_one(api: Api, alive: object) -> None:
    seen: list[bool] = []

    def admit(candidate: claims.Candidate) -> bool:
        seen.append(dispatcher.need_of(candidate).exclusive)
        return True

    for exclusive in (False, True):
        limit(api, exclusive=exclusive)
        submit(api)
        assert claims.claim_some(worker="w", admit=admit)
    assert seen == [False, True]


def test_wrong_limits_are_named_and_a_change_is_on_record(api: Api) -> None:
    wrong = TokenLimits(templates=("nope",), requests_per_minute=0, bytes_per_day=2**60)
    with pytest.raises(InvalidRequestError) as caught:
        token_limits.replace_all(token_id=api.token.id, limits=wrong, actor="ann")
    paths = [field.path for field in caught.value.fields]
    assert paths == ["requests_per_minute", "bytes_per_day", "templates.nope"]
    for _ in range(2):
        limit(api, open_executions=3)
    [event] = AuditEvent.objects.filter(action="token.limits")
    assert (event.details["from"], event.details["to"]) == ({}, {"open_executions": 3})


def test_the_command_makes_a_token_with_limits(api: Api, current: object) -> None:
    call_command(
        "create_token", "ci", "--template", "tiny", "--requests-per-minute", "5",
        "--open-executions", "2", "--cpu-seconds-per-day", "60", "--bytes-per-day", "1000",
        "--exclusive", stdout=StringIO(),
    )  # fmt: skip
    assert token_limits.of(ApiToken.objects.get(name="ci")) == TokenLimits(
        templates=("tiny",),
        requests_per_minute=5,
        open_executions=2,
        cpu_seconds_per_day=60,
        bytes_per_day=1000,
        exclusive=True,
    )


def limit_token(token: ApiToken, *options: str) -> str:
    out = StringIO()
    call_command("limit_token", token.prefix, *options, stdout=out)
    return out.getvalue()


def test_the_command_changes_what_is_given_and_keeps_the_rest(api: Api, current: object) -> None:
    limit(api, open_executions=3, bytes_per_day=1000, exclusive=True)
    said = limit_token(api.token, "--open-executions", "4", "--template", "tiny")
    assert said == (
        "ci-bot: templates tiny; requests per minute default; open executions 4; "
        "cpu seconds per day default; bytes per day 1,000; exclusive yes\n"
    )
    event = AuditEvent.objects.filter(action="token.limits").latest("sequence")
    assert event.actor == "limit_token"
    assert (event.details["from"]["open_executions"], event.details["to"]["open_executions"]) == (
        3,
        4,
    )
    limit_token(
        api.token, "--template", "all", "--bytes-per-day", "default", "--exclusive", "no",
        "--cpu-seconds-per-day", "60", "--actor", "ann",
    )  # fmt: skip
    api.token.refresh_from_db()
    assert token_limits.of(api.token) == TokenLimits(open_executions=4, cpu_seconds_per_day=60)
    count = AuditEvent.objects.count()
    assert "open executions 4" in limit_token(api.token)
    assert AuditEvent.objects.count() == count


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--open-executions", "0"], "open_executions: Give 1 to 1,000,000"),
        (["--open-executions", "-1"], "expected one argument|give a number, or default"),
        (["--bytes-per-day", "many"], "'many': give a number, or default"),
        (["--template", "nope", "--open-executions", "5"], "no template 'nope'"),
        (["--exclusive", "perhaps"], "invalid choice: 'perhaps'"),
    ],
)
def test_the_command_refuses_and_changes_nothing(api: Api, options: list[str], said: str) -> None:
    limit(api, open_executions=3)
    with pytest.raises(CommandError, match=said):
        limit_token(api.token, *options)
    api.token.refresh_from_db()
    assert token_limits.of(api.token) == TokenLimits(open_executions=3)
    with pytest.raises(CommandError, match="No usable tokens begin with"):
        call_command("limit_token", "stn_nobody")


def test_threads_that_race_for_the_last_place(api: Api, alive: object) -> None:
    limit(api, open_executions=5)
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


def test_ends_that_race_are_all_counted(api: Api, alive: object) -> None:
    for _ in range(16):
        submit(api)
    claimed = [claims.claim(worker="w") for _ in range(16)]
    gate, ended = threading.Barrier(4), list[bool]()

    def run(first: int) -> None:
        gate.wait()
        try:
            for execution in claimed[first::4] * 2:  # the second end of each changes nothing
                assert execution is not None
                values = {"state": "succeeded", "usage": {"cpu_ms": 3}, "timings": {}}
                ended.append(claims._end(execution, execution.attempt, values))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ended) == [False] * 16 + [True] * 16
    row = TokenUsage.objects.get()
    assert (row.executions, row.cpu_ms) == (16, 48)


RACER = """
import sys, django
django.setup()
from django.conf import settings
from django.test import Client
settings.ROOT_URLCONF = "execapp.api.urls"
client, codes = Client(), []
print("ready", flush=True)
sys.stdin.readline()
for _ in range(10):
    answer = client.post("/api/v1/executions", sys.argv[2], content_type="application/json",
                         headers={"Authorization": f"Bearer {sys.argv[1]}"})
    codes.append(answer.status_code)
print(*codes)
"""


# A budget of one request a minute is whole again after a minute: its race never sees a refill.
@pytest.mark.parametrize(
    ("limits", "passing"), [({"open_executions": 7}, 7), ({"requests_per_minute": 1}, 1)]
)
def test_processes_that_race(api: Api, alive: object, limits: dict[str, int], passing: int) -> None:
    limit(api, **limits)
    env = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.execapp.executor.executor_settings",
        "STENCIL_DATA": str(conf.settings.STENCIL_DATA),
        "STENCIL_TEST_DATABASE": str(connection.settings_dict["NAME"]),
    }
    body = json.dumps(minimal_template.HELLO.body())
    racers = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", RACER, api.secret, body],
            env=env,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    codes: list[str] = []
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    ExecutorHeartbeat.objects.update(seen_at=timezone.now())
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("\n")
        racer.stdin.flush()
    for racer in racers:
        out, _ = racer.communicate(timeout=120)
        codes += out.split()
    assert sorted(codes) == ["201"] * passing + ["429"] * (20 - passing)
