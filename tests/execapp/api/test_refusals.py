"""Test every refusal of the API: status, code and the common error shape."""

import base64
import io
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client
from pytest_django import Settings

from execapp import history
from templatemgr.models import HealthState, Version, VersionHealth
from tests import minimal_template
from tests.execapp.conftest import Api, make_api
from tests.factories import make_template_row
from tests.minimal_template import HELLO

BODY = HELLO.body()


def check(response: Any, status: int, code: str) -> dict[str, Any]:
    """Assert the common error shape with this status and code; return the error."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/json"
    body = json.loads(response.content)
    assert set(body) == {"error"}
    error: dict[str, Any] = body["error"]
    assert set(error) == {"code", "message", "details"}
    assert error["code"] == code
    assert error["message"]
    return error


def paths(error: dict[str, Any]) -> list[str]:
    return [field["path"] for field in error["details"]["fields"]]


def with_files(*files: dict[str, str]) -> dict[str, object]:
    return {**BODY, "files": list(files)}


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "",
        b"\xff\xfe",
        '{"template": NaN}',
        '{"template": Infinity}',
        '{"wait": 1e999}',
        '{"template": "a", "template": "b"}',
        "[" * 100_000,
        "[" * 100 + "]" * 100,
        '{"a":' * 9_000 + "1" + "}" * 9_000,
        '{"wait": ' + "9" * 5000 + "}",
        '"a" "b"',
    ],
)
def test_malformed_json(api: Api, alive: object, body: str | bytes) -> None:
    check(api.call("POST", "/executions", body), 400, "malformed")


def test_lone_surrogate_names_the_field(api: Api, alive: object) -> None:
    text = json.dumps(with_files({"path": "a\ud800.mjs", "content": ""}))
    error = check(api.call("POST", "/executions", text), 422, "invalid_request")
    assert paths(error) == ["files.0.path"]


@pytest.mark.parametrize("body", ["null", "[]", "1", '"x"', "true"])
def test_body_is_not_an_object(api: Api, alive: object, body: str) -> None:
    check(api.call("POST", "/executions", body), 422, "invalid_request")


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"unknown": 1}, "unknown"),
        ({"template": 5}, "template"),
        ({"template": None}, "template"),
        ({"mode": "build"}, "mode"),
        ({"files": []}, "files"),
        ({"files": {}}, "files"),
        ({"files": [{"path": "main.mjs"}]}, "files.0.content"),
        ({"files": [{"path": "main.mjs", "content": 1}]}, "files.0.content"),
        ({"files": [{"path": "main.mjs", "content": "", "x": 1}]}, "files.0.x"),
        ({"files": [{"path": "main.mjs", "content": "", "encoding": "hex"}]}, "files.0.encoding"),
        (
            {"files": [{"path": "main.mjs", "content": "a", "encoding": "base64"}]},
            "files.0.content",
        ),
        (
            {"files": [{"path": "main.mjs", "content": "YQ==\n", "encoding": "base64"}]},
            "files.0.content",
        ),
        (
            {"files": [{"path": "main.mjs", "content": "é===", "encoding": "base64"}]},
            "files.0.content",
        ),
        ({"entry": "other.mjs"}, "entry"),
        ({"entry": 3}, "entry"),
        ({"args": ["a\0b"]}, "args.0"),
        ({"args": "a"}, "args"),
        ({"args": ["a"] * 257}, "args"),
        ({"args": ["ok", "a" * 32769]}, "args.1"),
        ({"stdin": "a" * (4 * 1024 * 1024 + 1)}, "stdin"),
        ({"stdin": 7}, "stdin"),
        ({"env": {"NODE_OPTIONS": "--x"}}, "env.NODE_OPTIONS"),
        ({"env": {"LD_PRELOAD": "x"}}, "env.LD_PRELOAD"),
        ({"env": {"PYTHONPATH": "x"}}, "env.PYTHONPATH"),
        ({"env": {"npm_config_x": "x"}}, "env.npm_config_x"),
        ({"env": {"PATH": "x"}}, "env.PATH"),
        ({"env": {"HOME": "x"}}, "env.HOME"),
        ({"env": {"A=B": "x"}}, "env.A=B"),
        ({"env": {"": "x"}}, "env."),
        ({"env": {"A": "\0"}}, "env.A"),
        ({"env": {"A": "x" * 8192}}, "env.A"),
        ({"env": {"A": 1}}, "env.A"),
        ({"env": {f"A{n}": "" for n in range(65)}}, "env"),
        ({"labels": {f"a{n}": "" for n in range(17)}}, "labels"),
        ({"labels": {"a": "x" * 256}}, "labels.a"),
        ({"labels": {"a:b": "x"}}, "labels.a:b"),
        ({"labels": {"": "x"}}, "labels."),
        ({"labels": {"a": 1}}, "labels.a"),
        ({"limits": {"wall_ms": 20001}}, "limits.wall_ms"),
        ({"limits": {"memory_bytes": 10**30}}, "limits.memory_bytes"),
        ({"limits": {"wall_ms": 0}}, "limits.wall_ms"),
        ({"limits": {"wall_ms": -1}}, "limits.wall_ms"),
        ({"limits": {"wall_ms": "5"}}, "limits.wall_ms"),
        ({"limits": {"wall_ms": True}}, "limits.wall_ms"),
        ({"limits": {"wall_ms": 1.5}}, "limits.wall_ms"),
        ({"limits": {"memory_bytes": 1}}, "limits.memory_bytes"),
        ({"limits": {"startup_ms": 5}}, "limits.startup_ms"),
        ({"limits": []}, "limits"),
        ({"wait": 61}, "wait"),
        ({"wait": -1}, "wait"),
        ({"wait": "yes"}, "wait"),
        ({"wait": None}, "wait"),
    ],
)
def test_invalid_submission_names_the_field(
    api: Api, alive: object, change: dict[str, object], path: str
) -> None:
    error = check(api.call("POST", "/executions", {**BODY, **change}), 422, "invalid_request")
    assert path in paths(error), error


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../x",
        "a/../x",
        "",
        ".",
        "a/./b",
        "a//b",
        "a\0b",
        "a\nb",
        "x" * 513,
        "/".join("a" * 33),
    ],
)
def test_bad_paths(api: Api, alive: object, path: str) -> None:
    body = with_files({"path": "main.mjs", "content": ""}, {"path": path, "content": ""})
    error = check(api.call("POST", "/executions", body), 422, "invalid_request")
    assert paths(error) == ["files.1.path"]


def test_several_problems_are_reported_together(api: Api, alive: object) -> None:
    body = {**with_files({"path": "/a", "content": ""}), "env": {"PATH": ""}, "args": ["\0"]}
    error = check(api.call("POST", "/executions", body), 422, "invalid_request")
    assert paths(error) == ["files.0.path", "args.0", "env.PATH"]


def test_too_many_files(api: Api, alive: object) -> None:
    body = with_files(*({"path": f"f{n}", "content": ""} for n in range(1001)))
    error = check(api.call("POST", "/executions", body), 422, "invalid_request")
    assert paths(error) == ["files"]


def test_files_larger_than_the_disk(api: Api, alive: object) -> None:
    body = with_files({"path": "main.mjs", "content": "x" * 1_100_000})
    body["limits"] = {"disk_bytes": 1024 * 1024}
    error = check(api.call("POST", "/executions", body), 422, "invalid_request")
    assert paths(error) == ["limits.disk_bytes"]


def test_body_too_large(api: Api, alive: object, settings: Settings) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 2_000
    response = api.call("POST", "/executions", {**BODY, "stdin": "x" * 3_000})
    check(response, 413, "too_large")


def send_chunked(api: Api, raw: bytes) -> Any:
    """Send a chunked body as a server passes it on: without a length, but with an end."""
    given: dict[str, Any] = {
        "wsgi.input": io.BytesIO(raw),
        "wsgi.input_terminated": True,
        "HTTP_TRANSFER_ENCODING": "chunked",
        "CONTENT_TYPE": "application/json",
    }
    headers = {"Authorization": f"Bearer {api.secret}"}
    return api.client.generic("POST", "/api/v1/executions", headers=headers, **given)


def test_chunked_body_is_taken(api: Api, alive: object) -> None:
    assert send_chunked(api, json.dumps(BODY).encode()).status_code == 201


def test_chunked_body_too_large(api: Api, alive: object, settings: Settings) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 2_000
    check(send_chunked(api, b"[" + b" " * 3_000), 413, "too_large")


def test_refused_body_is_read_to_its_end(api: Api, alive: object, settings: Settings) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 2_000
    payload = io.BytesIO(b"x" * 500_000)
    given: dict[str, Any] = {"wsgi.input": payload, "CONTENT_LENGTH": "500000"}
    response = Client().generic("POST", "/api/v1/executions", **given)
    check(response, 401, "unauthorized")
    assert payload.tell() == 500_000


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1", ""],
)
def test_wrong_media_type(api: Api, alive: object, kind: str) -> None:
    response = api.call("POST", "/executions", BODY, **{"Content-Type": kind})
    check(response, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Bearer nonsense", "Basic eA==", "Bearer \xff"]
)
def test_no_or_bad_token(api: Api, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    response = Client().get("/api/v1/executions", headers=headers)
    check(response, 401, "unauthorized")
    assert response["WWW-Authenticate"].startswith("Bearer")


def test_scope_is_needed(current: Version, alive: object) -> None:
    reader, runner = make_api("reader", "read"), make_api("runner", "execute")
    error = check(reader.call("POST", "/executions", BODY), 403, "forbidden")
    assert error["details"] == {"scope": "execute"}
    check(runner.call("GET", "/executions"), 403, "forbidden")
    check(reader.call("POST", "/templates/tiny/promote", {}), 403, "forbidden")
    assert make_api("boss", "admin").call("GET", "/executions").status_code == 200


@pytest.mark.parametrize(
    "path", ["/api/v1/nothing", "/api/v1/executions/", "/api/v3/x", "/api", "/api/", "/api/v1/"]
)
def test_unknown_address(api: Api, path: str) -> None:
    check(Client().get(path), 404, "not_found")
    check(Client().post(path, "{", content_type="application/json"), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/api/v1/executions", {"GET", "POST"}),
        ("PUT", "/api/v1/templates", {"GET"}),
        ("GET", "/api/v1/executions/batch", {"POST"}),
        ("POST", "/healthz", {"GET"}),
        ("POST", "/readyz", {"GET"}),
    ],
)
def test_wrong_method(api: Api, method: str, path: str, allowed: set[str]) -> None:
    response = Client().generic(method, path)
    check(response, 405, "method_not_allowed")
    assert {name.strip() for name in response["Allow"].split(",")} == allowed


def test_head_is_served(api: Api) -> None:
    response = api.call("HEAD", "/executions")
    assert response.status_code == 200


@pytest.mark.parametrize(
    "reference",
    [
        "nope",
        "tiny@",
        "tiny@x",
        "tiny@99",
        f"tiny@{10**30}",
        "tiny@sha256:12",
        "",
        "a\0b",
        "tiny@٣",
    ],
)
def test_unknown_template_or_version(api: Api, alive: object, reference: str) -> None:
    response = api.call("POST", "/executions", {**BODY, "template": reference})
    assert response.status_code in {404, 422}
    assert json.loads(response.content)["error"]["code"] in {
        "unknown_template",
        "unknown_version",
        "invalid_request",
    }


def test_unknown_template_has_its_code(api: Api, alive: object) -> None:
    body = {**BODY, "template": "nope"}
    check(api.call("POST", "/executions", body), 404, "unknown_template")
    check(api.call("POST", "/executions", {**BODY, "template": "tiny@5"}), 404, "unknown_version")


@pytest.mark.parametrize(
    "identifier", ["x", "0" * 32, "00000000-0000-7000-8000-000000000000", "%00"]
)
def test_unknown_execution(api: Api, identifier: str) -> None:
    for path in (f"/executions/{identifier}", f"/executions/{identifier}/files"):
        check(api.call("GET", path), 404, "unknown_execution")
    check(api.call("POST", f"/executions/{identifier}/cancel"), 404, "unknown_execution")


def test_not_built_tells_how_to_build(api: Api, alive: object) -> None:
    make_template_row("fresh", title="Fresh")
    response = api.call("POST", "/executions", {**BODY, "template": "fresh"})
    error = check(response, 409, "not_built")
    assert "manage.py build_template fresh" in error["message"]


def test_quarantined_is_unavailable(api: Api, alive: object, current: Version) -> None:
    VersionHealth.objects.filter(version=current).update(state=HealthState.QUARANTINED)
    response = api.call("POST", "/executions", BODY)
    check(response, 503, "template_unavailable")
    assert response["Retry-After"]


def test_no_executor(api: Api) -> None:
    response = api.call("POST", "/executions", BODY)
    check(response, 503, "no_executor")
    assert response["Retry-After"]


def test_queue_full(api: Api, alive: object, settings: Settings) -> None:
    settings.STENCIL_QUEUE_LIMIT = 2
    api.submit()
    api.submit()
    response = api.call("POST", "/executions", BODY)
    check(response, 503, "queue_full")
    assert response["Retry-After"]


def test_a_callback_to_a_private_address_is_refused(api: Api, alive: object) -> None:
    body = {**BODY, "callback_url": "https://10.0.0.1/"}
    check(api.call("POST", "/executions", body), 422, "invalid_request")
    assert api.call("POST", "/executions", {**BODY, "callback_url": None}).status_code == 201


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=x",
        "state=done",
        "state=queued&state=running",
        "mode=x",
        "version=0",
        "version=99999999999999999999",
        "since=yesterday",
        "since=2026-01-01",
        "until=9999-12-31T23:59:59-23:00",
        "label=x",
        "label=:x",
        "cursor=x",
        "cursor=%C3%A9",
        "cursor=MjAyNi0wMS0wMXww",
        "colour=red",
        "client=%00",
        "wait=5",
    ],
)
def test_bad_query(api: Api, query: str) -> None:
    check(api.call("GET", f"/executions?{query}"), 422, "invalid_request")


def test_searching_text_is_not_supported_yet(api: Api) -> None:
    check(api.call("GET", "/executions?q=hello world"), 422, "not_supported")


@pytest.mark.parametrize("wait", ["x", "61", "-1", "nan", "inf", "1e999", ""])
def test_bad_wait_parameter(api: Api, alive: object, wait: str) -> None:
    made = api.submit()
    check(api.call("GET", f"/executions/{made['id']}?wait={wait}"), 422, "invalid_request")


def test_locked_database_is_busy(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "page", _raising(OperationalError("database is locked")))
    response = api.call("GET", "/executions")
    check(response, 503, "busy")
    assert response["Retry-After"]


def test_full_disk_is_said(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "page", _raising(OperationalError("database or disk is full")))
    error = check(api.call("GET", "/executions"), 503, "busy")
    assert "disk is full" in error["message"]


def test_really_locked_database_is_busy_and_then_serves(
    api: Api, alive: object, tmp_path: Path
) -> None:
    connection.ensure_connection()
    connection.connection.execute("PRAGMA busy_timeout=50")
    with closing(sqlite3.connect(connection.settings_dict["NAME"])) as other:
        other.execute("BEGIN IMMEDIATE")
        check(api.call("POST", "/executions", minimal_template.HELLO.body()), 503, "busy")
        other.rollback()
    assert api.submit()["state"] == "queued"
    connection.close()


def test_really_full_disk_is_said_and_then_serves(api: Api, alive: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA page_count")
        cursor.execute(f"PRAGMA max_page_count={cursor.fetchone()[0]}")
    large = minimal_template.program("//" + "x" * 1_000_000)
    error = check(api.call("POST", "/executions", large.body()), 503, "busy")
    assert "disk is full" in error["message"]
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA max_page_count=1073741823")
    assert api.submit(large)["state"] == "queued"
    connection.close()


def test_a_missing_table_is_our_failure(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "page", _raising(OperationalError("no such table: x")))
    check(api.call("GET", "/executions"), 500, "internal")


def test_our_own_failure_has_an_id_and_no_trace(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "page", _raising(RuntimeError("secret detail")))
    response = api.call("GET", "/executions")
    error = check(response, 500, "internal")
    assert error["details"]["error_id"]
    assert "secret" not in response.content.decode()


def test_html_is_never_a_reply(api: Api, alive: object) -> None:
    hostile = base64.b64encode(bytes(range(256))).decode()
    for body in (hostile, f'"{hostile}"', "<html>", '{"files": 1}'):
        assert api.call("POST", "/executions", body)["Content-Type"] == "application/json"


def test_entry_of_tests_is_not_looked_for(api: Api, alive: object) -> None:
    body = minimal_template.suite("").body("test", entry="main.ts")
    made = api.call("POST", "/executions", body)
    assert made.status_code == 201
    assert made.json()["entry"] is None


def _raising(error: Exception) -> Callable[..., None]:
    def fail(**_values: object) -> None:
        raise error

    return fail
