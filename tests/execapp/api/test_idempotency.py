"""Test `Idempotency-Key`: the same key and body return the same execution."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from execapp.executor.daemon import Daemon
from execapp.models import Execution, IdempotencyKey
from execapp.services import claims
from templatemgr.models import Version
from tests.execapp.conftest import Api, make_api
from tests.minimal_template import HELLO

BODY = HELLO.body()


def send(api: Api, body: object = BODY, key: str = "k-1") -> Any:
    return api.call("POST", "/executions", body, **{"Idempotency-Key": key})


def test_same_key_and_body_in_flight(api: Api, alive: object) -> None:
    first, second = send(api), send(api)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
    assert second.json()["state"] == "queued"
    assert Execution.objects.count() == 1


def test_same_key_after_the_end_and_with_wait(api: Api, executor: Daemon) -> None:
    body = {**BODY, "wait": True}
    first, second = send(api, body), send(api, body)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()


def test_order_of_keys_makes_no_other_body(api: Api, alive: object) -> None:
    first = send(api)
    assert send(api, dict(reversed(BODY.items()))).json()["id"] == first.json()["id"]


def test_other_body_is_a_conflict(api: Api, alive: object) -> None:
    first = send(api)
    response = send(api, {**BODY, "args": ["x"]})
    assert response.status_code == 409
    error = response.json()["error"]
    assert error["code"] == "idempotency_conflict"
    assert error["details"] == {"execution": first.json()["id"]}


def test_keys_belong_to_tokens(current: Version, alive: object) -> None:
    one, other = make_api("one"), make_api("other")
    assert send(one).json()["id"] != send(other).json()["id"]


def test_known_key_is_answered_when_the_queue_is_full(
    api: Api, alive: object, settings: Settings
) -> None:
    first = send(api)
    settings.STENCIL_QUEUE_LIMIT = 1
    assert send(api).json()["id"] == first.json()["id"]
    assert send(api, key="k-2").status_code == 503


def test_key_is_forgotten_after_a_day(api: Api, alive: object) -> None:
    first = send(api)
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=24))
    second = send(api, {**BODY, "args": ["x"]})
    assert second.status_code == 201
    assert second.json()["id"] != first.json()["id"]


def test_old_keys_are_swept(api: Api, alive: object) -> None:
    send(api)
    assert claims.forget_keys() == 0
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert claims.forget_keys() == 1


def test_refused_submission_leaves_its_key_free(api: Api, alive: object) -> None:
    assert send(api, {**BODY, "files": []}).status_code == 422
    assert send(api).status_code == 201


def test_bad_keys(api: Api, alive: object) -> None:
    for key in ("", "x" * 256, "\x7f", "é"):
        assert send(api, key=key).status_code == 422


def test_two_at_a_time_make_one(api: Api, alive: object) -> None:
    def once(_: int) -> tuple[int, str]:
        try:
            sent = Api(token=api.token, secret=api.secret)
            response = send(sent)
            return response.status_code, response.json()["id"]
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        replies = list(threads.map(once, range(8)))
    assert sorted(status for status, _ in replies) == [200] * 7 + [201]
    assert len({identifier for _, identifier in replies}) == 1
