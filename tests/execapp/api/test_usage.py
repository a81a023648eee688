"""Test `/usage`: sums by token, template and day, who sees which, spans, pages and indexes."""

import json
import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django.fixtures import Settings

from execapp.api.v1.schemas.usage import UsageReportOut
from execapp.models import ApiToken, TokenUsage
from execapp.services import claims, usage
from execapp.services.storage import day_of
from tests import minimal_template
from tests.conftest import ROOT
from tests.execapp.api import web_server
from tests.execapp.conftest import Api, make_api
from tests.timeouts import HANGS_SECONDS

WHOLE = "since=2026-01-01&until=2026-12-31"


def add(token: ApiToken, day: str, template: str, executions: int, cpu_ms: int) -> None:
    TokenUsage.objects.create(
        token=token, day=day, template_name=template, executions=executions, cpu_ms=cpu_ms
    )


@pytest.fixture
def other(api: Api) -> Api:
    """Return another token; both have rows of three days and two templates."""
    other = make_api("other")
    for token, factor in ((api.token, 1), (other.token, 100)):
        add(token, "2026-03-01", "python", 1 * factor, 10 * factor)
        add(token, "2026-03-01", "node", 2 * factor, 20 * factor)
        add(token, "2026-03-02", "python", 3 * factor, 30 * factor)
        add(token, "2026-03-04", "node", 4 * factor, 40 * factor)
    return other


def sums(answer: Any, key: str) -> list[tuple[str, int, int]]:
    UsageReportOut.model_validate(answer)
    return [(item[key], item["executions"], item["cpu_ms"]) for item in answer["items"]]


def test_a_token_sees_its_own_sums(api: Api, other: Api) -> None:
    days = [("2026-03-04", 4, 40), ("2026-03-02", 3, 30), ("2026-03-01", 3, 30)]
    assert sums(api.get(f"/usage?{WHOLE}"), "day") == days
    assert sums(api.get(f"/usage?by=template&{WHOLE}"), "template") == [
        ("node", 6, 60),
        ("python", 4, 40),
    ]
    own = api.get(f"/usage?by=token&{WHOLE}")
    assert sums(own, "token") == [(str(api.token.id), 10, 100)]
    assert own["items"][0]["client"] == api.token.name


def test_admin_sees_all_and_read_is_needed(api: Api, other: Api) -> None:
    admin = make_api("boss", "admin")
    found = admin.get(f"/usage?by=token&{WHOLE}")
    assert sums(found, "client") == [("other", 1000, 10_000), (api.token.name, 10, 100)]
    assert sums(admin.get(f"/usage?by=day&{WHOLE}"), "day")[0] == ("2026-03-04", 404, 4040)
    assert make_api("deaf", "execute").call("GET", "/usage").status_code == 403
    assert api.client.get("/api/v1/usage").status_code == 401


def test_a_day_that_is_covered_in_part_counts_whole(api: Api, other: Api) -> None:
    for query, days in (
        ("since=2026-03-01&until=2026-03-02", ["2026-03-01"]),
        ("since=2026-03-01T23:59:59Z&until=2026-03-02T00:00:01Z", ["2026-03-02", "2026-03-01"]),
        ("since=2026-03-02T23:30:00-01:00&until=2026-04-01", ["2026-03-04"]),
        ("since=2026-03-04&until=2026-03-01", []),
    ):
        answer = api.get("/usage?" + query.replace(":", "%3A"))
        assert [item["day"] for item in answer["items"]] == days, query
    answer = api.get("/usage?until=2026-03-05")
    assert answer["since"] == "2026-02-03T00:00:00.000000Z"
    assert answer["until"] == "2026-03-05T00:00:00.000000Z"
    assert len(answer["items"]) == 3


@pytest.mark.parametrize("by", ["token", "template", "day"])
def test_pages_follow_each_other(api: Api, other: Api, by: str) -> None:
    admin = make_api("boss", "admin")
    whole = admin.get(f"/usage?by={by}&{WHOLE}")["items"]
    found: list[Any] = []
    cursor: Any = ""
    while cursor is not None:
        page = admin.get(f"/usage?by={by}&{WHOLE}&limit=1{cursor and '&cursor=' + cursor}")
        assert len(page["items"]) == 1
        found += page["items"]
        cursor = page["next"]
    assert found == whole
    assert len(found) == {"token": 2, "template": 2, "day": 3}[by]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("by=hour", "by"),
        ("since=yesterday", "since"),
        ("until=2026-02-30", "until"),
        ("since=2026-03-01T00:00:00", "since"),
        ("since=0001-01-01", "since"),
        ("limit=0", "limit"),
        ("cursor=2026", "cursor"),
        ("by=token&cursor=1", "cursor"),
        ("since=", "since"),
        ("token=all", "token"),
    ],
)
def test_wrong_values_are_named(api: Api, query: str, field: str) -> None:
    answer = api.call("GET", f"/usage?{query}")
    assert answer.status_code == 422
    assert [each["path"] for each in answer.json()["error"]["details"]["fields"]] == [field]


def test_ends_are_in_the_report(api: Api, alive: object) -> None:
    api.submit()
    claimed = claims.claim(worker="w")
    assert claimed is not None
    values = {"state": "succeeded", "usage": {"cpu_ms": 41}, "timings": {}}
    assert claims._end(claimed, claimed.attempt, values)
    assert sums(api.get("/usage?by=template"), "template") == [("tiny", 1, 41)]
    assert sums(api.get("/usage"), "day") == [(day_of(timezone.now()), 1, 41)]


@pytest.mark.parametrize("by", ["token", "template", "day"])
def test_an_index_finds_the_rows(api: Api, by: str) -> None:
    tokens = [make_api(f"t{number}").token for number in range(20)]
    first = timezone.now() - timedelta(days=399)
    TokenUsage.objects.bulk_create(
        TokenUsage(token=token, day=day_of(first + timedelta(days=day)), template_name=name)
        for token in tokens
        for day in range(400)
        for name in ("a", "b")
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    for reader in (api, make_api("boss", "admin")):
        with CaptureQueriesContext(connection) as queries:
            reader.get(f"/usage?by={by}")
        [asked] = [each["sql"] for each in queries if "GROUP BY" in each["sql"]]
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {asked}")
            plan = "\n".join(row[3] for row in cursor.fetchall())
        assert "SEARCH execapp_tokenusage USING INDEX" in plan, plan


def test_old_days_are_forgotten_in_batches(
    api: Api, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "DELETED_AT_ONCE", 2)
    now = timezone.now()
    for days in (0, 399, 400, 401, 402, 403):
        add(api.token, day_of(now - timedelta(days=days)), "tiny", 1, 1)
    settings.STENCIL_USAGE_DAYS = 0
    claims.forget_keys()
    assert TokenUsage.objects.count() == 6
    settings.STENCIL_USAGE_DAYS = 400
    claims.forget_keys()
    assert TokenUsage.objects.count() == 4
    for _ in range(2):
        claims.forget_keys()
    left = TokenUsage.objects.order_by("day").values_list("day", flat=True)
    assert list(left) == [day_of(now - timedelta(days=days)) for days in (400, 399, 0)]


@pytest.fixture
def committed_rows(committed: None, api: Api) -> Api:
    """Return a token with the rows of `other`, which the threads of a web server see."""
    add(api.token, "2026-03-01", "python", 1, 10)
    add(api.token, "2026-03-01", "node", 2, 20)
    add(api.token, "2026-03-02", "python", 3, 30)
    add(api.token, "2026-03-04", "node", 4, 40)
    return api


@pytest.mark.parametrize("language", ["sh", "python", "js"])
def test_the_page_on_usage(
    committed_rows: Api, language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs/how-to/read-usage.md").read_text(encoding="utf-8")
    shown = re.search(rf"```{language}\n(.*?)```", page, re.DOTALL)
    answer = re.search(r"```json\n(.*?)```", page, re.DOTALL)
    assert shown is not None
    assert answer is not None
    path = tmp_path / {"sh": "a.sh", "python": "a.py", "js": "a.mjs"}[language]
    path.write_text(shown[1], encoding="utf-8")
    tools = {"sh": "sh", "python": sys.executable, "js": str(minimal_template.node_binary())}
    with web_server.serve(monkeypatch) as web:
        base = f"http://127.0.0.1:{web.port}/api/v1"
        said = subprocess.run(
            [tools[language], str(path)],
            env={**os.environ, "STENCIL": base, "TOKEN": committed_rows.secret},
            capture_output=True,
            text=True,
            timeout=HANGS_SECONDS,
            check=True,
        ).stdout
    if language == "sh":
        assert json.loads(said) == json.loads(answer[1])
    else:
        assert said == "2026-03-04 4 40\n2026-03-02 3 30\n2026-03-01 3 30\n"
