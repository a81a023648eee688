"""Test the engine of docs/how-to/add-an-engine.md through the setting."""

import inspect
import re
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_django import Settings

from core.engine import WakeKind, get_engine
from core.engine.base import BaseEngine, Link, Receiver
from core.engine.checks import check_engine
from core.engine.live import Offsets
from execapp.executor.daemon import Daemon
from execapp.models import ExecutionState
from execapp.services import following
from execapp.services.positions import Position
from tests.execapp.conftest import Api, state_of, until
from tests.minimal_template import HELLO, SLEEP

PAGE = Path(__file__).resolve().parents[2] / "docs/how-to/add-an-engine.md"


@pytest.fixture
def engine_of_the_page(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the module of the page where Python finds it, and name it in the setting."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "file_engine.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "file_engine", raising=False)
    settings.STENCIL_ENGINE = "file_engine.FileEngine"


def test_its_messages_arrive(engine_of_the_page: None, settings: Settings, tmp_path: Path) -> None:
    settings.STENCIL_DATA = tmp_path / "data"
    engine, one = get_engine(), uuid.uuid4()
    woken: set[WakeKind] = set()
    cancelled: list[uuid.UUID] = []
    receiver = engine.receiver(on_wake=woken.add, on_cancel=cancelled.append)
    engine.wake(WakeKind.BUILD)  # before anyone receives
    receiver.start()
    try:
        for kind in WakeKind:
            engine.wake(kind)
        engine.cancel(one)
        until(lambda: woken == set(WakeKind) and cancelled == [one])
    finally:
        receiver.close()


def test_it_raises_nothing_and_its_check_says_why(
    engine_of_the_page: None, settings: Settings, tmp_path: Path
) -> None:
    settings.STENCIL_DATA = tmp_path / "data"
    settings.STENCIL_DATA.mkdir()
    assert check_engine() == []
    (tmp_path / "data/inbox").write_text("in the way")
    get_engine().wake(WakeKind.BUILD)
    (found,) = check_engine()
    assert (found.id, found.hint) == ("example.E001", "Remove the file.")


def test_submissions_and_cancellations_go_through_it(
    engine_of_the_page: None, start_executor: Callable[..., Daemon], api: Api
) -> None:
    daemon = start_executor()
    assert type(daemon.context.receiver).__name__ == "FileReceiver"
    assert api.submit(HELLO, wait=True)["state"] == "succeeded"
    made = api.submit(SLEEP)
    until(lambda: state_of(made) == ExecutionState.RUNNING)
    assert api.call("POST", f"/executions/{made['id']}/cancel").status_code == 202
    until(lambda: state_of(made) == ExecutionState.CANCELLED)


def test_the_page_names_each_method_of_the_interface() -> None:
    page = PAGE.read_text()
    for owner in (BaseEngine, Receiver, Link):
        for name, _ in inspect.getmembers(owner, inspect.isfunction):
            known = name.startswith("_") or re.search(rf"\b{name}\b", page)
            assert known, f"{owner.__name__}.{name}"


def test_an_execution_is_followed_without_live_data(
    engine_of_the_page: None, start_executor: Callable[..., Daemon], api: Api
) -> None:
    start_executor()
    made = api.submit(HELLO)
    events = []
    for item in following.follow(execution_id=uuid.UUID(made["id"]), after=Position()):
        if isinstance(item, following.Wait):
            time.sleep(0.05)
        else:
            events.append(item.kind)
    assert get_engine().read_live(uuid.UUID(made["id"]), Offsets()) is None
    assert events[-3:] == ["stdout", "state", "result"]
