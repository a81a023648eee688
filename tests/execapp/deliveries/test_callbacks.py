"""Test callbacks end to end: a submission, a real executor, a real receiver, the API."""

import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django.fixtures import Settings

from execapp.api.v1.schemas.deliveries import DeliveriesOut, DeliveryOut, SecretOut
from execapp.deliveries import signing_secrets
from execapp.errors import InvalidRequestError
from execapp.executor.daemon import Daemon
from execapp.models import Delivery, Execution, SigningSecret
from execapp.requests import SubmissionRequest
from execapp.services import claims, submissions
from templatemgr.models import AuditEvent, Version
from tests import minimal_template
from tests.execapp.conftest import Api, make_api, until
from tests.execapp.deliveries.receiver import Receiver, Reply, names, verified
from tests.timeouts import HANGS_SECONDS

pytestmark = pytest.mark.usefixtures("loopback_allowed")
type MakeReceiver = Callable[..., Receiver]
type StartProcess = Callable[..., subprocess.Popen[str]]


def deliveries(api: Api, execution: Any) -> Any:
    answer = api.get(f"/executions/{execution['id']}/deliveries")
    DeliveriesOut.model_validate(answer)
    return answer["items"]


def delivery(api: Api, execution: Any, state: str) -> Any:
    """Return the one delivery of an execution once it has this state."""
    found = until(lambda: [d for d in deliveries(api, execution) if d["state"] == state])
    assert len(found) == 1
    return found[0]


def secret_of(api: Api) -> str:
    answer = api.get("/me/callback-secret")
    SecretOut.model_validate(answer)
    return str(answer["secret"])


def test_the_finished_execution_arrives_signed(
    api: Api, executor: Daemon, receiver: Receiver
) -> None:
    made = api.submit(callback_url=receiver.url, labels={"a": "ü"})
    done = delivery(api, made, "delivered")
    (got,) = receiver.got
    finished = api.call("GET", f"/executions/{made['id']}")
    assert got.body == finished.content
    assert got.json["state"] == "succeeded"
    assert (got.method, got.path) == ("POST", "/hook?from=stencil")
    assert got.headers["content-type"] == "application/json"
    assert got.headers["stencil-event"] == "execution.finished"
    assert got.headers["stencil-delivery"] == done["id"]
    assert verified(got, secret_of(api), "another") == [True, False]
    sent = int(got.headers["stencil-signature"].partition(",")[0].removeprefix("t="))
    assert abs(sent - time.time()) < HANGS_SECONDS
    assert (done["url"], done["execution"]) == (receiver.url, made["id"])
    (attempt,) = done["attempts"]
    assert (attempt["number"], attempt["status"], attempt["answer"]) == (1, 200, "thanks")
    assert attempt["error"] is None
    assert attempt["duration_ms"] > 0
    assert done["next_attempt_at"] is None


def test_a_failing_receiver_is_tried_again(
    api: Api, executor: Daemon, receiver: Receiver, settings: Settings
) -> None:
    settings.STENCIL_CALLBACK_RETRY_SECONDS = (1, 1, 1)
    replies = iter([Reply(status=500, body=b"no"), Reply(status=302), Reply(status=204, body=b"")])
    receiver.answer = lambda _: next(replies)
    made = api.submit(callback_url=receiver.url)
    done = delivery(api, made, "delivered")
    assert [each["status"] for each in done["attempts"]] == [204, 302, 500]
    assert done["attempts"][2]["answer"] == "no"
    assert len({got.headers["stencil-delivery"] for got in receiver.got}) == 1
    assert all(verified(got, secret_of(api)) == [True] for got in receiver.got)


def test_it_is_given_up_and_sent_again_on_request(
    api: Api, executor: Daemon, receiver: Receiver, settings: Settings
) -> None:
    settings.STENCIL_CALLBACK_RETRY_SECONDS = ()
    receiver.answer = lambda _: Reply(status=503)
    made = api.submit(callback_url=receiver.url)
    lost = delivery(api, made, "given_up")
    assert lost["finished_at"] is not None
    receiver.answer = lambda _: Reply()
    answer = api.call("POST", f"/deliveries/{lost['id']}/resend")
    assert answer.status_code == 202
    DeliveryOut.model_validate(answer.json())
    done = delivery(api, made, "delivered")
    assert [each["number"] for each in done["attempts"]] == [2, 1]
    assert receiver.got[0].body == receiver.got[1].body
    assert [got.headers["stencil-delivery"] for got in receiver.got] == [lost["id"]] * 2


@pytest.mark.parametrize("ending", ["queued", "running"])
def test_a_cancelled_execution_is_announced_too(
    api: Api, start_executor: Callable[..., Daemon], receiver: Receiver, ending: str, alive: object
) -> None:
    if ending == "running":
        start_executor()
    program = minimal_template.program("setTimeout(() => {}, 300000)")
    made = api.submit(program, callback_url=receiver.url)
    until(lambda: Execution.objects.get().state == ending)
    api.call("POST", f"/executions/{made['id']}/cancel")
    if ending == "queued":
        start_executor()
    delivery(api, made, "delivered")
    assert [got.json["state"] for got in receiver.got] == ["cancelled"]


def test_a_failure_of_ours_is_announced_once(api: Api, alive: object, receiver: Receiver) -> None:
    api.submit(callback_url=receiver.url)
    found = claims.claim(worker="w")
    assert found is not None
    for expected in (True, False):
        ended = claims.fail(execution=found, attempt=found.attempt, error_id="e", message="m")
        assert ended is expected
    assert Delivery.objects.count() == 1


def test_a_slow_receiver_holds_up_no_other_client(
    api: Api, executor: Daemon, receiver: Receiver, make_receiver: MakeReceiver
) -> None:
    """The slow one has more deliveries than it may have attempts at a time."""
    other, slow, hold = make_api("other"), make_receiver(), threading.Event()
    slow.answer = lambda _: Reply(hold=hold)
    for _ in range(6):
        api.submit(callback_url=slow.url)
    until(lambda: len(slow.got) == 4)
    until(lambda: Delivery.objects.count() == 6)
    made = other.submit(callback_url=receiver.url)
    delivery(other, made, "delivered")
    assert len(slow.got) == 4
    hold.set()
    until(lambda: Delivery.objects.filter(state="delivered").count() == 7)


def test_a_backlog_of_one_client_does_not_delay_another(
    api: Api, alive: object, start_executor: Callable[..., Daemon], receiver: Receiver,
    settings: Settings,
) -> None:  # fmt: skip
    """One attempt at a time: the other client's delivery is the last one in the queue."""
    settings.STENCIL_CALLBACKS, settings.STENCIL_CALLBACK_RETRY_SECONDS = 1, ()
    for _ in range(20):
        made = api.submit(callback_url=f"{receiver.url}&backlog")
        submissions.cancel(execution_id=uuid.UUID(made["id"]), actor="ann")
    made = make_api("other").submit(callback_url=receiver.url)
    submissions.cancel(execution_id=uuid.UUID(made["id"]), actor="ann")
    start_executor()
    until(lambda: len(receiver.got) == 21)
    order = [got.path.endswith("&backlog") for got in receiver.got]
    assert order.index(False) == 1


def test_the_number_of_attempts_at_a_time_is_bounded(
    api: Api,
    start_executor: Callable[..., Daemon],
    receiver: Receiver,
    settings: Settings,
) -> None:
    settings.STENCIL_CALLBACKS = 1
    start_executor()
    hold = threading.Event()
    receiver.answer = lambda _: Reply(hold=hold)
    for name in ("a", "b", "c"):
        make_api(name).submit(callback_url=receiver.url)
    until(lambda: Delivery.objects.count() == 3)
    until(lambda: len(receiver.got) == 1)
    time.sleep(1.5)  # longer than the worker's pause
    assert len(receiver.got) == 1
    hold.set()
    until(lambda: Delivery.objects.filter(state="delivered").count() == 3)


def test_the_stop_of_the_executor_returns_a_running_delivery(
    api: Api, start_executor: Callable[..., Daemon], receiver: Receiver
) -> None:
    first, hold = start_executor(), threading.Event()
    receiver.answer = lambda _: Reply(hold=hold)
    made = api.submit(callback_url=receiver.url)
    assert receiver.arrived.acquire(timeout=HANGS_SECONDS)
    first.stop()
    (waiting,) = deliveries(api, made)
    assert waiting["state"] == "queued"
    assert "executor ended" in waiting["attempts"][0]["error"]
    hold.set()
    receiver.answer = lambda _: Reply()
    start_executor()
    delivery(api, made, "delivered")


def test_kill_9_of_the_executor_during_a_delivery(
    api: Api, executor_process: StartProcess, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STENCIL_CALLBACK_NETWORKS", "127.0.0.1/32")
    process, hold = executor_process("--slots", "1", "--warm", "0"), threading.Event()
    receiver.answer = lambda _: Reply(hold=hold)
    made = api.submit(callback_url=receiver.url)
    assert receiver.arrived.acquire(timeout=HANGS_SECONDS)
    process.send_signal(signal.SIGKILL)
    process.wait(HANGS_SECONDS)
    hold.set()
    (lost,) = deliveries(api, made)
    assert (lost["state"], lost["attempts"][0]["duration_ms"]) == ("sending", None)
    receiver.answer = lambda _: Reply()
    executor_process("--slots", "1", "--warm", "0")
    done = delivery(api, made, "delivered")
    assert [each["number"] for each in done["attempts"]] == [2, 1]
    assert "executor ended" in done["attempts"][1]["error"]
    assert (
        receiver.got[0].headers["stencil-delivery"] == receiver.got[1].headers["stencil-delivery"]
    )


def test_kill_9_at_any_time_loses_no_callback(
    api: Api, executor_process: StartProcess, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kill the executor at growing distances from the submissions."""
    monkeypatch.setenv("STENCIL_CALLBACK_NETWORKS", "127.0.0.1/32")
    made = []
    for round_number in range(5):
        process = executor_process("--slots", "2", "--warm", "0", "--grace", "0")
        made += [api.submit(callback_url=receiver.url)["id"] for _ in range(4)]
        time.sleep(0.15 * round_number)
        process.send_signal(signal.SIGKILL)
        process.wait(HANGS_SECONDS)
    executor_process("--slots", "2", "--warm", "0")
    until(lambda: Delivery.objects.filter(state="delivered").count() == len(made))
    assert {got.json["id"] for got in receiver.got} == set(made)
    assert Delivery.objects.count() == len(made)
    assert not Execution.objects.exclude(state="succeeded").exists()


def test_the_end_and_its_delivery_are_one_transaction(
    api: Api, alive: object, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = api.submit(callback_url=receiver.url)
    found = claims.claim(worker="w")
    assert found is not None

    def broken(*_: object, **__: object) -> None:
        message = "no space"
        raise OSError(message)

    with monkeypatch.context() as patch:
        patch.setattr("execapp.deliveries.outbox.enqueue", broken)
        with pytest.raises(OSError, match="no space"):
            claims.fail(execution=found, attempt=found.attempt, error_id="e", message="m")
    assert api.get(f"/executions/{made['id']}")["state"] == "running"
    assert claims.fail(execution=found, attempt=found.attempt, error_id="e", message="m")
    assert Delivery.objects.count() == 1


def test_a_host_that_resolves_to_a_private_address_is_on_record_and_not_reached(
    api: Api,
    executor: Daemon,
    make_receiver: MakeReceiver,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trap = make_receiver()
    settings.STENCIL_CALLBACK_NETWORKS = ()
    settings.STENCIL_CALLBACK_RETRY_SECONDS = ()
    names(monkeypatch, {"inside.example": ["127.0.0.1"]})
    made = api.submit(callback_url=f"http://inside.example:{trap.port}/")
    lost = delivery(api, made, "given_up")
    assert lost["attempts"][0]["error"] == "The host has no public address."
    assert trap.connections == 0


# The submission


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://example.org/", "http://10.0.0.1/", "http://[::ffff:169.254.169.254]/", "x", ""),
        *("http://u:p@example.org/", "https://example.org:22/", "http://localhost.localdomain./"),
        *("http://example.org/\0", "https://example.org/" + "a" * 3000),
    ],
)
def test_a_bad_address_is_refused_at_the_submission(api: Api, alive: object, url: str) -> None:
    answer = api.call("POST", "/executions", minimal_template.HELLO.body(callback_url=url))
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "invalid_request"
    assert [f["path"] for f in answer.json()["error"]["details"]["fields"]] == ["callback_url"]
    assert not Execution.objects.exists()


def test_a_user_of_the_dashboard_has_no_secret_to_sign_with(
    current: Version, alive: object
) -> None:
    body: Any = minimal_template.HELLO.body()
    request = SubmissionRequest(
        client="ann",
        template=body["template"],
        mode="run",
        files=[{**file, "encoding": "utf8"} for file in body["files"]],
        callback_url="https://example.org/",
    )
    with pytest.raises(InvalidRequestError) as refused:
        submissions.submit(request)
    assert refused.value.fields[0].path == "callback_url"


def test_a_callback_is_part_of_the_idempotent_request(api: Api, alive: object) -> None:
    key = {"Idempotency-Key": "k"}
    body = minimal_template.HELLO.body(callback_url="https://example.org/")
    first = api.call("POST", "/executions", body, **key)
    again = api.call("POST", "/executions", body, **key)
    assert (first.status_code, again.status_code) == (201, 200)
    other = api.call("POST", "/executions", minimal_template.HELLO.body(), **key)
    assert other.status_code == 409
    submissions.cancel(execution_id=uuid.UUID(first.json()["id"]), actor="ann")
    assert Delivery.objects.count() == 1


def test_a_callback_counts_as_stored_bytes(api: Api, alive: object) -> None:
    first = api.get("/me")["left"]["bytes"]
    api.submit()
    second = api.get("/me")["left"]["bytes"]
    api.submit(callback_url="https://example.org/" + "a" * 1000)
    third = api.get("/me")["left"]["bytes"]
    assert (second - third) - (first - second) == 1024 + 2 * 1020


def test_a_rerun_has_the_callback_that_it_names_only(api: Api, alive: object) -> None:
    first = api.submit(callback_url="https://example.org/first")
    path = f"/executions/{first['id']}/rerun"
    for body in (None, {}, {"callback_url": "https://example.org/second"}):
        assert api.call("POST", path, body).status_code == 201
    bad = api.call("POST", path, {"callback_url": "http://10.0.0.1/"})
    assert bad.json()["error"]["details"]["fields"][0]["path"] == "callback_url"
    for execution in Execution.objects.all():
        submissions.cancel(execution_id=execution.id, actor="ann")
    urls = sorted(Delivery.objects.values_list("url", flat=True))
    assert urls == ["https://example.org/first", "https://example.org/second"]


def test_a_submission_without_a_callback_costs_no_query_more(
    api: Api, alive: object, receiver: Receiver
) -> None:
    def of_deliveries(**more: object) -> list[str]:
        """Submit and end an execution; return the first words of what it asked of deliveries."""
        with CaptureQueriesContext(connection) as queries:
            api.submit(**more)  # type: ignore[arg-type]
            found = claims.claim(worker="w")
            assert found is not None
            claims.fail(execution=found, attempt=found.attempt, error_id="e", message="m")
        return [q["sql"].split()[0] for q in queries if "deliver" in q["sql"]]

    assert of_deliveries() == []
    assert of_deliveries(callback_url=receiver.url) == ["INSERT"]


# Who may see


def test_deliveries_of_another_client_do_not_exist(
    api: Api, alive: object, receiver: Receiver
) -> None:
    made = api.submit(callback_url=receiver.url)
    submissions.cancel(execution_id=uuid.UUID(made["id"]), actor="ann")
    (own,) = deliveries(api, made)
    stranger, boss = make_api("stranger"), make_api("boss", "admin")
    listed = stranger.call("GET", f"/executions/{made['id']}/deliveries")
    assert (listed.status_code, listed.json()["error"]["code"]) == (404, "unknown_execution")
    for identifier in (own["id"], str(uuid.uuid4()), "x"):
        answer = stranger.call("POST", f"/deliveries/{identifier}/resend")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_delivery")
    assert deliveries(boss, made) == [own]
    assert boss.call("POST", f"/deliveries/{own['id']}/resend").status_code == 202
    reader = make_api("ci-bot", "read")
    assert reader.call("POST", f"/deliveries/{own['id']}/resend").status_code == 403
    assert deliveries(reader, made) != []


def test_deliveries_are_pages(api: Api, alive: object, receiver: Receiver) -> None:
    made = api.submit(callback_url=receiver.url)
    submissions.cancel(execution_id=uuid.UUID(made["id"]), actor="ann")
    path = f"/executions/{made['id']}/deliveries"
    one = Delivery.objects.get()
    for _ in range(2):
        Delivery.objects.create(
            event=one.event, url=one.url, signer=one.signer, execution_id=one.execution_id
        )
    seen, cursor = [], ""
    while True:
        page = api.get(f"{path}?limit=2{cursor}")
        seen += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert len(seen) == len(set(seen)) == 3
    assert seen == sorted(seen, reverse=True)
    assert api.call("GET", f"{path}?cursor=x").status_code == 422
    assert api.call("GET", f"{path}?colour=red").status_code == 422
    with CaptureQueriesContext(connection) as three:
        api.get(path)
    Delivery.objects.exclude(id=seen[0]).delete()
    with CaptureQueriesContext(connection) as single:
        api.get(path)
    assert len(three) == len(single)


# The secret


def test_the_secret_is_read_by_its_token_and_rotated_with_a_grace(
    api: Api, executor: Daemon, receiver: Receiver
) -> None:
    old = secret_of(api)
    assert secret_of(api) == old
    assert secret_of(make_api("other")) != old
    rotated = api.call("POST", "/me/callback-secret/rotate", {"grace_seconds": 3600})
    assert rotated.status_code == 200
    new = rotated.json()["secret"]
    assert rotated.json()["previous_until"] is not None
    delivery(api, api.submit(callback_url=receiver.url), "delivered")
    assert verified(receiver.got[-1], new, old) == [True, True]
    assert receiver.got[-1].headers["stencil-signature"].count("v1=") == 2
    at_once = api.call("POST", "/me/callback-secret/rotate", {"grace_seconds": 0}).json()
    delivery(api, api.submit(callback_url=receiver.url), "delivered")
    assert verified(receiver.got[-1], at_once["secret"], new, old) == [True, False, False]
    assert api.call("POST", "/me/callback-secret/rotate").json()["previous_until"] is not None
    assert SigningSecret.objects.count() == 2


def test_another_reader_of_the_secret_is_on_record(api: Api) -> None:
    owner = signing_secrets.owner_of_token(api.token.id)
    read = signing_secrets.reveal(owner=owner, actor="ann", name="ci-bot")
    assert read.secret == secret_of(api)
    (event,) = AuditEvent.objects.filter(action="token.signing_secret_read")
    assert (event.actor, event.object, event.details) == ("ann", "ci-bot", {})


@pytest.mark.parametrize("body", [{"grace_seconds": -1}, {"grace_seconds": 2592001}, {"x": 1}])
def test_a_bad_grace_is_refused(api: Api, body: object) -> None:
    answer = api.call("POST", "/me/callback-secret/rotate", body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request")


def test_the_secret_needs_the_scope_execute(current: Version) -> None:
    reader = make_api("reader", "read")
    assert reader.call("GET", "/me/callback-secret").status_code == 403
    assert reader.call("POST", "/me/callback-secret/rotate").status_code == 403
