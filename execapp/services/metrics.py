"""The metrics of `/metrics`, as families of the Prometheus client library.

They come from rows, which all processes share: counters that every process adds to, heartbeats of
the executors, and counts of short tables. No query reads the history of executions.
"""

import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from itertools import accumulate
from typing import Any

from django.conf import settings
from django.db.models import Count, QuerySet
from django.utils import timezone
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric

from execapp.counters import families, tally
from execapp.models import (
    ALIVE_WITHIN,
    Delivery,
    DeliveryState,
    Execution,
    ExecutionState,
    ExecutorHeartbeat,
)
from execapp.services import health
from templatemgr.models import Build, HealthState, Promotion, Template, VersionHealth

type Counts = dict[tuple[str, ...], float]


def collect() -> list[Metric]:
    """Return every metric now; the number of queries does not depend on the rows."""
    now = timezone.now()
    alive = list(ExecutorHeartbeat.objects.filter(seen_at__gt=now - ALIVE_WITHIN))
    alive.sort(key=lambda row: row.worker)
    return [
        *_counters(),
        *_queue(now),
        *_executors(alive),
        *_pool(alive),
        *_templates(),
        _callbacks(),
        *_disk(),
    ]


def _counters() -> Iterator[Metric]:
    found = tally.read()
    for family in families.FAMILIES.values():
        counts = found[family.name]
        if family.bounds:
            yield _histogram(family, counts)
        else:
            yield _counter(family.name, family.text, family.labels, counts)


def _histogram(family: families.Family, counts: Counts) -> Metric:
    metric = HistogramMetricFamily(family.name, family.text, labels=family.labels)
    bounds = [*(str(bound) for bound in family.bounds), "+Inf"]
    for values in sorted({labels[:-1] for labels in counts}):
        numbers = accumulate(counts.get((*values, bound), 0) for bound in bounds)
        total = counts.get((*values, families.SUM), 0)
        metric.add_metric(values, list(zip(bounds, numbers, strict=True)), total)
    return metric


def _queue(now: datetime) -> Iterator[Metric]:
    states = health.open_counts()
    queued = Execution.objects.filter(state=ExecutionState.QUEUED).order_by("created_at", "id")
    oldest = queued.values_list("created_at", flat=True).first()
    age = max(0.0, (now - oldest).total_seconds()) if oldest else 0.0
    queue = states.get(ExecutionState.QUEUED, 0)
    running = states.get(ExecutionState.RUNNING, 0)
    yield _value("stencil_queue_executions", "Executions that wait for a slot.", queue)
    yield _value("stencil_queue_oldest_seconds", "Age of the oldest of them; 0 for none.", age)
    yield _value("stencil_running_executions", "Executions that run now.", running)


def _executors(alive: list[ExecutorHeartbeat]) -> Iterator[Metric]:
    yield _value("stencil_executors", "Executors with a recent heartbeat.", len(alive))
    texts = {
        "slots": "Slots of an executor.",
        "busy": "Executions that an executor runs.",
        "builds_running": "Builds that an executor runs.",
        "draining": "1 while an executor stops and takes no executions.",
        "trouble": "1 while an executor cannot start a sandbox.",
    }
    for field, text in texts.items():
        counts: Counts = {(row.worker,): _number(getattr(row, field)) for row in alive}
        yield _gauge(f"stencil_executor_{field}", text, ("executor",), counts)


def _number(value: object) -> float:
    """Return a number as it is, and 1 or 0 for a text."""
    return float(value) if isinstance(value, int) else float(bool(value))


def _pool(alive: list[ExecutorHeartbeat]) -> Iterator[Metric]:
    labels = ("template", "version", "mode", "start")
    waiting: Counter[tuple[str, ...]] = Counter()
    desired, memory, servers = waiting.copy(), waiting.copy(), waiting.copy()
    for group in health.warm_groups(alive):
        start = "fork" if group.tier else "warm"
        key = (group.template, str(group.version), group.mode, start)
        waiting[key] += group.warm
        desired[key] += group.desired
        memory[key] += group.memory_bytes
        servers[key] += group.serving
    budget = sum(row.pool.get("budget_bytes", 0) for row in alive)
    yield _value("stencil_pool_budget_bytes", "Memory that the warm pools may use.", budget)
    for name, text, counts in (
        ("sandboxes", "Sandboxes that wait for an execution: forked, or loaded alone.", waiting),
        ("desired", "Sandboxes that demand asks for.", desired),
        ("memory_bytes", "Memory of the waiting sandboxes and fork servers.", memory),
        ("fork_servers", "Fork servers that serve.", servers),
    ):
        yield _gauge(f"stencil_pool_{name}", text, labels, dict(counts))


def _templates() -> Iterator[Metric]:
    builds = Build.objects.order_by().values_list("template__name", "state")
    text = "Builds on record, by state."
    yield _gauge("stencil_builds", text, ("template", "state"), _counted(builds))
    promotions = Promotion.objects.order_by().values_list("template__name", "kind")
    text = "Changes of a current version: promotions and roll backs."
    yield _counter("stencil_promotions", text, ("template", "kind"), _counted(promotions))
    healths = VersionHealth.objects.order_by().values_list("version__template__name", "state")
    known: Counts = {}
    for (name, state), count in _counted(healths).items():
        state = state if state in HealthState.values else "unknown"
        known[name, state] = known.get((name, state), 0) + count
    yield _gauge("stencil_versions", "Versions, by health.", ("template", "health"), known)
    yield from _current()


def _current() -> Iterator[Metric]:
    rows = list(
        Template.objects.filter(current__isnull=False)
        .order_by("name")
        .values_list("name", "current__number", "current__health__state")
    )
    numbers: Counts = {(name,): number for name, number, _ in rows}
    healthy: Counts = {(name,): state == HealthState.VERIFIED for name, _, state in rows}
    text = "Number of the current version."
    yield _gauge("stencil_template_current_version", text, ("template",), numbers)
    text = "1 if the current version is verified and served."
    yield _gauge("stencil_template_current_healthy", text, ("template",), healthy)


def _callbacks() -> Metric:
    rows = Delivery.objects.filter(state__in=(DeliveryState.QUEUED, DeliveryState.SENDING))
    found = dict(rows.order_by().values_list("state").annotate(n=Count("pk")))
    text = "Callbacks that are not delivered yet: queued, or being sent."
    states = (DeliveryState.QUEUED, DeliveryState.SENDING)
    counts: Counts = {(state.value,): found.get(state, 0) for state in states}
    return _gauge("stencil_callbacks", text, ("state",), counts)


def _disk() -> Iterator[Metric]:
    disk = shutil.disk_usage(settings.STENCIL_DATA)
    yield _value("stencil_disk_free_bytes", "Free bytes on the disk of the data.", disk.free)
    yield _value("stencil_disk_size_bytes", "Size of that disk.", disk.total)
    least = settings.STENCIL_FREE_BYTES
    yield _value("stencil_disk_least_free_bytes", "Free bytes that submissions need.", least)


def _counted(rows: QuerySet[Any, tuple[str, str]]) -> Counts:
    return {(name, state): count for name, state, count in rows.annotate(n=Count("pk"))}


def _value(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _gauge(name: str, text: str, labels: tuple[str, ...], counts: Counts) -> Metric:
    metric = GaugeMetricFamily(name, text, labels=labels)
    for values, count in sorted(counts.items()):
        metric.add_metric(values, count)
    return metric


def _counter(name: str, text: str, labels: tuple[str, ...], counts: Counts) -> Metric:
    metric = CounterMetricFamily(name, text, labels=labels)
    for values, count in sorted(counts.items()):
        metric.add_metric(values, count)
    return metric
