"""Test the transport of the door for MCP: hostile messages, origins, and the closed door."""

import json
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from pytest_django import Settings

from execapp.models import Execution
from tests.execapp.conftest import Api

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


def post(api: Api, body: object, *, content_type: str = "application/json", **headers: str) -> Any:
    """Send a message; return the response."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"Authorization": f"Bearer {api.secret}", **headers}
    client = Client(raise_request_exception=False)
    return client.post("/mcp", raw, content_type=content_type, headers=given)


def test_ping_and_the_versions(api: Api) -> None:
    assert post(api, PING).json() == {"jsonrpc": "2.0", "id": 1, "result": {}}
    for wanted, given in (("2025-06-18", "2025-06-18"), ("1999-01-01", "2025-11-25")):
        message = {**PING, "method": "initialize", "params": {"protocolVersion": wanted}}
        found = post(api, message).json()["result"]
        assert found["protocolVersion"] == given
        assert found["capabilities"] == {"tools": {"listChanged": False}}
    assert post(api, PING, **{"MCP-Protocol-Version": "2025-06-18"}).status_code == 200
    refused = post(api, PING, **{"MCP-Protocol-Version": "1999-01-01"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, -32600)


def test_notifications_and_answers_get_no_reply(api: Api) -> None:
    for body in (
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 1, "result": {}},
    ):
        response = post(api, body)
        assert (response.status_code, response.content) == (202, b"")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, -32000),
        (b'{"jsonrpc": "2.0", "id": 1, "id": 2, "method": "ping"}', 400, -32000),
        (b"[" * 100_000, 400, -32000),
        ([PING, PING], 400, -32600),
        ("ping", 400, -32600),
        (None, 400, -32600),
        ({**PING, "jsonrpc": "1.0"}, 400, -32600),
        ({**PING, "id": None}, 400, -32600),
        ({**PING, "id": {}}, 400, -32600),
        ({**PING, "id": True}, 400, -32600),
        ({**PING, "id": "x" * 1000}, 400, -32600),
        ({**PING, "method": 3}, 400, -32600),
        ({**PING, "params": []}, 400, -32600),
        ({**PING, "method": "resources/list"}, 200, -32601),
        ({**PING, "method": "server/discover"}, 200, -32601),
        ({**PING, "method": "tools/call"}, 200, -32602),
        ({**PING, "method": "tools/call", "params": {"name": ["run_code"]}}, 200, -32602),
        (
            {**PING, "method": "tools/call", "params": {"name": "run_code", "arguments": []}},
            200,
            -32602,
        ),
    ],
)
def test_wrong_messages(api: Api, body: object, status: int, code: int) -> None:
    response = post(api, body)
    assert response.status_code == status, response.content
    found = response.json()
    assert (found["jsonrpc"], found["error"]["code"]) == ("2.0", code)
    assert found["error"]["message"]
    assert not Execution.objects.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"template": 3, "files": "x"},
        {"template": "tiny", "files": [3] * 5000},
        {"template": "tiny", "files": [], "env": {str(n): n for n in range(5000)}},
        {"template": "tiny", "files": [{"path": "a", "content": "b", "encoding": "base64"}]},
        {"template": "tiny", "files": [{"path": "a\u0000", "content": ""}]},
        {"template": "tiny", "files": [], "wait_seconds": -1},
        {"template": "tiny", "files": [], **{f"k{n}": n for n in range(400)}},
    ],
)
def test_wrong_arguments_are_a_failed_result(
    api: Api, alive: object, arguments: dict[str, Any]
) -> None:
    params = {"name": "run_code", "arguments": arguments}
    response = post(api, {**PING, "method": "tools/call", "params": params})
    assert response.status_code in {200, 400}, response.content
    if response.status_code == 200:
        result = response.json()["result"]
        assert result["isError"]
        assert json.loads(result["content"][0]["text"])["code"] in {"invalid_request", "malformed"}
    assert len(response.content) < 64 * 1024
    assert not Execution.objects.exists()


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("localhost:8000", "http://localhost:6274", 200),
        ("127.0.0.1:8000", "http://localhost", 200),
        ("stencil.example.org", "https://stencil.example.org", 200),
        ("stencil.example.org", "https://tools.example.org", 200),
        ("stencil.example.org", "https://evil.example", 403),
        ("evil.example", "http://evil.example", 403),  # its name leads to us
        ("localhost", "http://evil.example", 403),
        ("stencil.example.org", "http://localhost", 403),
        ("stencil.example.org", "null", 403),
        ("stencil.example.org", "http://[", 403),
    ],
)
def test_the_origin_of_a_page(
    api: Api, settings: Settings, host: str, origin: str, status: int
) -> None:
    settings.ALLOWED_HOSTS = ["stencil.example.org", "*"]
    settings.CSRF_TRUSTED_ORIGINS = ["https://tools.example.org"]
    response = post(api, PING, Host=host, Origin=origin)
    assert response.status_code == status, response.content
    if status == 403:
        assert response.json()["error"]["data"]["code"] == "forbidden"


def test_refusals_have_the_shape_of_json_rpc(api: Api) -> None:
    anonymous = Client().post("/mcp", json.dumps(PING), content_type="application/json")
    assert anonymous.status_code == 401
    assert anonymous["WWW-Authenticate"].startswith("Bearer")
    assert anonymous.json()["error"]["data"]["code"] == "unauthorized"
    assert post(api, PING, content_type="text/plain").status_code == 415
    for method in ("get", "delete", "put"):
        response = getattr(Client(), method)("/mcp")
        assert (response.status_code, response["Allow"]) == (405, "POST")


def test_refusals_before_the_view_have_it_too(api: Api) -> None:
    big = post(api, PING, **{"X-Many": "x" * 40_000})
    assert (big.status_code, big.json()["jsonrpc"]) == (413, "2.0")
    assert big.json()["error"]["message"]


def test_the_rate_limit_holds(api: Api, settings: Settings) -> None:
    settings.STENCIL_RATE_PER_MINUTE = 2
    codes = [post(api, PING).status_code for _ in range(3)]
    assert codes == [200, 200, 429]
    refused = post(api, PING)
    assert int(refused["Retry-After"]) > 0
    assert refused.json()["error"]["data"]["code"] == "rate_limited"


def test_a_closed_door_is_not_found(api: Api, settings: Settings) -> None:
    settings.STENCIL_DOORS = ()
    response = post(api, PING)
    assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")


def test_unknown_doors_stop_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    from webui import settings as module

    monkeypatch.setenv("STENCIL_DOORS", "mcp,gopher")
    with pytest.raises(ImproperlyConfigured, match="gopher"):
        importlib.reload(module)
    monkeypatch.setenv("STENCIL_DOORS", "mcp")
    importlib.reload(module)
