"""Test that each service wakes executors, called from a page, the API or a command."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import transaction
from django.test import Client
from pytest_django import Settings

from core.engine import WakeKind, get_engine
from core.engine.memory import MemoryEngine
from execapp.models import Execution, ExecutorHeartbeat
from templatemgr.build import builds
from templatemgr.integrity import checking
from templatemgr.models import Build, Version
from templatemgr.promotion import promotions
from tests import minimal_template
from tests.execapp.conftest import Api, make_api
from tests.factories import make_execution_row, make_runnable_version, promote_runnable_version
from tests.tiny_definition import write_definition

TINY = "/templates/tiny"
REASON = {"reason": "vitest 5.2"}
PROMOTION, BUILD, EXECUTION = WakeKind.PROMOTION, WakeKind.BUILD, WakeKind.EXECUTION


@pytest.fixture
def engine(settings: Settings) -> MemoryEngine:
    """Return an engine that records its messages."""
    settings.STENCIL_ENGINE = "memory"
    engine = get_engine()
    assert isinstance(engine, MemoryEngine)
    return engine


@dataclass(frozen=True, kw_only=True)
class Edges:
    """The ways to change something: a signed-in browser, a client of the API, and commands."""

    browser: Client
    api: Api

    def page(self, path: str, **data: Any) -> None:
        """Send a form; the reply must redirect."""
        answer = self.browser.post(path, data)
        assert answer.status_code == 302, answer.content

    def call(self, path: str, body: object = None) -> Any:
        """Call the API; the call must succeed."""
        answer = self.api.call("POST", path, body)
        assert answer.status_code < 300, answer.content
        return answer.json()


@pytest.fixture
def edges(
    current: Version,
    alive: ExecutorHeartbeat,
    engine: MemoryEngine,
    settings: Settings,
    tmp_path: Path,
) -> Edges:
    """Make version 1 the predecessor of the current version 2; version 3 can be promoted."""
    settings.ROOT_URLCONF = "webui.urls"
    settings.STENCIL_DEFINITIONS = tmp_path
    write_definition(tmp_path / "tiny")
    promote_runnable_version(number=2)
    make_runnable_version(number=3)
    browser = Client()
    browser.force_login(User.objects.create_superuser("ada", password="x"))
    made = Edges(browser=browser, api=make_api("boss", "admin"))
    engine.woken.clear()
    return made


def queued_build() -> Build:
    return builds.request(template="tiny", kind="rebuild", actor="ann", wake=False)


Act = Callable[[Edges], object]
ACTS: dict[str, tuple[WakeKind, Act]] = {
    "page: promote": (PROMOTION, lambda e: e.page(f"{TINY}/promote", version=3, **REASON)),
    "page: roll back": (PROMOTION, lambda e: e.page(f"{TINY}/rollback", **REASON)),
    "page: pin": (PROMOTION, lambda e: e.page(f"{TINY}/pin", **REASON)),
    "page: build": (BUILD, lambda e: e.page(f"{TINY}/builds", kind="rebuild")),
    "page: cancel a build": (BUILD, lambda e: e.page(f"/builds/{queued_build().pk}/cancel")),
    "page: look up": (WakeKind.LOOKUP, lambda e: e.page(f"{TINY}/lookups")),
    "page: verify": (WakeKind.VERIFICATION, lambda e: e.page(f"{TINY}/versions/1/verify")),
    "page: heal": (WakeKind.VERIFICATION, lambda e: e.page(f"{TINY}/versions/1/heal")),
    "page: run again": (EXECUTION, lambda e: e.page(f"/executions/{queued().pk}/rerun")),
    "api: promote": (PROMOTION, lambda e: e.call(f"{TINY}/promote", {"version": 3, **REASON})),
    "api: roll back": (PROMOTION, lambda e: e.call(f"{TINY}/rollback", REASON)),
    "api: pin": (PROMOTION, lambda e: e.call(f"{TINY}/pin", REASON)),
    "api: unpin": (PROMOTION, lambda e: e.call(f"{TINY}/unpin", REASON)),
    "api: build": (BUILD, lambda e: e.call(f"{TINY}/builds", {"kind": "rebuild"})),
    "api: cancel a build": (BUILD, lambda e: e.call(f"/builds/{queued_build().pk}/cancel")),
    "api: verify": (WakeKind.VERIFICATION, lambda e: e.call(f"{TINY}/versions/1/verify")),
    "api: heal": (WakeKind.VERIFICATION, lambda e: e.call(f"{TINY}/versions/1/heal")),
    "api: submit": (
        EXECUTION,
        lambda e: e.call("/executions", minimal_template.HELLO.body()),
    ),
    "api: submit and wait": (
        EXECUTION,
        lambda e: e.call("/executions", minimal_template.HELLO.body(wait=0.1)),
    ),
    "command: promote": (
        PROMOTION,
        lambda _: call_command("promote_template", "tiny", 3, reason="new", verbosity=0),
    ),
    "command: roll back": (
        PROMOTION,
        lambda _: call_command("rollback_template", "tiny", reason="it hangs", verbosity=0),
    ),
    "command: pin": (
        PROMOTION,
        lambda _: call_command("pin_template", "tiny", reason="exams", verbosity=0),
    ),
    "service: quarantine": (
        PROMOTION,
        lambda _: checking.condemn(version=version(2), actor="ann", reason="unreadable"),
    ),
}


def version(number: int) -> Version:
    return Version.objects.select_related("health", "template").get(number=number)


def queued() -> Execution:
    files = [{"path": "main.mjs", "content": "", "encoding": "utf8"}]
    return make_execution_row(version(2), "queued", files=files, limits={})


@pytest.mark.parametrize("name", ACTS)
def test_every_act_wakes_executors_once(edges: Edges, engine: MemoryEngine, name: str) -> None:
    kind, act = ACTS[name]
    if name == "api: unpin":
        promotions.pin(template="tiny", actor="ann", reason="exams")
        engine.woken.clear()
    act(edges)
    assert engine.woken == [kind]


def test_cancelling_an_execution_tells_the_executor(edges: Edges, engine: MemoryEngine) -> None:
    first, second = (edges.call("/executions", minimal_template.HELLO.body()) for _ in "ab")
    edges.call(f"/executions/{first['id']}/cancel")
    edges.page(f"/executions/{second['id']}/cancel")
    assert [str(one) for one in engine.cancelled] == [first["id"], second["id"]]


def test_a_version_that_is_found_whole_again_wakes_executors(
    edges: Edges, engine: MemoryEngine
) -> None:
    checking.condemn(version=version(2), actor="ann", reason="unreadable")
    engine.woken.clear()
    with transaction.atomic():
        checking.mark_whole(version(2), "ann")
        assert engine.woken == []
    assert engine.woken == [PROMOTION]
    with transaction.atomic():
        checking.mark_whole(version(2), "ann")
    assert engine.woken == [PROMOTION], "nothing changed"


def test_a_rolled_back_transaction_wakes_no_executor(edges: Edges, engine: MemoryEngine) -> None:
    with transaction.atomic():
        promotions.promote(template="tiny", version=3, actor="ann", reason="new")
        transaction.set_rollback(True)
    assert engine.woken == []
