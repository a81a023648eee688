"""Test the worker of docs/how-to/add-a-worker.md in a real executor."""

import re
import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from types import ModuleType
from typing import Any

import pytest
from django.db import connection
from django.test.utils import isolate_apps

import core.engine
import templatemgr.build
import templatemgr.models
import templatemgr.queues
from core.engine import WakeKind, get_engine
from execapp.executor import lookup_worker
from execapp.executor.daemon import Daemon
from templatemgr.models import AuditEvent, Version
from tests.conftest import ROOT
from tests.execapp.conftest import until

PAGE = (ROOT / "docs/how-to/add-a-worker.md").read_text(encoding="utf-8")
TESTS = (
    "test_one_worker_gets_the_report",
    "test_a_worker_that_lost_its_lease_writes_nothing",
    "test_the_last_attempt_of_a_dead_worker_ends_the_report",
)


def blocks(title: str) -> list[str]:
    """Return the blocks of code with this title after the language."""
    found = re.findall(rf"```[a-z]+ {re.escape(title)}\n(.*?)```", PAGE, re.DOTALL)
    assert found, title
    return found


def run(title: str, module: str) -> ModuleType:
    """Run one block of code of the page as the module of this name."""
    (code,) = blocks(title)
    made = ModuleType(module)
    exec(compile(code, f"add-a-worker.md:{title}", "exec"), vars(made))  # noqa: S102 - our own page
    return made


@pytest.fixture
def model(committed: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Make the model of the page, with a table, in `templatemgr.models`."""
    with isolate_apps("templatemgr"):
        models = run("model", "templatemgr.models.reports")
    for name in ("Report", "ReportState"):
        monkeypatch.setattr(templatemgr.models, name, vars(models)[name], raising=False)
    report = vars(models)["Report"]
    with connection.schema_editor() as editor:
        editor.create_model(report)
    yield report
    with connection.schema_editor() as editor:
        editor.delete_model(report)


@pytest.fixture
def reports(model: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make the services of the page in `templatemgr.build`."""
    queue = run("queue", "templatemgr.queues")
    monkeypatch.setattr(templatemgr.queues, "REPORTS", vars(queue)["REPORTS"], raising=False)
    known = {kind.name: kind.value for kind in WakeKind}
    kinds = StrEnum("WakeKind", {**known, **new_kind()})  # type: ignore[misc]
    monkeypatch.setattr(core.engine, "WakeKind", kinds)
    made = run("service", "templatemgr.build.reports")
    monkeypatch.setattr(templatemgr.build, "reports", made, raising=False)
    monkeypatch.setitem(sys.modules, "templatemgr.build.reports", made)
    return made


def new_kind() -> dict[str, str]:
    """Return the line that the page adds to WakeKind: its name and its value."""
    ((name, value),) = re.findall(r'`([A-Z]+) = "([a-z]+)"', PAGE)
    return {name: value}


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return every kind of work that a service wakes the executor for, in order."""
    kinds: list[str] = []
    monkeypatch.setattr(get_engine(), "wake", kinds.append)
    return kinds


@pytest.mark.parametrize("name", TESTS)
def test_the_tests_of_the_page_pass(reports: Any, model: Any, name: str) -> None:
    found = vars(run("test", "how_to.test"))
    assert {key for key in found if key.startswith("test_")} == set(TESTS)
    found[name](reports, model)


def test_the_worker_of_the_page_runs_jobs_in_a_real_executor(
    reports: Any,
    model: Any,
    woken: list[str],
    current: Version,
    start_executor: Callable[..., Daemon],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker = run("worker", "execapp.executor.report_worker")
    monkeypatch.setattr(lookup_worker, "make_worker", vars(worker)["make_worker"])
    start_executor()
    made = reports.request(actor="ann")
    until(lambda: model.objects.get(pk=made.pk).state == "done")
    done = model.objects.get(pk=made.pk)
    assert (done.size_bytes, done.attempt) == (current.own_bytes, 1)
    assert woken.count("report") == 1
    assert AuditEvent.objects.filter(action="report.request", actor="ann").count() == 1


@pytest.mark.parametrize(
    "path", ["pyproject.toml", "execapp/executor/daemon.py", "execapp/executor/listener.py"]
)
def test_the_lines_that_the_page_adds_match_the_lines_of_the_lookup(path: str) -> None:
    """Each line is in the file without its part on reports, or with lookups in its place."""
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    for block in blocks(path):
        without = re.sub(r"(WakeKind\.REPORT|report_worker) \| ", "", block).rstrip("\n")
        assert without.replace("report", "lookup") in lines
