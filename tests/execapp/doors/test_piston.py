"""Test the Piston door: its texts, its statuses, who may call it, and hostile input."""

import json
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from execapp.models import Execution
from tests.execapp.conftest import Api, make_api
from tests.execapp.doors.conftest import send

BASES = ("/api/v2", "/api/v2/piston")
FILE = {"name": "main.mjs", "content": "console.log('hello')"}
JOB = {"language": "tiny", "version": "*", "files": [FILE]}
SCALARS = (None, True, 0, -1, 1.5, 1e308, 2**63, "", "\0", "x\ny", "$(id)`;|\\", "٣", "x" * 5000)
ODD: tuple[Any, ...] = (*SCALARS, [], [None], [[]], {}, {"": ""})
BODIES = (b" ", b"{", b"[" * 10_000, b'{"a":1,"a":2}', b'{"a":NaN}', b"\xff", b'["\\ud800"]')


def execute(api: Api | None, base: str = "/api/v2", **changed: Any) -> Any:
    return send(api, "POST", f"{base}/execute", json.dumps(JOB | changed))


def refused(response: Any, status: int = 400) -> str:
    assert response.status_code == status, response.content
    assert set(response.json()) == {"message"}, response.content
    return str(response.json()["message"])


def ran(api: Api, source: str, **changed: Any) -> Any:
    response = execute(api, files=[FILE | {"content": source}], **changed)
    assert response.status_code == 200, response.content
    return response.json()["run"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"language": None}, "language is required as a string"),
        ({"language": 3}, "language is required as a string"),
        ({"version": ""}, "version is required as a string"),
        ({"files": {}}, "files is required as an array"),
        ({"files": [FILE, {"name": "x"}]}, "files[1].content is required as a string"),
        ({"files": ["x"]}, "files[0].content is required as a string"),
        ({"files": [FILE | {"name": 3}]}, "files[0].name must be a string"),
        ({"language": "cobol"}, "cobol-* runtime is unknown"),
        ({"language": "tiny@1"}, "tiny@1-* runtime is unknown"),
        ({"version": "2.x"}, "tiny-2.x runtime is unknown"),
        ({"version": "latest"}, "tiny-latest runtime is unknown"),
        ({"files": []}, "files must include at least one utf8 encoded file"),
        (
            {"files": [FILE | {"encoding": "base64"}]},
            "files must include at least one utf8 encoded file",
        ),
        ({"run_timeout": "9"}, "If specified, run_timeout must be a number"),
        ({"compile_cpu_time": True}, "If specified, compile_cpu_time must be a number"),
        ({"run_timeout": 20_001}, "run_timeout cannot exceed the configured limit of 20000"),
        ({"run_cpu_time": -1}, "run_cpu_time must be non-negative"),
        ({"run_memory_limit": -2}, "run_memory_limit must be non-negative"),
        (
            {"compile_memory_limit": 2**40},
            "compile_memory_limit cannot exceed the configured limit of 536870912",
        ),
        ({"args": "x"}, "args must be an array of strings"),
        ({"stdin": 1}, "stdin must be a string"),
    ],
)
def test_a_wrong_request_gets_the_text_of_piston(
    api: Api, alive: object, changed: dict[str, Any], message: str
) -> None:
    for base in BASES:
        assert refused(execute(api, base, **changed)) == message
    assert not Execution.objects.exists()


@pytest.mark.parametrize(
    ("changed", "begin"),
    [
        ({"files": [FILE | {"name": "../x"}]}, "files[0].name: "),
        ({"files": [FILE, FILE]}, "files[1].name: "),
        ({"files": [FILE, {"content": "zz", "encoding": "hex"}]}, "files[1].content"),
        ({"files": [FILE, {"content": "?", "encoding": "base64"}]}, "files[1].content: "),
        ({"files": [FILE | {"encoding": "utf16"}]}, "files[0].encoding"),
        ({"args": ["\0"]}, "args[0]: "),
        ({"run_memory_limit": 1000}, "run_memory_limit: "),
    ],
)
def test_errors_of_our_services_name_the_field_of_piston(
    api: Api, alive: object, changed: dict[str, Any], begin: str
) -> None:
    assert refused(execute(api, **changed)).startswith(begin)
    assert not Execution.objects.exists()


def test_the_body_is_strict_json(api: Api, alive: object) -> None:
    for body in (
        b" ",
        b"{",
        b"[" * 10_000,
        b'{"a":1,"a":2}',
        b'{"a":NaN}',
        b"\xff",
        b'["\\ud800"]',
    ):
        refused(send(api, "POST", "/api/v2/execute", body))
    for body in (b"null", b"[]", b'"x"'):
        message = refused(send(api, "POST", "/api/v2/execute", body))
        assert message == "language is required as a string"
    plain = {"Content-Type": "text/plain"}
    message = refused(send(api, "POST", "/api/v2/execute", "{}", **plain), 415)
    assert message == "requests must be of type application/json"
    for kind in (
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/xml",
    ):
        refused(send(api, "POST", "/api/v2/execute", "{}", **{"Content-Type": kind}), 415)
    refused(send(api, "POST", "/api/v2/execute", b'{"a":"' + b"x" * 10_000_001 + b'"}'), 413)
    refused(send(api, "POST", "/api/v2/execute", "{}", **{"Content-Encoding": "gzip"}), 415)


def test_no_odd_value_of_any_field_is_an_error_of_ours(api: Api, settings: Settings) -> None:
    names = [*JOB, "stdin", "args"]
    for stage in ("run", "compile"):
        names += [f"{stage}_{name}" for name in ("timeout", "cpu_time", "memory_limit")]
    for name in names:
        for value in ODD:
            response = execute(api, **{name: value})
            # Without an executor a right request is refused with 503.
            assert response.status_code in {400, 503}, (name, value, response.content)
            assert set(response.json()) == {"message"}
    for key in ("name", "content", "encoding"):
        for value in ODD:
            response = execute(api, files=[FILE, {"name": "b", "content": "", key: value}])
            assert response.status_code in {400, 503}, (key, value, response.content)
    assert not Execution.objects.exists()


def test_stages(api: Api, executor: object) -> None:
    done = ran(api, "console.log(1); console.error(2)")
    assert (done["stdout"], done["stderr"], done["output"]) == ("1\n", "2\n", "1\n2\n")
    assert (done["code"], done["signal"], done["status"], done["message"]) == (0, None, None, None)
    assert done["wall_time"] > 0
    assert {"cpu_time", "memory"} < set(done)
    failed = ran(api, "process.exit(7)")
    assert (failed["code"], failed["status"]) == (7, "RE")
    assert failed["message"] == "Exited with error status 7"
    died = ran(api, "process.kill(process.pid, 'SIGSEGV'); setTimeout(() => {}, 9999)")
    assert (died["signal"], died["status"]) == ("SIGSEGV", "SG")
    assert (died["code"], died["message"]) == (None, "Caught fatal signal 11")
    late = ran(api, "setTimeout(() => {}, 60000)", run_timeout=200)
    assert (late["status"], late["signal"]) == ("TO", "SIGKILL")
    assert late["message"] == "Time limit exceeded (wall clock)"
    busy = ran(api, "for (;;);", run_cpu_time=200, run_timeout=19_000)
    assert (busy["status"], busy["message"]) == ("TO", "Time limit exceeded")
    for stream, status, word in ((1, "OL", "stdout"), (2, "EL", "stderr")):
        source = f"import fs from 'fs'; for (;;) fs.writeSync({stream}, 'x'.repeat(999))"
        flood = ran(api, source)
        assert (flood["status"], flood["signal"]) == (status, "SIGKILL")
        assert flood["message"] == f"{word} length exceeded"


def test_limits_and_input_reach_the_execution(api: Api, executor: object) -> None:
    ran(api, "", stdin="a", args=["$(id)", "two\nlines"], run_timeout=1500.2, run_memory_limit=-1)
    made = Execution.objects.get()
    assert (made.stdin, made.args) == ("a\n", ["$(id)", "two\nlines"])
    assert made.limits["wall_ms"] == 1501
    assert (made.limits["cpu_ms"], made.limits["memory_bytes"]) == (3000, 536870912)
    assert (made.client, made.token_id) == ("ci-bot", api.token.id)
    ran(api, "", stdin="b\n")
    assert Execution.objects.latest("created_at").stdin == "b\n"
    assert Execution.objects.latest("created_at").limits["memory_bytes"] == 268435456


def test_files_in_three_encodings(api: Api, executor: object) -> None:
    source = """import fs from 'fs'
for (const name of ['b', 'file2.code']) {
  console.log(fs.readFileSync(`/workspace/src/${name}`, 'utf8'))
}
"""
    more = [
        {"name": "b", "content": "aGk=", "encoding": "base64"},
        {"content": "6869", "encoding": "hex"},
    ]
    response = execute(api, files=[FILE | {"content": source}, *more])
    assert response.json()["run"]["stdout"] == "hi\nhi\n", response.content


def test_who_may_call(api: Api, alive: object, settings: Settings) -> None:
    assert "STENCIL_PISTON_ANONYMOUS" in refused(send(None, "GET", "/api/v2/runtimes"), 401)
    bad = {"Authorization": "nope"}
    assert refused(send(None, "GET", "/api/v2/runtimes", **bad), 401) == "The token is not valid."
    for text in (api.secret, f"Bearer {api.secret}", f"bearer  {api.secret}"):
        ok = send(None, "GET", "/api/v2/runtimes", Authorization=text)
        assert ok.status_code == 200
    assert "'execute'" in refused(execute(make_api("reader", "read")), 403)
    settings.STENCIL_PISTON_ANONYMOUS = api.token.prefix
    assert send(None, "GET", "/api/v2/runtimes").status_code == 200
    refused(send(None, "GET", "/api/v2/runtimes", **bad), 401)
    for prefix in ("stn_zzzzzz", make_api("boss", "admin").token.prefix):
        settings.STENCIL_PISTON_ANONYMOUS = prefix
        refused(send(None, "GET", "/api/v2/runtimes"), 401)


def test_addresses_methods_and_the_setting(api: Api, settings: Settings) -> None:
    for base in BASES:
        for path in ("runtimes", "runtimes/", "packages"):
            assert send(api, "GET", f"{base}/{path}").status_code == 200
        assert refused(send(api, "POST", f"{base}/runtimes", "{}"), 405)
        assert send(api, "GET", f"{base}/execute")["Allow"] == "POST"
        refused(send(api, "GET", f"{base}/connect"), 404)
    settings.STENCIL_DOORS = ()
    for path in ("runtimes", "piston/runtimes", "nope"):
        response = send(api, "GET", f"/api/v2/{path}")
        assert response.status_code == 404
        assert response.json()["error"]["code"] == "not_found"


def test_no_permit_to_wait_starts_nothing(api: Api, alive: object, settings: Settings) -> None:
    settings.STENCIL_CLIENT_WAITS = 0
    response = execute(api)
    refused(response, 429)
    assert response["Retry-After"]
    assert not Execution.objects.exists()


def test_an_unknown_door_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    from webui import settings as module

    monkeypatch.setenv("STENCIL_DOORS", "piston,attic")
    with pytest.raises(ImproperlyConfigured, match="STENCIL_DOORS: attic"):
        importlib.reload(module)
    monkeypatch.undo()
    importlib.reload(module)
