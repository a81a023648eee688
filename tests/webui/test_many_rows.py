"""Test pages with many rows: a fixed number of queries, and an index for every list."""

import html
import json
import re
import uuid
from datetime import timedelta
from io import StringIO
from typing import Any
from urllib.parse import urljoin

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from benchmarks.management.commands import page_times
from core import parsing
from execapp import history
from execapp.history import ExecutionFilter, Viewer
from execapp.models import ApiToken, Execution
from templatemgr import audit
from templatemgr.models import Template, Version
from webui.quickstart import sample_data

SMALL = sample_data.Size(executions=1_500, versions=30, tokens=60, events=60)
ALL = Viewer(client="admin", everything=True)
LABEL = (("course", "cs110"),)


@pytest.fixture
def seeded(db: None) -> None:
    sample_data.seed(SMALL, now=timezone.now())
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # the planner knows how many rows there are, as it does in life


@pytest.mark.usefixtures("seeded")
def test_the_rows_are_there_and_hold_together() -> None:
    assert Execution.objects.count() == SMALL.executions
    assert (Version.objects.count(), ApiToken.objects.count()) == (SMALL.versions, SMALL.tokens)
    assert Template.objects.filter(current__isnull=False).count() == len(sample_data.TEMPLATES)
    assert audit.verify_chain().ok
    states = set(Execution.objects.values_list("state", flat=True))
    assert {"succeeded", "failed", "timed_out", "error"} <= states


@pytest.mark.usefixtures("seeded")
def test_a_folder_in_use_is_left_alone() -> None:
    with pytest.raises(CommandError, match="--force"):
        call_command("seed", executions=1)
    assert Execution.objects.count() == SMALL.executions


@pytest.mark.parametrize("address", page_times.addresses())
@pytest.mark.usefixtures("seeded")
def test_a_page_asks_under_twenty_times(admin: Client, address: str) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert admin.get(address).status_code == 200
    assert len(queries) < 20


@pytest.mark.parametrize(
    "filters",
    [
        ExecutionFilter(),
        ExecutionFilter(template="python"),
        ExecutionFilter(state="error"),
        ExecutionFilter(mode="run"),
        ExecutionFilter(client="client-001"),
        ExecutionFilter(template="python", version=3),
        ExecutionFilter(labels=LABEL),
        ExecutionFilter(q="01"),
        ExecutionFilter(since=timezone.now()),
    ],
    ids=["all", "template", "state", "mode", "client", "version", "labels", "search", "since"],
)
@pytest.mark.parametrize("further", [False, True], ids=["first page", "next page"])
@pytest.mark.usefixtures("seeded")
def test_a_list_is_read_from_an_index_in_its_order(filters: ExecutionFilter, further: bool) -> None:
    cursor = None
    if further:
        cursor = history.page(filters=filters, viewer=ALL, limit=5).next
    plan = plan_of(lambda: history.page(filters=filters, viewer=ALL, cursor=cursor, limit=5))
    assert_in_order(plan)
    if cursor:  # and back from the oldest page, where the way up is long
        oldest = parsing.write_cursor(timezone.now() - timedelta(days=9000), uuid.UUID(int=0))
        assert_in_order(
            plan_of(lambda: history.page(filters=filters, viewer=ALL, newer=oldest, limit=1))
        )


def assert_in_order(plan: str) -> None:
    """Assert that a plan reads one index, in its own order."""
    in_order = plan.replace("SCAN execapp_execution USING INDEX execution_newest", "")
    assert "SCAN execapp_execution" not in in_order, plan
    assert "TEMP B-TREE" not in plan, plan


def plan_of(act: Any) -> str:
    """Return the query plan of the last query of `act`."""
    with CaptureQueriesContext(connection) as queries:
        act()
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {queries[-1]['sql']}")
        return " / ".join(row[3] for row in cursor.fetchall())


@pytest.mark.usefixtures("seeded")
def test_pages_follow_each_other_without_a_gap_or_a_repeat() -> None:
    for filters in (
        ExecutionFilter(),
        ExecutionFilter(labels=LABEL),
        ExecutionFilter(q="01", state="failed"),
    ):
        found: list[Any] = []
        cursor: str | None = None
        while True:
            page = history.page(filters=filters, viewer=ALL, cursor=cursor, limit=50)
            found += [row.pk for row in page.items]
            cursor = page.next
            if cursor is None:
                break
        everything = Execution.objects.order_by("-created_at")
        if filters.labels:
            everything = everything.filter(label_rows__key="course", label_rows__value="cs110")
        if filters.state:
            everything = everything.filter(state="failed")
        assert found == list(everything.values_list("pk", flat=True))


@pytest.mark.usefixtures("seeded")
def test_an_empty_page_before_the_end_offers_to_look_further_back(admin: Client) -> None:
    keys = list(Execution.objects.order_by("-created_at").values_list("pk", flat=True))
    Execution.objects.filter(pk__in=keys[:700]).update(state="failed", mode="run")
    Execution.objects.filter(pk__in=keys[700:]).update(state="cancelled", mode="test")
    Execution.objects.filter(pk=keys[-1]).update(mode="run")
    address, asked = f"{reverse('executions')}?state=cancelled&mode=run", 0
    while "Look further back" in (text := admin.get(address).content.decode()):
        (further,) = re.findall(r'href="([^"]+)">Look further back', text)
        address, asked = urljoin(address, html.unescape(further)), asked + 1
    assert asked > 0
    assert str(keys[-1]) in text


@pytest.mark.usefixtures("seeded", "data_dir")
def test_page_times_lists_every_page() -> None:
    out = StringIO()
    call_command("page_times", samples=1, stdout=out)
    times = json.loads(out.getvalue())
    assert set(times) == set(page_times.addresses())
    assert all(0 < each["median_ms"] <= each["p95_ms"] for each in times.values())
