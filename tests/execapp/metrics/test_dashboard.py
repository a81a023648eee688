"""Test that dashboard, alerts and the page on metrics name metrics and labels that exist."""

import json
import re
from typing import Any

import pytest
from prometheus_client.metrics_core import Metric

from execapp.counters import families
from execapp.services import metrics
from tests import factories
from tests.conftest import ROOT

DASHBOARD = ROOT / "docs/reference/grafana-dashboard.json"
PAGE = ROOT / "docs/how-to/monitor-with-prometheus.md"
NAME = re.compile(r"\bstencil_[a-z_]+")
SELECTOR = re.compile(r"(stencil_[a-z_]+)\{([^}]*)\}")
GROUPED = re.compile(r"by \(([a-z, ]+)\) \(")


@pytest.fixture
def served(db: None) -> list[Metric]:
    """Return every metric of the service; those of the pool have a sample."""
    group = {"template": "tiny", "version": 1, "mode": "run", "spare": False, "warm": 2}
    group |= {"desired": 4, "memory_bytes": 7, "per_minute": 1.0}
    factories.make_heartbeat_row(pool={"budget_bytes": 1, "groups": [group]})
    factories.make_promotion_row(factories.make_version_row(factories.make_template_row()))
    return metrics.collect()


def labels_of(served: list[Metric]) -> dict[str, set[str]]:
    """Return the labels of each name that a query may use."""
    found: dict[str, set[str]] = {}
    for metric in served:
        labels = (
            set(families.FAMILIES[metric.name].labels)
            if metric.name in families.FAMILIES
            else {label for sample in metric.samples for label in sample.labels}
        )
        if metric.type == "counter":
            found[f"{metric.name}_total"] = labels
        elif metric.type == "histogram":
            found |= {
                f"{metric.name}_{part}": labels | {"le"} for part in ("bucket", "sum", "count")
            }
        else:
            found[metric.name] = labels
    return found


def expressions() -> list[str]:
    document: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    queries = [each["query"]["query"] for each in document["templating"]["list"][1:]]
    panels = [target["expr"] for panel in document["panels"] for target in panel.get("targets", ())]
    return queries + panels


def test_the_dashboard_uses_existing_names_and_labels(served: list[Metric]) -> None:
    known = labels_of(served)
    for text in [*expressions(), *re.findall(r"expr: (.*)", PAGE.read_text(encoding="utf-8"))]:
        names = NAME.findall(text)
        assert names, text
        for name in names:
            assert name in known, text
        for name, selector in SELECTOR.findall(text):
            assert {part.partition("=")[0] for part in selector.split(",")} <= known[name], text
        for group in GROUPED.findall(text):
            wanted = {label.strip() for label in group.split(",")}
            assert any(wanted <= known[name] for name in names), text


def test_the_dashboard_shows_every_metric(served: list[Metric]) -> None:
    used = {name for text in expressions() for name in NAME.findall(text)}
    for metric in served:
        assert any(name.startswith(metric.name) for name in used), metric.name


def test_panels_do_not_overlap() -> None:
    places = [panel["gridPos"] for panel in json.loads(DASHBOARD.read_text("utf-8"))["panels"]]
    cells = [
        (place["x"] + x, place["y"] + y)
        for place in places
        for x in range(place["w"])
        for y in range(place["h"])
    ]
    assert len(cells) == len(set(cells))


def test_the_page_lists_every_metric_with_its_labels(served: list[Metric]) -> None:
    rows = re.findall(r"^\| `(stencil_\w+)` \| (.*?) \| (.*?) \|$", PAGE.read_text("utf-8"), re.M)
    shown = {name: ({*re.findall(r"`(\w+)`", labels)}, text) for name, labels, text in rows}
    known = labels_of(served)
    expected = {}
    for metric in served:
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        labels = known.get(name, known.get(f"{name}_bucket", set())) - {"le"}
        expected[name] = (labels, metric.documentation)
    assert shown == expected
