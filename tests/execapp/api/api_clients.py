"""API clients by scope, and helpers for the tests of templates over the API."""

import json
from typing import Any

from templatemgr.models import AuditEvent, Template
from tests import factories
from tests.execapp.conftest import Api, make_api


def reader() -> Api:
    """Return a client that may read templates and change nothing."""
    return make_api("looker", "read")


def changer() -> Api:
    """Return a client that may change templates."""
    return make_api("ci-bot", "read", "templates")


def boss() -> Api:
    """Return a client with every permission."""
    return make_api("boss", "admin")


def post(api: Api, path: str, body: object, status: int = 200) -> Any:
    """Send a POST that must succeed with this status; return the parsed reply."""
    response = api.call("POST", path, body)
    assert response.status_code == status, response.content
    return response.json()


def refused(api: Api, method: str, path: str, body: object, status: int, code: str) -> Any:
    """Send a request that must fail with this status and code; return the error."""
    response = api.call(method, path, body)
    assert response.status_code == status, response.content
    error = response.json()["error"]
    assert error["code"] == code, error
    return error


def last_event() -> AuditEvent:
    """Return the newest event of the audit trail."""
    return AuditEvent.objects.latest("sequence")


def tiny() -> Template:
    """Return the row of the tiny template."""
    return factories.make_template_row("tiny", title="Tiny")


def frames(text: str) -> list[tuple[str, str, Any]]:
    """Return (id, event, data) of each server-sent event, without comments and the greeting."""
    found = []
    for block in text.split("\n\n"):
        pairs = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
        if "event" in pairs:
            found.append((pairs["id"], pairs["event"], json.loads(pairs["data"])))
    return found
