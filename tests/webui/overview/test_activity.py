"""Test the charts of the overview: executions by time, by result and by duration."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from templatemgr.models import Version
from tests import factories
from webui.activity import queries
from webui.shell import charts

NOON = datetime(2026, 3, 5, 12, 0, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    """Clear the cache of the charts before and after each test."""
    queries.forget()
    yield
    queries.forget()


@pytest.fixture
def version(db: None) -> Version:
    return factories.make_version_row(factories.make_template_row())


def ran(version: Version, at: datetime, state: str = "succeeded", total: float = 20.0) -> None:
    timings: Any = {"total_ms": total}
    factories.make_execution_row(version, state, created_at=at, timings=timings)


def test_an_hour_is_counted_by_minute_and_outcome(version: Version) -> None:
    ran(version, NOON, "succeeded", 10)
    ran(version, NOON - timedelta(minutes=1), "succeeded", 20)
    ran(version, NOON - timedelta(minutes=1), "timed_out", 40)
    ran(version, NOON - timedelta(minutes=1), "error", 30)
    ran(version, NOON - timedelta(minutes=61))
    ran(version, NOON, "queued")
    found = queries.buckets(queries.HOUR, NOON)
    assert len(found) == 60
    before, now = found[-2:]
    assert (now.succeeded, now.failed, now.errors) == (1, 0, 0)
    assert (before.succeeded, before.failed, before.errors) == (1, 1, 1)
    assert (before.median_ms, before.p95_ms) == (30.0, 40.0)
    assert sum(bucket.total for bucket in found) == 4


def test_a_day_is_counted_by_half_hours(version: Version) -> None:
    for minutes in (0, 29, 31, 23 * 60, 25 * 60):
        ran(version, NOON - timedelta(minutes=minutes))
    found = queries.buckets(queries.DAY, NOON)
    assert [bucket.start for bucket in found][-2:] == [
        datetime(2026, 3, 5, 11, 30, tzinfo=UTC),
        datetime(2026, 3, 5, 12, 0, tzinfo=UTC),
    ]
    assert [bucket.total for bucket in found][-3:] == [1, 1, 1]
    assert sum(bucket.total for bucket in found) == 4


def test_past_minutes_are_read_once(version: Version) -> None:
    ran(version, NOON - timedelta(minutes=30))
    first = queries.buckets(queries.HOUR, NOON)
    with CaptureQueriesContext(
        connection,
    ) as captured:
        again = queries.buckets(queries.HOUR, NOON)
    assert again == first
    assert len(captured) == 2
    assert "11:57" in captured[0]["sql"]  # only minutes that may still change
    later = queries.buckets(queries.HOUR, NOON + timedelta(minutes=1))
    assert sum(bucket.total for bucket in later) == 1


def test_counting_reads_nothing_but_an_index(version: Version) -> None:
    ran(version, NOON)
    with CaptureQueriesContext(connection) as captured:
        queries.buckets(queries.DAY, NOON)
    with connection.cursor() as cursor:
        for query in captured:
            cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
            plan = " / ".join(row[3] for row in cursor.fetchall())
            assert "SEARCH" in plan, plan
            assert "SCAN" not in plan, plan


def test_the_page_draws_it_with_a_table_behind(admin: Client, version: Version) -> None:
    now = timezone.now()
    ran(version, now, "succeeded", 12)
    ran(version, now, "failed", 15)
    page = admin.get("/").content.decode()
    assert 'class="plot-ok"' in page
    assert 'class="plot-warn"' in page
    assert "Show as a table" in page
    day = admin.get("/overview/activity?range=day").content.decode()
    assert "Last day" in day
    assert "<html" not in day


def test_an_empty_hour_describes_the_future_content(admin: Client) -> None:
    assert "The charts show outcomes" in admin.get("/").content.decode()


def test_an_unchanged_chart_is_sent_once(admin: Client, version: Version) -> None:
    first = admin.get("/overview/state")
    seen = first.content.decode().partition("seen=")[2].partition('"')[0]
    assert seen
    assert admin.get(f"/overview/state?seen={seen}").status_code == 204
    factories.make_promotion_row(version)
    changed = admin.get(f"/overview/state?seen={seen}")
    assert changed.status_code == 200
    assert 'id="attention" hx-swap-oob="true"' in changed.content.decode()


@pytest.mark.parametrize(
    ("value", "top"),
    [(0, 1), (0.7, 1), (1, 1), (3, 5), (11, 20), (21, 25), (99, 100), (2500, 2500)],
)
def test_an_axis_ends_with_a_round_number(value: float, top: float) -> None:
    assert charts.nice(value) == pytest.approx(top)


def test_columns_stand_upon_each_other_and_end_at_the_top() -> None:
    chart = charts.columns([("bad", [1.0, 0.0]), ("ok", [3.0, 5.0])], ["a", "b"])
    assert [bar.kind for bar in chart.bars] == ["bad", "ok", "ok"]
    assert chart.bars[1].y + chart.bars[1].height == pytest.approx(chart.bars[0].y)
    assert chart.bars[2].y == 0
    assert [tick.text for tick in chart.values] == ["5"]


def test_a_gap_parts_a_line_and_a_lone_value_is_seen() -> None:
    chart = charts.curves([("median", [1.0, 2.0, None, 4.0])], ["a", "b", "c", "d"], unit=" ms")
    first, second = (points for _, points in chart.lines)
    assert len(first.split()) == 2
    left, right = (point.split(",") for point in second.split())
    assert float(left[0]) < 525 < float(right[0])
    assert left[1] == right[1]
    assert chart.values[-1].text == "5 ms"


def test_a_template_counts_its_own_alone(version: Version) -> None:
    other = factories.make_version_row(factories.make_template_row("python", title="Python"))
    ran(version, NOON, total=10)
    ran(version, NOON, "failed", 30)
    ran(other, NOON, total=500)
    for _ in range(2):  # the cache of one is not used for another
        mine = queries.buckets(queries.DAY, NOON, template="typescript")[-1]
        theirs = queries.buckets(queries.DAY, NOON, template="python")[-1]
        everything = queries.buckets(queries.DAY, NOON)[-1]
        assert (mine.total, mine.median_ms, mine.p95_ms) == (2, 20.0, 30.0)
        assert (theirs.total, theirs.median_ms) == (1, 500.0)
        assert everything.total == 3


def test_the_page_of_a_template_draws_its_day_with_the_table_behind(
    admin: Client, version: Version
) -> None:
    other = factories.make_version_row(factories.make_template_row("python", title="Python"))
    ran(version, timezone.now() - timedelta(minutes=50), total=23)
    ran(other, timezone.now() - timedelta(minutes=50), total=777)
    page = admin.get("/templates/typescript").text
    assert 'hx-get="/templates/typescript/activity?range=day"' in page
    assert 'aria-label="Median time and p95"' in page
    assert ">23.0 ms</td>" in page
    assert "777 ms" not in page
    hour = admin.get("/templates/typescript/activity?range=hour", headers={"HX-Request": "true"})
    assert "<html" not in hour.text
    assert 'href="/templates/typescript?range=day#activity"' in hour.text
    assert admin.get("/templates/cobol/activity").status_code == 404
