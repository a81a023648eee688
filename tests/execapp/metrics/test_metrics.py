"""Test `GET /metrics`: who may read it, what it says, and what a scrape costs."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_parser
from prometheus_client.parser import text_string_to_metric_families

from execapp.api.http.metrics import SCRAPE
from execapp.counters import counting, families, tally
from execapp.counters.tally import TALLY
from execapp.executor.daemon import Daemon
from execapp.models import CounterRow, Execution
from execapp.services import claims, metrics
from templatemgr.models import Version
from tests import factories
from tests.execapp.conftest import Api, make_api
from tests.minimal_template import HELLO

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
LOCAL = {"headers": {"Host": "localhost"}}


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Begin and end with no counts in this process."""
    TALLY.clear()
    SCRAPE.forget()
    yield
    TALLY.clear()
    SCRAPE.forget()


def scraped(client: Client | None = None) -> Samples:
    """Flush, scrape as a local process, and return the samples by name and labels."""
    TALLY.flush()
    SCRAPE.forget()
    response = (client or Client()).get("/metrics", headers={"Host": "localhost"})
    assert response.status_code == 200, response.content
    assert response["Content-Type"].startswith("text/plain; version=0.0.4")
    return parsed(response.content.decode())


def parsed(text: str) -> Samples:
    """Return the samples of Prometheus' text format."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


def value(found: Samples, name: str, **labels: str) -> float | None:
    return found.get((name, frozenset(labels.items())))


def test_ended_executions_are_counted_by_version_and_phase(api: Api, executor: Daemon) -> None:
    for _ in range(2):
        assert api.submit(HELLO, wait=20)["state"] == "succeeded"
    found = scraped()
    ended = {"template": "tiny", "version": "1", "mode": "run", "state": "succeeded"}
    assert value(found, "stencil_executions_total", **ended) == 2
    assert value(found, "stencil_execution_starts_total", template="tiny", start="cold") == 2
    for phase in ("queued", "setup", "run", "collect", "total"):
        labels = {"template": "tiny", "phase": phase}
        assert value(found, "stencil_execution_phase_seconds_count", **labels) == 2
        assert value(found, "stencil_execution_phase_seconds_bucket", **labels, le="+Inf") == 2
    total = value(found, "stencil_execution_phase_seconds_sum", template="tiny", phase="total")
    times = [row.timings["total_ms"] / 1000 for row in Execution.objects.all()]
    assert total == pytest.approx(sum(times))


def test_cancelled_and_lost_executions_are_counted_once(api: Api, alive: object) -> None:
    made = api.submit()
    for _ in range(2):
        api.call("POST", f"/executions/{made['id']}/cancel")
    for _ in range(1):
        api.submit()
        taken = claims.claim(worker="gone")
        assert taken is not None
        Execution.objects.filter(pk=taken.pk).update(
            attempt=3, lease_until=timezone.now() - timedelta(minutes=1)
        )
        assert claims.reap() == 1
    found = scraped()
    labels = {"template": "tiny", "version": "1", "mode": "run"}
    assert value(found, "stencil_executions_total", **labels, state="cancelled") == 1
    assert value(found, "stencil_executions_total", **labels, state="error") == 1


def test_the_queue_the_executors_and_the_pool(api: Api, alive: Any) -> None:
    alive.slots, alive.busy, alive.trouble = 3, 1, "no descriptors"
    group = {"template": "tiny", "version": 1, "mode": "run", "tier": "run", "serving": True}
    group |= {"forks": 9, "reason": "", "spare": False, "warm": 2, "desired": 4}
    alive.pool = {"budget_bytes": 99, "groups": [{**group, "memory_bytes": 7, "per_minute": 1.0}]}
    alive.save()
    gone = timezone.now() - timedelta(minutes=1)
    factories.make_heartbeat_row(worker="dead", seen_at=gone)
    api.submit()
    Execution.objects.update(created_at=timezone.now() - timedelta(minutes=5))
    api.submit()
    found = scraped()
    assert value(found, "stencil_queue_executions") == 2
    assert 300 <= (value(found, "stencil_queue_oldest_seconds") or 0) < 4000
    assert value(found, "stencil_running_executions") == 0
    assert value(found, "stencil_executors") == 1
    assert value(found, "stencil_executor_slots", executor="exec-1") == 3
    assert value(found, "stencil_executor_trouble", executor="exec-1") == 1
    assert value(found, "stencil_executor_slots", executor="dead") is None
    labels = {"template": "tiny", "version": "1", "mode": "run", "start": "fork"}
    assert value(found, "stencil_pool_sandboxes", **labels) == 2
    assert value(found, "stencil_pool_desired", **labels) == 4
    assert value(found, "stencil_pool_memory_bytes", **labels) == 7
    assert value(found, "stencil_pool_fork_servers", **labels) == 1
    assert (value(found, "stencil_disk_free_bytes") or 0) > 0
    assert value(found, "stencil_callbacks", state="queued") == 0


@pytest.mark.usefixtures("db")
def test_builds_promotions_and_health_of_versions() -> None:
    template = factories.make_template_row()
    first = factories.make_version_row(template, health="quarantined")
    factories.make_promotion_row(first)
    factories.make_version_row(template)
    factories.make_version_row(template, health="odd")
    found = scraped()
    name = {"template": "typescript"}
    assert value(found, "stencil_versions", **name, health="quarantined") == 1
    assert value(found, "stencil_versions", **name, health="verified") == 1
    assert value(found, "stencil_versions", **name, health="unknown") == 1
    assert value(found, "stencil_promotions_total", **name, kind="promote") == 1
    assert value(found, "stencil_template_current_version", **name) == 1
    assert value(found, "stencil_template_current_healthy", **name) == 0
    state = first.build.state
    assert value(found, "stencil_builds", **name, state=state) == 3


@pytest.mark.usefixtures("db")
def test_openmetrics_on_request_and_hostile_accepts() -> None:
    TALLY.add(families.REQUESTS, "GET", "/healthz", "200")
    TALLY.flush()
    accept = {"Host": "localhost", "Accept": "application/openmetrics-text; version=1.0.0"}
    response = Client().get("/metrics", headers=accept)
    assert response["Content-Type"].startswith("application/openmetrics-text")
    parsed_families = open_parser(response.content.decode())  # type: ignore[no-untyped-call]
    names = [family.name for family in parsed_families]
    assert "stencil_http_requests" in names
    hostile = {**accept, "Accept": "text/plain; version=" + "9" * 6000}
    assert Client().get("/metrics", headers=hostile).status_code == 200


@pytest.mark.parametrize(
    ("address", "more"),
    [
        ("203.0.113.9", {}),
        ("127.0.0.1", {"X-Forwarded-For": "203.0.113.9"}),
        ("127.0.0.1", {"Forwarded": "for=203.0.113.9"}),
        ("127.0.0.1", {"Host": "rebound.example"}),
        ("127.0.0.1", {"Authorization": "Bearer stn_wrong"}),
    ],
)
@pytest.mark.usefixtures("db")
def test_only_a_local_process_needs_no_token(address: str, more: dict[str, str]) -> None:
    client = Client(REMOTE_ADDR=address)
    response = client.get("/metrics", headers={"Host": "localhost", **more})
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "unauthorized"
    good = make_api("prometheus", "read")
    headers = {"Host": "localhost", **more, "Authorization": f"Bearer {good.secret}"}
    assert client.get("/metrics", headers=headers).status_code == 200


@pytest.mark.usefixtures("db")
def test_a_token_needs_the_scope_read_and_the_request_is_checked() -> None:
    runner = make_api("runner", "execute")
    refused = Client().get("/metrics", headers={"Authorization": f"Bearer {runner.secret}"})
    assert refused.status_code == 403
    assert refused.json()["error"]["details"] == {"scope": "read"}
    assert Client().get("/metrics?x=1", **LOCAL).status_code == 422  # type: ignore[arg-type]
    posted = Client().post("/metrics", **LOCAL)  # type: ignore[arg-type]
    assert (posted.status_code, posted["Allow"]) == (405, "GET")


def test_a_scrape_costs_the_same_with_many_executions(current: Version, api: Api) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            metrics.collect()
        return len(queries)

    before = cost()
    for state in ("succeeded", "failed", "queued", "running") * 20:
        factories.make_execution_row(current, state)
    assert cost() == before <= 10


def test_no_query_of_a_scrape_reads_the_history(current: Version, api: Api) -> None:
    rows = [factories.make_execution_row(current, "succeeded") for _ in range(300)]
    rows += [factories.make_execution_row(current, "queued") for _ in range(3)]
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    with CaptureQueriesContext(connection) as queries:
        metrics.collect()
    asked = [query["sql"] for query in queries if '"execapp_execution"' in query["sql"]]
    assert len(asked) == 2
    for sql in asked:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
            plan = " ".join(str(row[3]) for row in cursor.fetchall())
        assert "SEARCH" in plan or "execution_queue" in plan, plan
        assert "TEMP B-TREE" not in plan, plan


@pytest.mark.usefixtures("db")
def test_many_scrapes_of_a_second_cost_one(django_assert_num_queries: Any) -> None:
    client = Client()
    client.get("/metrics", headers={"Host": "localhost"})
    SCRAPE.until += 3600
    with django_assert_num_queries(0):
        client.get("/metrics", headers={"Host": "localhost"})


@pytest.mark.usefixtures("db")
def test_processes_add_to_the_same_rows() -> None:
    one, other = tally.Tally(), tally.Tally()
    for each in (one, other, one):
        each.add(families.REQUESTS, "GET", "/healthz", "200")
        each.observe(families.REPLIES, "GET", "/healthz", seconds=0.2)
        each.flush()
    counts = tally.read()
    assert counts["stencil_http_requests"] == {("GET", "/healthz", "200"): 3.0}
    replies = counts["stencil_http_request_seconds"]
    assert replies["GET", "/healthz", "0.25"] == 3.0
    assert replies["GET", "/healthz", "sum"] == pytest.approx(0.6)


@pytest.mark.usefixtures("db")
def test_a_failed_flush_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    one = tally.Tally()
    one.add(families.REQUESTS, "GET", "/healthz", "200")
    with monkeypatch.context() as patched:
        patched.setattr(tally, "_ADD", "INSERT INTO nowhere VALUES (%s, %s, %s, %s)")
        with pytest.raises(DatabaseError):
            one.flush()
    one.add(families.REQUESTS, "GET", "/healthz", "200")
    one.flush()
    assert tally.read()["stencil_http_requests"] == {("GET", "/healthz", "200"): 2.0}


@pytest.mark.usefixtures("db")
def test_new_series_of_a_full_family_are_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "MOST_SERIES", 2)
    for number in ("1", "2", "3", "4", "2"):
        one = tally.Tally()  # as after a restart
        one.add(families.EXECUTIONS, "tiny", number, "run", "failed")
        one.flush()
    assert tally.read()["stencil_executions"] == {
        ("tiny", "1", "run", "failed"): 1.0,
        ("tiny", "2", "run", "failed"): 2.0,
        ("other", "other", "run", "failed"): 2.0,
    }


@pytest.mark.usefixtures("db")
def test_series_that_ended_a_month_ago_are_forgotten() -> None:
    TALLY.add(families.REQUESTS, "GET", "/old", "200")
    TALLY.flush()
    CounterRow.objects.update(updated_at=timezone.now() - timedelta(days=32))
    TALLY.add(families.REQUESTS, "GET", "/new", "200")
    TALLY.flush()
    tally.forget()
    assert list(tally.read()["stencil_http_requests"]) == [("GET", "/new", "200")]


@pytest.mark.usefixtures("db")
def test_labels_of_requests_are_bounded() -> None:
    for number in range(50):
        counting.count_request(method=f"M{number}", route=None, status=404, seconds=0.1)
    counting.count_request(method="GET", route=r"^api(?:/[\s\S]*)?\Z", status=404, seconds=0.1)
    counting.count_request(
        method="POST", route=r"^api/v2/(?:piston/)?execute/?\Z", status=200, seconds=0.1
    )
    TALLY.flush()
    assert tally.read()["stencil_http_requests"] == {
        ("POST", "/api/v2/(?:piston/)?execute", "200"): 1.0,
        ("other", "none", "404"): 50.0,
        ("GET", "none", "404"): 1.0,
    }


@pytest.mark.usefixtures("db")
def test_counting_is_safe_for_threads() -> None:
    one = tally.Tally()

    def count() -> None:
        for _ in range(2_000):
            one.add(families.REQUESTS, "GET", "/healthz", "200")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    one.flush()
    assert tally.read()["stencil_http_requests"] == {("GET", "/healthz", "200"): 8000.0}
