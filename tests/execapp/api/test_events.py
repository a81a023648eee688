"""Test `GET /executions/{id}/events` with a real web server, executor and sandbox."""

import base64
import http.client
import json
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from pytest_django import Settings

from execapp.executor.daemon import Daemon
from execapp.models import Execution
from execapp.output import text_piece
from execapp.services import following
from tests.execapp.api import web_server
from tests.execapp.conftest import Api, make_api, state_of, until
from tests.minimal_template import HELLO, SLEEP, program, suite
from tests.timeouts import HANGS_SECONDS
from tests.webui.server.serving import Web

STEPS = program(
    "console.log('one é'); console.error('err'); setTimeout(() => console.log('two 漢'), 700)"
)
SPEAKS_AND_WAITS = program("console.log('begun'); setTimeout(() => {}, 8000)")


@dataclass(frozen=True)
class Event:
    """One received event."""

    id: str
    name: str
    data: Any


class Stream:
    """An open stream of events."""

    def __init__(self, web: Web, api: Api, execution: str, last: str = "") -> None:
        self.link = http.client.HTTPConnection("127.0.0.1", web.port, timeout=HANGS_SECONDS)
        headers = {"Authorization": f"Bearer {api.secret}"} | (
            {"Last-Event-ID": last} if last else {}
        )
        self.link.request("GET", f"/api/v1/executions/{execution}/events", headers=headers)
        self.reply = self.link.getresponse()
        self.comments = 0

    def __iter__(self) -> Iterator[Event]:
        fields: dict[str, str] = {}
        while line := self.reply.readline().decode():
            if line == "\n" and "data" in fields:
                yield Event(fields["id"], fields["event"], json.loads(fields["data"]))
                fields = {}
            elif line.startswith(":"):
                self.comments += 1
            elif ": " in line:
                name, _, value = line.rstrip("\n").partition(": ")
                fields[name] = value


@pytest.fixture
def web(committed: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    with web_server.serve(monkeypatch) as running:
        yield running


@contextmanager
def opened(web: Web, api: Api, execution: str, last: str = "") -> Iterator[Stream]:
    made = Stream(web, api, execution, last)
    try:
        yield made
    finally:
        made.link.close()


def everything(web: Web, api: Api, execution: str, last: str = "") -> list[Event]:
    with opened(web, api, execution, last) as stream:
        return list(stream)


def output(events: list[Event], name: str = "stdout") -> bytes:
    """Return the bytes of a stream as a client collects them."""
    found = b""
    for event in events:
        if event.name == "state" and event.data["restarted"]:
            found = b""
        if event.name == name:
            content = event.data["content"]
            utf8 = event.data["encoding"] == "utf8"
            found += content.encode() if utf8 else base64.b64decode(content)
    return found


def test_output_arrives_while_the_program_runs(api: Api, executor: Daemon, web: Web) -> None:
    made = api.submit(SPEAKS_AND_WAITS)["id"]
    with opened(web, api, made) as stream:
        found: list[Event] = []
        for event in stream:
            found.append(event)
            if event.name == "stdout":
                assert state_of({"id": made}) == "running"
        states = [event.data for event in found if event.name == "state"]
    assert states[-2:] == [
        {"state": "running", "attempt": 1, "restarted": False},
        {"state": "succeeded", "attempt": 1, "restarted": False},
    ]
    assert output(found) == b"begun\n"
    assert found[-1].name == "result"
    assert found[-1].data == api.get(f"/executions/{made}")


def test_a_stream_resumes_at_each_of_its_events(api: Api, executor: Daemon, web: Web) -> None:
    made = api.submit(STEPS)["id"]
    whole = everything(web, api, made)
    assert output(whole) == "one é\ntwo 漢\n".encode()
    assert output(whole, "stderr") == b"err\n"
    for place, event in enumerate(whole[:-1]):
        again = everything(web, api, made, event.id)
        assert output([*whole[: place + 1], *again]) == "one é\ntwo 漢\n".encode()
        assert output([*whole[: place + 1], *again], "stderr") == b"err\n"
        assert again[-1] == whole[-1]
        assert not any(found.data.get("restarted") for found in again)
    with opened(web, api, made, whole[-1].id) as ended:
        assert ended.reply.status == 204


def test_a_stream_resumes_while_the_program_runs(api: Api, executor: Daemon, web: Web) -> None:
    made = api.submit(
        program(
            "let n = 0; const t = setInterval(() => { console.log('line', ++n);"
            " if (n == 40) clearInterval(t) }, 25)"
        )
    )["id"]
    found: list[Event] = []
    while not found or found[-1].name != "result":
        last = found[-1].id if found else ""
        with opened(web, api, made, last) as stream:
            for event, _ in zip(stream, range(3), strict=False):
                found.append(event)
    assert output(found).decode() == "".join(f"line {n + 1}\n" for n in range(40))


def test_a_restart_of_the_web_server_loses_nothing(
    api: Api, executor: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = api.submit(STEPS)["id"]
    with web_server.serve(monkeypatch) as web, opened(web, api, made) as stream:
        first = [next(event for event in stream if event.name == "stdout")]
        web.stop()
        first += list(stream)
    with web_server.serve(monkeypatch) as web:
        rest = everything(web, api, made, first[-1].id) if first[-1].name != "result" else []
    assert output([*first, *rest]) == "one é\ntwo 漢\n".encode()


def test_a_killed_executor_begins_a_new_attempt(
    api: Api, executor_process: Callable[..., subprocess.Popen[str]], web: Web
) -> None:
    process = executor_process("--slots", "1", "--warm", "0")
    made = api.submit(program("console.log(Date.now()); setTimeout(() => {}, 4000)"))["id"]
    with opened(web, api, made) as stream:
        found = []
        for event in stream:
            found.append(event)
            if event.name == "stdout" and process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait(HANGS_SECONDS)
                process.stdout.close()  # type: ignore[union-attr]
                executor_process("--slots", "1", "--warm", "0")
    states = [event.data for event in found if event.name == "state"]
    assert {"state": "running", "attempt": 2, "restarted": True} in states
    assert output(found).decode() == found[-1].data["stdout"]
    assert found[-1].data["attempts"] == 2
    first = next(event for event in found if event.name == "stdout")
    again = everything(web, api, made, first.id)
    assert output([first, *again]).decode() == found[-1].data["stdout"]


def test_tests_arrive_one_by_one(api: Api, executor: Daemon, web: Web) -> None:
    slow = suite(
        "export default { a() {}, async b() { await new Promise((r) => setTimeout(r, 500));"
        " throw new Error('no') } }"
    )
    made = api.submit(slow, mode="test")["id"]
    whole = everything(web, api, made)
    cases = [event.data for event in whole if event.name == "test"]
    assert cases == whole[-1].data["tests"]["cases"]
    assert [case["state"] for case in cases] == ["passed", "failed"]
    place = next(n for n, event in enumerate(whole) if event.name == "test")
    again = everything(web, api, made, whole[place].id)
    assert [event.data for event in again if event.name == "test"] == cases[1:]


def test_binary_output_and_the_limit(api: Api, executor: Daemon, web: Web) -> None:
    made = api.submit(
        program(
            "process.stdout.write(Buffer.from(Array.from({length: 200000}, (_, n) => n % 251)))"
        )
    )["id"]
    whole = everything(web, api, made)
    row = Execution.objects.get(id=made)
    assert output(whole) == bytes(row.stdout)
    assert row.stdout_truncated
    assert whole[-1].data["state"] == "output_limit"
    assert {event.data["encoding"] for event in whole if event.name == "stdout"} == {"base64"}


def test_a_queued_execution_is_cancelled(api: Api, alive: object, web: Web) -> None:
    made = api.submit(HELLO)["id"]
    with opened(web, api, made) as stream:
        events = iter(stream)
        assert next(events).data == {"state": "queued", "attempt": 0, "restarted": False}
        api.call("POST", f"/executions/{made}/cancel")
        assert [event.name for event in events] == ["state", "result"]


def test_a_running_execution_is_cancelled(api: Api, executor: Daemon, web: Web) -> None:
    made = api.submit(SLEEP)["id"]
    with opened(web, api, made) as stream:
        found = []
        for event in stream:
            found.append(event)
            if event.name == "stdout":
                api.call("POST", f"/executions/{made}/cancel")
    assert found[-1].data["state"] == "cancelled"
    assert output(found) == b"begun\n"


def test_an_idle_stream_has_a_heartbeat_and_no_thread(
    api: Api, alive: object, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "HEARTBEAT_SECONDS", 0.2)
    made = api.submit(HELLO)["id"]
    with opened(web, api, made) as stream:
        until(lambda: web.server.bridge.hub is not None and web.server.bridge.hub.count() == 1)
        while b": waiting" not in stream.reply.readline():
            pass
        assert len(web.server.bridge.threads._begun) <= 1


def test_a_client_that_leaves_returns_its_place(
    api: Api, alive: object, web: Web, settings: Settings
) -> None:
    settings.STENCIL_CLIENT_WAITS = 1
    made = api.submit(HELLO)["id"]
    with opened(web, api, made) as stream:
        assert next(iter(stream)).name == "state"
        with opened(web, api, made) as refused:
            assert refused.reply.status == 429
        stream.reply.close()
        stream.link.close()

    def follows() -> bool:
        with opened(web, api, made) as again:
            return again.reply.status == 200

    until(follows)


def test_a_slow_reader_does_not_slow_the_program(api: Api, executor: Daemon, web: Web) -> None:
    loud = program(
        "let n = 0; const t = setInterval(() => { process.stdout.write('x'.repeat(1000));"
        " if (++n == 100) clearInterval(t) }, 5)"
    )
    made = api.submit(loud, limits={"output_bytes": 131072})["id"]
    with socket.create_connection(("127.0.0.1", web.port)) as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link.sendall(
            f"GET /api/v1/executions/{made}/events HTTP/1.1\r\nHost: a\r\n"
            f"Authorization: Bearer {api.secret}\r\n\r\n".encode()
        )
        until(lambda: state_of({"id": made}) == "succeeded")
        read = b""
        while b"event: result" not in read:
            read += link.recv(1000)
            time.sleep(0.001)
    assert api.get(f"/executions/{made}")["stdout"] == "x" * 100_000


def test_an_engine_without_live_data_tells_the_end(
    api: Api, alive: object, web: Web, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = api.submit(HELLO)["id"]
    with opened(web, api, made) as stream:
        events = iter(stream)
        assert next(events).data["state"] == "queued"
        Execution.objects.filter(id=made).update(state="succeeded", attempt=1, stdout=b"hello\n")
        found = list(events)
    assert output(found) == b"hello\n"
    assert found[-1].name == "result"


def test_a_token_follows_its_own_executions_only(api: Api, alive: object, web: Web) -> None:
    made = api.submit(HELLO)["id"]
    with opened(web, make_api("other"), made) as stream:
        assert stream.reply.status == 404
    with opened(web, make_api("no", "execute"), made) as stream:
        assert stream.reply.status == 403


@pytest.mark.parametrize("last", ["x", "1", "1.r.1-0.0-0", "1.x.0-0.0-0.0-0", "9" * 400])
def test_an_id_that_is_none_of_ours_is_refused(
    api: Api, alive: object, web: Web, last: str
) -> None:
    with opened(web, api, api.submit(HELLO)["id"], last) as stream:
        assert stream.reply.status == 422
        error = json.load(stream.reply)["error"]
    assert error["details"]["fields"][0]["path"] == "Last-Event-ID"


def test_a_position_in_another_output_begins_anew(api: Api, executor: Daemon, web: Web) -> None:
    made = api.submit(HELLO)["id"]
    api.get(f"/executions/{made}?wait=60")
    found = everything(web, api, made, "1.r.3-abc.0-0.0-0")
    assert found[0].data["restarted"] is True
    assert output(found) == b"hello\n"


@pytest.mark.parametrize(
    ("data", "last", "truncated", "expected"),
    [
        ("aé".encode(), False, False, (3, "aé", "utf8")),
        ("aé".encode()[:2], False, False, (1, "a", "utf8")),
        ("é".encode()[:1], False, False, (0, "", "utf8")),
        ("é".encode()[:1], True, True, (0, "", "utf8")),
        ("é".encode()[:1], True, False, (1, "ww==", "base64")),
        ("a😀".encode()[:4], True, False, (1, "a", "utf8")),
        (b"\xff\xfe", False, False, (2, "//4=", "base64")),
        (b"\xffa" + "é".encode()[:1], False, False, (2, "/2E=", "base64")),
    ],
)
def test_no_character_is_cut(
    data: bytes, last: bool, truncated: bool, expected: tuple[int, str, str]
) -> None:
    assert text_piece(data, last=last, truncated=truncated) == expected
