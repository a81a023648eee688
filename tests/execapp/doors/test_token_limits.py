"""Test the limits of a token on every door: 403, 429 and their headers, in the door's own shape."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from pytest_django import Settings

from execapp.models import Execution
from execapp.services import token_limits
from execapp.services.token_limits import TokenLimits
from templatemgr.models import Version
from tests import factories, minimal_template
from tests.execapp.conftest import Api
from tests.execapp.doors.conftest import send

FILE = {"name": "main.mjs", "content": "1"}
JOB = {"language": "tiny", "version": "*", "files": [FILE]}
CALL = {
    "jsonrpc": "2.0",
    "id": 7,
    "method": "tools/call",
    "params": {
        "name": "run_code",
        "arguments": {"template": "tiny", "files": [{"path": "main.mjs", "content": "1"}]},
    },
}
BODIES: dict[str, tuple[str, Any]] = {
    "api": ("/api/v1/executions", minimal_template.HELLO.body()),
    "piston": ("/api/v2/execute", JOB),
    "judge0": ("/judge0/submissions", {"source_code": "1", "language_id": 63}),
    "mcp": ("/mcp", CALL),
}
DOORS = sorted(BODIES)
# The message of an error, in the shape of each door.
MESSAGES: dict[str, Callable[[Any], str]] = {
    "api": lambda body: str(body["error"]["message"]),
    "piston": lambda body: str(body["message"]),
    "judge0": lambda body: str(body["error"]),
    "mcp": lambda body: str(body["error"]["message"]),
}
NAMES = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "Retry-After")


@pytest.fixture(autouse=True)
def numbers(settings: Settings) -> None:
    settings.STENCIL_JUDGE0_LANGUAGES = {63: "tiny"}


def submit(api: Api, door: str) -> Any:
    path, body = BODIES[door]
    return send(api, "POST", path, json.dumps(body), Authorization=f"Bearer {api.secret}")


def limit(api: Api, **limits: Any) -> None:
    token_limits.replace_all(token_id=api.token.id, limits=TokenLimits(**limits), actor="ann")


def headers(response: Any) -> list[str | None]:
    return [response.headers.get(name) for name in NAMES]


def failed_call(response: Any) -> Any:
    """Return the error of a failed call of a tool."""
    assert response.status_code == 200
    result = response.json()["result"]
    assert result["isError"] is True
    return json.loads(result["content"][0]["text"])


@pytest.mark.parametrize("door", DOORS)
def test_a_template_that_is_not_allowed(api: Api, alive: object, door: str) -> None:
    factories.make_template_row("other")
    limit(api, templates=("other",), requests_per_minute=60)
    response = submit(api, door)
    said = "This token may not run 'tiny'; it may run other."
    if door == "mcp":
        error = failed_call(response)
        assert (error["code"], error["message"]) == ("forbidden", said)
    else:
        assert response.status_code == 403
        assert MESSAGES[door](response.json()) == said
    assert headers(response) == ["60", "59", "1", None]
    assert not Execution.objects.exists()


@pytest.mark.parametrize("door", DOORS)
def test_too_many_requests(api: Api, alive: object, door: str) -> None:
    limit(api, requests_per_minute=1)
    assert api.get("/me")["left"]["requests"] == 0
    response = submit(api, door)
    assert response.status_code == 429
    assert MESSAGES[door](response.json()).startswith("At most 1 requests a minute are served")
    most, left, reset, retry = headers(response)
    assert (most, left) == ("1", "0")
    assert reset is not None
    assert retry is not None
    assert 1 <= int(retry) <= int(reset) <= 60
    assert not Execution.objects.exists()


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("limits", "most", "left"),
    [({"open_executions": 1}, "1", "0"), ({"bytes_per_day": 1000}, "1000", "1000")],
)
def test_a_quota_that_is_used_up(
    api: Api, alive: object, door: str, limits: dict[str, int], most: str, left: str
) -> None:
    if "open_executions" in limits:
        api.submit()
    count = Execution.objects.count()
    limit(api, requests_per_minute=60, **limits)
    response = submit(api, door)
    if door == "mcp":
        error = failed_call(response)
        assert error["code"] == "quota_exceeded"
        assert error["details"]["limit_name"] == next(iter(limits))
        assert error["details"]["retry_after"] >= 1
        assert headers(response)[:2] == ["60", "59"]  # the request itself is served
    else:
        assert response.status_code == 429
        assert MESSAGES[door](response.json())
        shown = headers(response)
        assert shown[:2] == [most, left]
        assert shown[2] == shown[3]
    assert Execution.objects.count() == count
    me = api.get("/me")
    name = next(iter(limits))
    assert str(me["limits"][name]) == most
    assert str(me["left"][name.removesuffix("_per_day")]) == left


def test_a_request_without_a_limit_has_headers_only_from_a_quota(
    api: Api, alive: object, current: Version, settings: Settings
) -> None:
    settings.STENCIL_RATE_PER_MINUTE = 0
    limit(api, open_executions=1)
    assert headers(submit(api, "api")) == [None] * 4
    assert headers(submit(api, "api")) == ["1", "0", "1", "1"]
