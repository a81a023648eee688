"""Test that a list of executions costs the same with many on record, whatever its filters."""

import itertools
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core import parsing
from execapp import history
from execapp.history import ExecutionFilter, Viewer, walk
from execapp.models import Execution, ExecutionLabel
from templatemgr.models import Version
from tests import factories

FEW, MANY = 1_000, 30_000
START = datetime(2026, 1, 1, tzinfo=UTC)
ALL = Viewer(client="admin", everything=True)
OWN = Viewer(client="often", by_token=False)
# Each filter with a value that is frequent, one that is rare and one that nothing has. The frequent
# ones exclude each other: the state by turns with the client, the mode with the template.
CHOICES: dict[str, tuple[Any, ...]] = {
    "template": ("often", "rare", "none"),
    "version": (1, 2, 9),
    "state": ("succeeded", "error", "queued"),
    "mode": ("run",),
    "client": ("often", "rare", "none"),
    "labels": ((("a", "often"),), (("a", "often"), ("b", "often")), (("c", "rare"),)),
    "since": (START + timedelta(seconds=100),),
    "until": (START + timedelta(seconds=900),),
    "q": ("0",),
}
ONE_WINDOW = 20_000  # steps in a window, which few executions need not fill


def combinations() -> Iterator[dict[str, Any]]:
    """Yield every combination of filters with the first values, and every pair with all values."""
    names = list(CHOICES)
    for size in range(len(names) + 1):
        for some in itertools.combinations(names, size):
            yield {name: CHOICES[name][0] for name in some}
    for one, other in itertools.combinations(names, 2):
        for values in itertools.product(CHOICES[one], CHOICES[other]):
            yield dict(zip((one, other), values, strict=True))
    for three in itertools.combinations(("template", "version", "state", "client", "labels"), 3):
        for values in itertools.product(*(CHOICES[name][:2] for name in three)):
            yield dict(zip(three, values, strict=True))


def identifier(number: int) -> uuid.UUID:
    """Return an id that begins with the time, as the ids of executions do."""
    milliseconds = int(START.timestamp() * 1000) + number * 1000
    return uuid.UUID(int=(milliseconds << 80) | (7 << 76) | (2 << 62) | number)


def fill(versions: list[Version], first: int, last: int) -> None:
    """Record executions: each frequent value has half of them, each rare one one in a thousand."""
    rows, labels = [], []
    for number in range(first, last):
        odd, rare = number % 2, number % 1000 == 500
        row = Execution(
            id=identifier(number),
            created_at=START + timedelta(seconds=number),
            client="rare" if rare else ("often" if odd else "other"),
            template_name="rare" if rare else ("often" if odd else "other"),
            version=versions[2 if rare else odd],
            mode="test" if odd else "run",
            state="error" if rare else ("failed" if odd else "succeeded"),
        )
        rows.append(row)
        labels.append(("b" if odd else "a", "often", row))
        if rare:
            labels.append(("c", "rare", row))
    Execution.objects.bulk_create(rows)
    ExecutionLabel.objects.bulk_create(
        ExecutionLabel(key=key, value=value, execution=row) for key, value, row in labels
    )


@pytest.fixture(autouse=True)
def no_statistics(db: None) -> None:
    """Forget what ANALYZE found in another test: SQLite keeps it in memory after a rollback."""
    tables = connection.introspection.table_names()
    with connection.cursor() as cursor:
        if "sqlite_stat1" in tables:
            cursor.execute("DELETE FROM sqlite_stat1")
        cursor.execute("ANALYZE sqlite_master")  # reads the statistics again: there are none


@pytest.fixture
def versions(db: None) -> list[Version]:
    made = [("often", 1), ("other", 1), ("rare", 2)]
    return [
        factories.make_version_row(factories.make_template_row(name), number)
        for name, number in made
    ]


def read(filters: dict[str, Any], viewer: Viewer = ALL, **place: Any) -> Any:
    """Return one page."""
    return history.page(filters=ExecutionFilter(**filters), viewer=viewer, limit=50, **place)


def places(first: int) -> list[dict[str, Any]]:
    """Return the newest page, one within, and one on the way back, at the execution `first`."""
    at = parsing.write_cursor(START + timedelta(seconds=first), identifier(first))
    return [{}, {"cursor": at}, {"newer": at}]


@contextmanager
def steps_counted(every: int = 50) -> Iterator[list[int]]:
    """Count the steps of the database's virtual machine, the same number on any machine."""
    counted = [0]

    def count() -> int:
        counted[0] += every
        return 0

    connection.ensure_connection()
    connection.connection.set_progress_handler(count, every)
    try:
        yield counted
    finally:
        connection.connection.set_progress_handler(None, 0)


def all_steps(size: int) -> list[tuple[dict[str, Any], int, int]]:
    """Return what each combination of filters costs on each of three pages."""
    made = []
    for filters in combinations():
        for number, place in enumerate(places(size * 7 // 10)):
            with steps_counted() as counted:
                read(filters, **place)
            made.append((filters, number, counted[0]))
    return made


def test_a_page_takes_as_many_steps_of_many_executions_as_of_few(versions: list[Version]) -> None:
    fill(versions, 0, FEW)
    before = all_steps(FEW)
    fill(versions, FEW, MANY)
    after = all_steps(MANY)
    worse = [
        (filters, number, few, many)
        for (filters, number, few), (_, _, many) in zip(before, after, strict=True)
        if many > 1.5 * few + ONE_WINDOW
    ]
    assert worse == []


@pytest.mark.parametrize("analyzed", [False, True], ids=["no statistics", "statistics"])
def test_no_page_scans_the_executions_or_sorts_them(
    versions: list[Version], analyzed: bool
) -> None:
    fill(versions, 0, 3 * FEW)
    if analyzed:
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
    asked: dict[str, str] = {}
    for filters in combinations():
        for viewer, place in itertools.product((ALL, OWN), places(2 * FEW)):
            connection.queries_log.clear()  # it holds a bounded number
            with CaptureQueriesContext(connection) as queries:
                read(filters, viewer, **place)
            asked |= {shape(query["sql"]): query["sql"] for query in queries}
    for sql in asked.values():
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
            plan = " / ".join(row[3] for row in cursor.fetchall())
        assert "TEMP B-TREE" not in plan, (plan, sql)
        assert "MULTI-INDEX" not in plan, (plan, sql)
        in_order = re.sub(
            r"SCAN execapp_execution USING (COVERING )?INDEX execution_newest", "", plan
        )
        assert "SCAN execapp" not in in_order, (plan, sql)


def shape(sql: str) -> str:
    """Return a query with its times, ids and numbers taken out."""
    return re.sub(r"\b[0-9a-f]{32}\b|[0-9]+", "0", sql)


@pytest.mark.parametrize("window", [60, 500])
def test_short_pages_follow_each_other_without_a_gap_or_a_repeat(
    versions: list[Version], monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    monkeypatch.setattr(walk, "WINDOW", window)
    fill(versions, 0, FEW)
    everything = list(Execution.objects.select_related("version").order_by("-created_at"))
    labels: dict[uuid.UUID, set[tuple[str, str]]] = {row.pk: set() for row in everything}
    for label in ExecutionLabel.objects.all():
        labels[label.execution_id].add((label.key, label.value))
    for filters in itertools.islice(combinations(), 0, None, 7):
        expected = [row.pk for row in everything if matches(row, labels[row.pk], filters)]
        down, cursor = [], None
        while True:
            page = read(filters, cursor=cursor)
            down += [row.pk for row in page.items]
            cursor = page.next
            if cursor is None:
                break
        assert down == expected, filters
        up: list[uuid.UUID] = []
        place = parsing.write_cursor(START, uuid.UUID(int=0))
        while True:
            page = read(filters, newer=place)
            if page.previous is None:  # the newest page: some of it may be known
                up += [row.pk for row in reversed(page.items) if row.pk not in set(up)]
                break
            up += [row.pk for row in reversed(page.items)]
            place = page.previous
        assert up[::-1] == expected, filters


def matches(row: Execution, labels: set[tuple[str, str]], filters: dict[str, Any]) -> bool:
    """Return whether an execution meets the filters, without the database."""
    named = row.version.template.name if "version" in filters else row.template_name
    met = {
        "template": named == filters.get("template"),
        "version": row.version.number == filters.get("version"),
        "state": row.state == filters.get("state"),
        "mode": row.mode == filters.get("mode"),
        "client": row.client == filters.get("client"),
        "labels": labels >= set(filters.get("labels", ())),
        "since": row.created_at >= filters.get("since", row.created_at),
        "until": row.created_at < filters.get("until", row.created_at),
        "q": str(row.pk).startswith(filters.get("q", "")),
    }
    return all(met[name] for name in filters)
