"""Test health checks, the OpenAPI page, messages on the socket, and the strict JSON parser."""

import contextlib
import importlib
import json
import pkgutil
import socket
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client, RequestFactory
from django.utils import timezone
from ninja import NinjaAPI
from pytest_django import Settings

from core.engine import WakeKind, get_engine, protocol
from core.engine.local.engine import LocalEngine
from core.engine.local.sockets import short_address, socket_path
from execapp.api.http import openapi_document, views
from execapp.api.http.json_parser import loads
from execapp.api.v1 import api as api_v1
from execapp.api.v1 import schemas
from execapp.errors import MalformedError
from execapp.executor.daemon import Daemon
from execapp.models import ExecutorHeartbeat
from execapp.services import health, probes
from templatemgr.models import HealthState, Version, VersionHealth
from tests.execapp.conftest import Api, make_api
from tests.minimal_template import HELLO


def test_healthz_needs_no_database() -> None:
    response = Client().get("/healthz")
    assert response.status_code == 200
    assert response.json() == {"status": "ok"}


def test_readyz(current: Version, alive: ExecutorHeartbeat) -> None:
    assert Client().get("/readyz").status_code == 200
    VersionHealth.objects.update(state=HealthState.QUARANTINED)
    response = Client().get("/readyz")
    assert response.status_code == 503
    error = response.json()["error"]
    assert error["code"] == "not_ready"
    assert {check["name"]: check["ok"] for check in error["details"]["checks"]} == {
        "database": True,
        "schema": True,
        "disk": True,
        "executor": True,
        "tiny": False,
    }


def test_readyz_without_an_executor(current: Version, alive: ExecutorHeartbeat) -> None:
    ExecutorHeartbeat.objects.update(seen_at=timezone.now() - timedelta(seconds=11))
    assert Client().get("/readyz").status_code == 503
    snapshot = health.snapshot()
    assert not snapshot.executor_alive
    assert snapshot.slots == 0
    assert snapshot.last_seen is not None


def test_readyz_asks_an_engine_that_crosses_machines_about_executors_elsewhere(
    current: Version, alive: ExecutorHeartbeat, monkeypatch: pytest.MonkeyPatch
) -> None:
    probes.forget()
    assert Client().get("/readyz").status_code == 200
    probes.forget()
    monkeypatch.setattr(LocalEngine, "crosses_machines", True)
    error = Client().get("/readyz").json()["error"]
    probes.forget()
    assert [check["name"] for check in error["details"]["checks"] if not check["ok"]] == ["socket"]


def test_nothing_was_ever_there(committed: None) -> None:
    snapshot = health.snapshot()
    assert not snapshot.executor_alive
    assert snapshot.last_seen is None


def test_openapi_has_every_call_and_documents_errors() -> None:
    schema = Client().get("/api/v1/openapi.json").json()
    assert "/api/v1/executions/{execution_id}/cancel" in schema["paths"]
    assert "/api/v1/templates/{name}/versions/{number}/diff" in schema["paths"]
    for calls in schema["paths"].values():
        for call in calls.values():
            assert "422" in call["responses"]
    identifiers = [
        call["operationId"] for calls in schema["paths"].values() for call in calls.values()
    ]
    assert len(identifiers) == len(set(identifiers))


def test_the_openapi_document_is_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    schema = type(api_v1).get_openapi_schema

    def count(api: NinjaAPI, **kwargs: Any) -> Any:
        written.append(1)
        return schema(api, **kwargs)

    monkeypatch.setattr(type(api_v1), "get_openapi_schema", count)
    view = views.one_shape(openapi_document.view(api_v1))
    requests = [RequestFactory().get("/api/v1/openapi.json") for _ in range(20)]
    with ThreadPoolExecutor(8) as pool:
        contents = {getattr(response, "content", b"") for response in pool.map(view, requests)}
    assert len(contents) == 1
    assert len(written) == 1
    assert len(json.loads(contents.pop())["paths"]) > 10
    Client().get("/api/v1/openapi.json")
    written.clear()
    assert Client().get("/api/v1/openapi.json").status_code == 200
    assert written == []


def test_the_openapi_document_has_an_etag() -> None:
    response = Client().get("/api/v1/openapi.json")
    again = Client().get("/api/v1/openapi.json", headers={"If-None-Match": response["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = Client().head("/api/v1/openapi.json")
    assert (head.status_code, head["ETag"]) == (200, response["ETag"])


def test_docs_use_local_assets_only() -> None:
    page = Client().get("/api/v1/docs").content.decode()
    assert "//cdn" not in page
    assert "/static/ninja/" in page


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b'{"type": "shout"}',
        b'{"type": "wake", "kind": 1}',
        b'{"type": "wait", "id": null}',
        b"[" * 100_000,
    ],
)
def test_wire_refuses(line: bytes) -> None:
    with pytest.raises(protocol.WireError):
        protocol.decode(line)


def test_wire_round_trip() -> None:
    message = protocol.Message(type="wait", id="x")
    assert protocol.decode(protocol.encode(message)) == message


def test_malformed_messages_on_the_socket_have_no_effect(api: Api, executor: Daemon) -> None:
    for nonsense in (b"\n", b"{}\n", b"x" * 5000, b'{"type":"wait","id":"x"}\n'):
        with (
            socket.socket(socket.AF_UNIX) as link,
            short_address(socket_path()) as at,
        ):
            link.connect(at)
            link.sendall(nonsense)
            link.settimeout(5)
            with contextlib.suppress(ConnectionResetError):  # closed with our bytes unread
                assert link.recv(10) == b""
    assert api.submit(HELLO, wait=True)["state"] == "succeeded"


def test_socket_is_ours_alone(executor: Daemon) -> None:
    assert socket_path().stat().st_mode & 0o777 == 0o600


def test_deep_data_directories_have_a_socket_too(
    start_executor: Callable[..., Daemon], tmp_path: Path, settings: Settings
) -> None:
    settings.STENCIL_DATA = tmp_path / ("d" * 60) / ("e" * 60)
    start_executor().stop()


def test_wake_ups_without_an_executor_are_dropped(tmp_path: Path, settings: Settings) -> None:
    settings.STENCIL_DATA = tmp_path
    get_engine().wake(WakeKind.EXECUTION)


def test_strict_json_accepts_valid_json() -> None:
    text = json.dumps({"a": [1, 2.5, None, True, "ü", {"b": []}]})
    assert loads(text.encode()) == json.loads(text)


def test_depth_is_counted() -> None:
    loads(b"[" * 32 + b"]" * 32)
    with pytest.raises(MalformedError, match="nested"):
        loads(b"[" * 33 + b"]" * 33)


def test_no_two_schemas_have_the_same_name() -> None:
    """The document names schemas by their classes, so one would replace the other."""
    found = Counter(
        kind.__name__
        for module in pkgutil.iter_modules(schemas.__path__, f"{schemas.__name__}.")
        for kind in vars(importlib.import_module(module.name)).values()
        if isinstance(kind, type) and kind.__module__ == module.name
    )
    assert [name for name, count in found.items() if count > 1] == []


def test_the_document_names_fields_as_requests_and_replies_do(current: Version) -> None:
    """A field that has an alias in Python, such as `from_`, has only its alias in the document."""
    api = make_api("looker", "read")
    described = Client().get("/api/v1/openapi.json").json()["components"]["schemas"]
    for path, name in (("promotions", "PromotionOut"), ("builds", "BuildOut")):
        (shown,) = api.get(f"/templates/tiny/{path}")["items"]
        assert set(described[name]["properties"]) == set(shown)
        assert set(described[name]["required"]) <= set(shown)
    assert set(described["ToleranceIn"]["properties"]) == {"float"}
    assert [name for kind in described.values() for name in kind.get("properties", {})
            if name.endswith("_")] == []  # fmt: skip


def test_the_document_gives_the_bounds_of_numbers_and_reasons() -> None:
    document = Client().get("/api/v1/openapi.json").json()
    text = json.dumps(document)
    assert all(f'"{word}": ' not in text for word in ("ge", "le", "gt", "lt"))  # of pydantic alone
    for path, name, bounds in (
        ("/executions", "limit", (1, 200)),
        ("/templates/{name}/versions/{number}/diff", "against", (1, 2**31 - 1)),
    ):
        (found,) = (
            each["schema"]
            for each in document["paths"][f"/api/v1{path}"]["get"]["parameters"]
            if each["name"] == name
        )
        assert (found["minimum"], found["maximum"]) == bounds
    schemas = document["components"]["schemas"]
    for name in ("PromoteIn", "RollBackIn", "PolicyIn"):
        reason = schemas[name]["properties"]["reason"]
        assert (reason["minLength"], reason["maxLength"]) == (1, 500)
    for name in ("SubmissionIn", "BatchIn"):
        assert {"boolean", "number"} == {
            each["type"] for each in schemas[name]["properties"]["wait"]["anyOf"]
        }
        assert schemas[name]["properties"]["wait"]["anyOf"][1]["minimum"] == 0
