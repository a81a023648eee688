"""What the tests of a template's life over the API share: clients by scope."""

import json
from typing import Any

from templatemgr.models import AuditEvent, Template
from tests import factories
from tests.execapp.conftest import Api, make_api


def reader() -> Api:
    """May look at templates and change nothing."""
    return make_api("looker", "read")


def changer() -> Api:
    """May change templates."""
    return make_api("ci-bot", "read", "templates")


def boss() -> Api:
    """May do everything."""
    return make_api("boss", "admin")


def post(api: Api, path: str, body: object, status: int = 200) -> Any:
    """The parsed reply to a POST that must answer so."""
    response = api.call("POST", path, body)
    assert response.status_code == status, response.content
    return response.json()


def refused(api: Api, method: str, path: str, body: object, status: int, code: str) -> Any:
    """The error of a call that must be refused so."""
    response = api.call(method, path, body)
    assert response.status_code == status, response.content
    error = response.json()["error"]
    assert error["code"] == code, error
    return error


def last_event() -> AuditEvent:
    """The newest event of the audit trail."""
    return AuditEvent.objects.latest("sequence")


def tiny() -> Template:
    """Return the row of the tiny template."""
    return factories.make_template_row("tiny", title="Tiny")


def frames(text: str) -> list[tuple[str, str, Any]]:
    """(id, event, data) of each server-sent event; comments and the hello are left out."""
    found = []
    for block in text.split("\n\n"):
        pairs = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
        if "event" in pairs:
            found.append((pairs["id"], pairs["event"], json.loads(pairs["data"])))
    return found
