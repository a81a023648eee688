"""Test `POST /executions/batch`: each submission is answered on its own, all by one request."""

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from core.engine import WakeKind, get_engine
from core.engine.memory import MemoryEngine
from execapp.executor.daemon import Daemon
from execapp.models import Execution, IdempotencyKey, StoredBytes
from execapp.services import storage, tokens
from templatemgr.models import Version
from tests import factories
from tests.execapp.api import web_server
from tests.execapp.conftest import Api, make_api, until
from tests.minimal_template import HELLO, SLEEP, program
from tests.timeouts import HANGS_SECONDS
from tests.webui.server.serving import Web

BODY = HELLO.body()


def send(api: Api, *bodies: object, **headers: str) -> Any:
    return api.call("POST", "/executions/batch", {"submissions": list(bodies)}, **headers)


def items(response: Any) -> list[Any]:
    assert response.status_code == 200, response.getvalue()
    found: list[Any] = json.loads(response.getvalue())["items"]
    return found


def statuses(response: Any) -> list[int]:
    return [item["status"] for item in items(response)]


@pytest.fixture
def web(committed: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """Yield the whole web server."""
    with web_server.serve(monkeypatch) as running:
        yield running


def post(web: Web, api: Api, body: object, **headers: str) -> tuple[Any, Any]:
    """Send a batch to the web server; return the headers and the JSON of the reply."""
    link = http.client.HTTPConnection("127.0.0.1", web.port, timeout=HANGS_SECONDS)
    given = {"Authorization": f"Bearer {api.secret}", "Content-Type": "application/json", **headers}
    try:
        link.request("POST", "/api/v1/executions/batch", json.dumps(body), given)
        reply = link.getresponse()
        return reply.headers, json.load(reply)
    finally:
        link.close()


def test_each_is_answered_on_its_own_in_order(api: Api, alive: object) -> None:
    wrong_path = {**BODY, "files": [{"path": "../a", "content": ""}]}
    unknown = {**BODY, "template": "nothing"}
    wrong_type = {**BODY, "files": [{"path": "main.mjs", "content": 5}]}
    answers = items(
        send(api, BODY, wrong_path, unknown, wrong_type, "text", {**BODY, "args": ["2"]})
    )
    assert [item["status"] for item in answers] == [201, 422, 404, 422, 422, 201]
    assert answers[0]["execution"]["state"] == "queued"
    assert answers[5]["execution"]["args"] == ["2"]
    assert [set(item) for item in answers[:2]] == [
        {"status", "execution"},
        {"status", "error", "retry_after"},
    ]
    assert Execution.objects.count() == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {**BODY, "files": [{"path": "../a", "content": ""}]},
        {**BODY, "files": [{"path": "main.mjs", "content": 5}]},
        {**BODY, "unknown": 1},
        {**BODY, "limits": {"wall_ms": 10**9}},
        {**BODY, "callback_url": "https://example.com", "mode": "play"},
        {**BODY, "env": {"SEALED_A": "1"}},
        {**BODY, "wait": 61},
        {},
    ],
)
def test_an_error_is_the_error_of_the_single_call(api: Api, alive: object, wrong: object) -> None:
    alone = api.call("POST", "/executions", wrong)
    assert items(send(api, BODY, wrong))[1] == {
        "status": alone.status_code,
        "error": alone.json()["error"],
        "retry_after": None,
    }


@pytest.mark.parametrize("submissions", [[], [BODY] * 101, {}, None, "x"])
def test_the_number_of_submissions_is_bounded(api: Api, alive: object, submissions: object) -> None:
    response = api.call("POST", "/executions/batch", {"submissions": submissions})
    assert response.status_code == 422
    fields = response.json()["error"]["details"]["fields"]
    assert [field["path"] for field in fields] == ["submissions"]
    assert not Execution.objects.exists()


def test_a_hundred_of_many_files_fit(api: Api, alive: object) -> None:
    files = [{"path": f"{n}.mjs", "content": ""} for n in range(10)]
    whole = {**BODY, "files": [*HELLO.body()["files"], *files], "args": ["a"] * 10}  # type: ignore[misc]
    assert statuses(send(api, *[whole] * 100)) == [201] * 100


def test_one_transaction_and_one_wake_up(api: Api, alive: object, settings: Settings) -> None:
    settings.STENCIL_ENGINE = "memory"
    engine = get_engine()
    assert isinstance(engine, MemoryEngine)
    with CaptureQueriesContext(connection) as queries:
        assert statuses(send(api, *[BODY] * 20)) == [201] * 20
    begun = [query for query in queries.captured_queries if query["sql"].startswith("BEGIN")]
    assert len(begun) == 1
    assert engine.woken == [WakeKind.EXECUTION]


def test_nothing_is_woken_for_refusals_alone(api: Api, alive: object, settings: Settings) -> None:
    settings.STENCIL_ENGINE = "memory"
    engine = get_engine()
    assert isinstance(engine, MemoryEngine)
    assert statuses(send(api, {}, {})) == [422, 422]
    assert engine.woken == []


def test_the_queue_limit_holds_for_each(api: Api, alive: object, settings: Settings) -> None:
    settings.STENCIL_QUEUE_LIMIT = 2
    answers = items(send(api, BODY, BODY, BODY))
    assert [item["status"] for item in answers] == [201, 201, 503]
    assert answers[2]["error"]["code"] == "queue_full"
    assert answers[2]["retry_after"] > 0


def test_the_quota_holds_for_each_and_refusals_cost_nothing(
    api: Api, alive: object, settings: Settings
) -> None:
    assert statuses(send(api, BODY)) == [201]
    cost = StoredBytes.objects.get().bytes
    settings.STENCIL_CLIENT_BYTES_PER_DAY = 3 * cost + 10
    large = {**BODY, "stdin": "x" * 100_000}
    answers = items(send(api, BODY, large, BODY, BODY))
    assert [item["status"] for item in answers] == [201, 429, 201, 429]
    assert answers[1]["error"]["code"] == "quota_exceeded"
    assert storage.left(token=api.token) == 10


def test_each_submission_counts_as_a_request(api: Api, alive: object, settings: Settings) -> None:
    settings.STENCIL_RATE_PER_MINUTE = 3
    response = send(api, BODY, {}, BODY, BODY)
    answers = items(response)
    assert [item["status"] for item in answers] == [201, 422, 201, 429]
    assert answers[3]["error"]["code"] == "rate_limited"
    assert answers[3]["retry_after"] > 0
    assert response["RateLimit-Remaining"] == "0"


def test_a_pin_holds_for_each(current: Version, alive: object) -> None:
    factories.promote_runnable_version(number=2)
    token, secret = tokens.create(
        name="exam", scopes=["execute", "read"], actor="ann", pins={"tiny": 1}
    )
    answers = items(send(Api(token=token, secret=secret), BODY, {**BODY, "template": "tiny@2"}))
    assert [item["execution"]["template"]["version"] for item in answers] == [1, 2]


def test_the_key_holds_for_each_place(api: Api, alive: object) -> None:
    key = {"Idempotency-Key": "k" * 255}
    first = items(send(api, BODY, {}, {**BODY, "args": ["1"]}, **key))
    again = items(send(api, BODY, BODY, {**BODY, "args": ["2"]}, **key))
    assert [item["status"] for item in first] == [201, 422, 201]
    assert [item["status"] for item in again] == [200, 201, 409]
    assert again[0]["execution"]["id"] == first[0]["execution"]["id"]
    assert again[2]["error"]["details"] == {"execution": first[2]["execution"]["id"]}
    assert Execution.objects.count() == 3


def test_the_key_of_a_batch_is_no_key_of_a_submission(api: Api, alive: object) -> None:
    send(api, BODY, **{"Idempotency-Key": "k"})
    kept = IdempotencyKey.objects.get().key
    assert not kept.isprintable()
    response = api.call("POST", "/executions", BODY, **{"Idempotency-Key": "k"})
    assert response.status_code == 201


def test_the_scope_is_needed(current: Version, alive: object) -> None:
    assert send(make_api("reader", "read"), BODY).status_code == 403


def test_wait_holds_for_all_together(api: Api, executor: Daemon) -> None:
    body = {"submissions": [BODY, {}, {**BODY, "mode": "test"}, BODY], "wait": True}
    answers = items(api.call("POST", "/executions/batch", body))
    states = [item.get("execution", {}).get("state") for item in answers]
    assert states == ["succeeded", None, "failed", "succeeded"]
    assert answers[0]["execution"]["stdout"] == "hello\n"


def test_the_wait_of_a_submission_holds_for_all(api: Api, executor: Daemon, web: Web) -> None:
    _, answer = post(web, api, {"submissions": [BODY, {**BODY, "wait": 60}]})
    assert [item["execution"]["state"] for item in answer["items"]] == ["succeeded"] * 2


def test_a_wait_holds_no_thread_and_ends_in_time(api: Api, executor: Daemon, web: Web) -> None:
    body = {"submissions": [BODY, SLEEP.body(), BODY], "wait": 10}
    found: list[Any] = []
    asking = [threading.Thread(target=lambda: found.append(post(web, api, body))) for _ in range(5)]
    for thread in asking:
        thread.start()
    hub = web.server.bridge
    until(lambda: hub.hub is not None and hub.hub.count() == 5)
    until(lambda: hub.hub is not None and hub.hub.count() == 5 and not hub.threads._begun)
    for thread in asking:
        thread.join(HANGS_SECONDS)
    for _, answer in found:
        states = [item["execution"]["state"] for item in answer["items"]]
        assert states[0] == states[2] == "succeeded"
        assert states[1] in ("running", "queued")


def test_a_wait_for_executions_that_have_ended(api: Api, executor: Daemon, web: Web) -> None:
    body = {"submissions": [BODY, BODY], "wait": 60}
    key = {"Idempotency-Key": "k"}
    _, first = post(web, api, body, **key)
    _, again = post(web, api, body, **key)
    assert [item["status"] for item in again["items"]] == [200, 200]
    assert [item["execution"] for item in again["items"]] == [
        item["execution"] for item in first["items"]
    ]


def test_a_refused_wait_says_so(api: Api, alive: object, web: Web, settings: Settings) -> None:
    settings.STENCIL_WAITS = 0
    headers, answer = post(web, api, {"submissions": [BODY], "wait": 5})
    assert headers["Stencil-Wait"] == "refused; scope=server; limit=0"
    assert answer["items"][0]["execution"]["state"] == "queued"


def test_a_stopping_server_answers_a_waiting_batch(api: Api, alive: object, web: Web) -> None:
    found: list[Any] = []
    body = {"submissions": [BODY, BODY], "wait": 60}
    asking = threading.Thread(target=lambda: found.append(post(web, api, body)))
    asking.start()
    bridge = web.server.bridge
    until(lambda: bridge.hub is not None and bridge.hub.count() == 1)
    web.stop()
    asking.join(HANGS_SECONDS)
    headers, answer = found[0]
    assert headers["Stencil-Wait"] == "ended; reason=stopping"
    assert [item["execution"]["state"] for item in answer["items"]] == ["queued"] * 2


def test_large_output_of_all_is_whole(
    api: Api, start_executor: Callable[..., Daemon], web: Web
) -> None:
    start_executor()
    loud = program("process.stdout.write('é'.repeat(30000))").body()
    _, answer = post(web, api, {"submissions": [loud] * 6, "wait": True})
    assert [item["execution"]["stdout"] for item in answer["items"]] == ["é" * 30000] * 6
