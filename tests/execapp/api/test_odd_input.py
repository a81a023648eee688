"""Send odd values to every operation of the OpenAPI schema: no 5xx, and JSON in the error shape."""

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from templatemgr.models import Version
from tests.execapp.api.api_clients import boss, tiny
from tests.factories import make_build_row

ODD_PARTS = ("tiny", "1", "0", "-1", "٣", "%00", "%ff", "%ed%a0%80", "x" * 300, "9" * 30, "a%2fb")
ODD_QUERIES = (
    "limit=٣",
    "limit=1e3",
    "limit=" + "9" * 30,
    "limit=-1",
    "cursor=%00",
    "cursor=%ff",
    "cursor=💥",
    "cursor=" + "A" * 150,
    "cursor=" + "9" * 30,
    "state=%00",
    "against=%ff",
    "format=%00",
    "reason=%00",
    "wait=nan",
    "wait=" + "9" * 400,
    "since=99999-01-01T00:00:00Z",
    "version=٣",
    "label=%00",
    "q=%00",
    "x=1",
    "limit[]=1",
    "&&&=",
    "against=1&against=2",
)
ODD_VALUES: tuple[object, ...] = (
    None,
    True,
    -1,
    2**70,
    1e308,
    0.1,
    "",
    "\0",
    "٣",
    "x" * 2000,
    "💥",
    [],
    [[]],
    {},
    {"": ""},
    [None],
    {"a": {"b": 1}},
)
ODD_BODIES = (
    b"",
    b"\x00",
    b"\xff\xfe",
    b"null",
    b"[]",
    b'"x"',
    b"1e999",
    b"[" * 5000,
    b'{"a":1,"a":2}',
    b'{"reason":"\\ud800"}',
)


@pytest.fixture(scope="module")
def operations() -> list[tuple[str, str, list[str]]]:
    """Return (method, path, names of the body's fields) of every operation under /api/v1."""
    schema = Client().get("/api/v1/openapi.json").json()
    found = []
    for path, calls in schema["paths"].items():
        for method, call in calls.items():
            body = call.get("requestBody", {}).get("content", {}).get("application/json", {})
            reference = json.dumps(body.get("schema", {}))
            name = re.search(r"#/components/schemas/(\w+)", reference)
            fields = schema["components"]["schemas"][name[1]]["properties"] if name else {}
            found.append((method.upper(), path.removeprefix("/api/v1"), list(fields)))
    return found


def check(response: Any, said: object) -> None:
    assert response.status_code < 500 or response.status_code == 503, (said, response.content)
    if response.status_code >= 400:
        assert response["Content-Type"] == "application/json", said
        error = response.json()["error"]
        assert set(error) == {"code", "message", "details"}, said


def filled(path: str, value: str) -> str:
    return re.sub(r"\{[a-z_:]+\}", value, path)


def test_there_are_calls(operations: list[tuple[str, str, list[str]]]) -> None:
    called = {(method, path) for method, path, _ in operations}
    assert ("POST", "/templates/{name}/promote") in called
    assert ("DELETE", "/templates/{name}/versions/{number}") in called
    assert len(called) >= 30


def test_odd_addresses(
    current: Version, settings: Settings, operations: list[tuple[str, str, list[str]]]
) -> None:
    settings.STENCIL_RATE_PER_MINUTE = 0
    api = boss()
    for method, path, _ in operations:
        for part in ODD_PARTS:
            if "{" in path and not path.startswith("/builds/{build_id}/events"):
                check(api.call(method, filled(path, part)), (method, path, part))


def test_odd_queries(
    current: Version, settings: Settings, operations: list[tuple[str, str, list[str]]]
) -> None:
    settings.STENCIL_RATE_PER_MINUTE = 0
    api = boss()
    build = make_build_row(tiny())
    for method, path, _ in operations:
        if method == "GET":
            known = re.sub(r"\{(name)\}", "tiny", path).replace("{number}", "1")
            known = filled(known, str(build.pk if "build" in path else uuid.uuid4()))
            for query in ODD_QUERIES:
                check(api.call("GET", f"{known}?{query}"), (path, query))


def test_odd_bodies(
    current: Version, settings: Settings, operations: list[tuple[str, str, list[str]]]
) -> None:
    settings.STENCIL_RATE_PER_MINUTE = 0
    api = boss()
    for method, path, fields in operations:
        if fields:
            address = path.replace("{name}", "tiny").replace("{number}", "1")
            for body in bodies(fields):
                check(api.call(method, filled(address, "1"), body), (method, path, body))


def bodies(fields: list[str]) -> Iterator[Any]:
    """Yield malformed bodies, then each field with each odd value beside plausible values."""
    plausible: dict[str, Any] = {
        "kind": "rebuild",
        "from": None,
        "packages": [],
        "files": None,
        "reason": "x",
        "version": 1,
        "required": None,
        "template": "tiny",
        "mode": "run",
    }
    whole = {field: plausible[field] for field in fields if field in plausible}
    yield from ODD_BODIES
    for field in fields:
        for value in ODD_VALUES:
            yield {**whole, field: value}
