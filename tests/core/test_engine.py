"""Test the setting that chooses an engine, its system check, and the defaults of an engine."""

import asyncio
import logging
import uuid
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from pytest_django import Settings

from core.engine import BaseEngine, WakeKind, cancel_on_commit, get_engine, wake_on_commit
from core.engine.checks import check_engine
from core.engine.local.engine import LocalEngine
from core.engine.memory import MemoryEngine
from tests.timeouts import HANGS_SECONDS


class Quiet(BaseEngine):
    """An engine with only the two required methods."""

    def __init__(self) -> None:
        self.woken: list[WakeKind] = []

    def wake(self, kind: WakeKind) -> None:
        """Record the wake-up."""
        self.woken.append(kind)

    def cancel(self, execution_id: uuid.UUID) -> None:
        """Raise an error."""
        message = f"the broker is away: {execution_id}"
        raise ConnectionError(message)


class Broken(Quiet):
    """An engine whose constructor fails."""

    def __init__(self) -> None:
        message = "STENCIL_BROKER is not set"
        raise ImproperlyConfigured(message)


HERE = f"{__name__}.Quiet"


def test_the_local_engine_is_the_default_and_made_once() -> None:
    assert isinstance(get_engine(), LocalEngine)
    assert get_engine() is get_engine()


def test_the_setting_takes_a_short_name_or_a_dotted_path(settings: Settings) -> None:
    settings.STENCIL_ENGINE = "memory"
    first = get_engine()
    assert isinstance(first, MemoryEngine)
    settings.STENCIL_ENGINE = HERE
    assert isinstance(get_engine(), Quiet)
    settings.STENCIL_ENGINE = "memory"
    assert get_engine() is not first, "a test does not see the messages of another"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("redis", "doesn't look like a module path"),
        ("core.engine.nowhere.Engine", "No module named"),
        ("core.engine.protocol.Message", "cannot be made"),
        ("core.engine.protocol.WakeKind", "cannot be made"),
        ("builtins.dict", "no core.engine.BaseEngine"),
        ("core.engine.base.BaseEngine", "abstract"),
        (f"{__name__}.Broken", "STENCIL_BROKER is not set"),
    ],
)
def test_a_wrong_setting_is_named_with_its_remedy(settings: Settings, name: str, said: str) -> None:
    settings.STENCIL_ENGINE = name
    with pytest.raises(ImproperlyConfigured, match=said):
        get_engine()
    (found,) = check_engine()
    assert found.id == "core.E001"
    assert f"STENCIL_ENGINE names '{name}'" in found.msg
    assert found.hint == "Name one of local, memory, or the dotted path of a class."
    assert found in run_checks()


def test_the_check_asks_the_engine(settings: Settings, tmp_path: Path) -> None:
    settings.STENCIL_DATA = tmp_path
    assert check_engine() == []
    (tmp_path / "executor.sock").mkdir()
    (found,) = check_engine()
    assert (found.id, found.hint) == (
        "core.E002",
        "Remove the folder, then start the executor again.",
    )
    settings.STENCIL_ENGINE = "memory"
    assert [found.id for found in check_engine()] == ["core.W001"]


@pytest.mark.django_db(transaction=True)
def test_wake_ups_go_out_when_their_rows_are_committed(settings: Settings) -> None:
    settings.STENCIL_ENGINE = "memory"
    engine, one = get_engine(), uuid.uuid4()
    assert isinstance(engine, MemoryEngine)
    with transaction.atomic():
        wake_on_commit(WakeKind.BUILD)
        cancel_on_commit(one)
        assert (engine.woken, engine.cancelled) == ([], [])
    assert (engine.woken, engine.cancelled) == ([WakeKind.BUILD], [one])
    with transaction.atomic():
        wake_on_commit(WakeKind.LOOKUP)
        transaction.set_rollback(True)
    assert engine.woken == [WakeKind.BUILD]


@pytest.mark.django_db(transaction=True)
def test_an_engine_that_fails_fails_nothing_that_is_committed(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.STENCIL_ENGINE = HERE
    with caplog.at_level(logging.ERROR), transaction.atomic():
        cancel_on_commit(uuid.uuid4())
    assert "the broker is away" in caplog.text


def test_by_default_a_wait_wakes_and_reads_the_row(settings: Settings) -> None:
    engine, looks = Quiet(), iter([False, True])
    assert engine.wait_for(uuid.uuid4(), HANGS_SECONDS, ended=lambda: next(looks), fresh=True)
    assert engine.woken == [WakeKind.EXECUTION]
    assert not engine.wait_for(uuid.uuid4(), 0, ended=lambda: False)


def test_by_default_a_hub_wakes_and_reads_the_rows() -> None:
    engine, one, ended = Quiet(), uuid.uuid4(), set[uuid.UUID]()

    def among(execution_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
        return ended & set(execution_ids)

    async def work() -> None:
        hub = engine.hub(pool=pool, ended=among)
        try:
            hub.begin(one)
            ended.add(one)
            assert await hub.wait(one, HANGS_SECONDS, begun=True)
        finally:
            await hub.close()

    with ThreadPoolExecutor(1) as pool:
        asyncio.run(work())
    assert engine.woken == [WakeKind.EXECUTION]


def test_by_default_a_receiver_gets_nothing() -> None:
    receiver = Quiet().receiver(on_wake=lambda _: None, on_cancel=lambda _: None)
    receiver.start()
    receiver.ensure()
    receiver.finished(uuid.uuid4())
    receiver.close()


def test_the_memory_engine_delivers_within_the_process() -> None:
    engine, one = MemoryEngine(), uuid.uuid4()
    woken: list[WakeKind] = []
    cancelled: list[uuid.UUID] = []
    receiver = engine.receiver(on_wake=woken.append, on_cancel=cancelled.append)
    engine.wake(WakeKind.BUILD)
    receiver.start()
    engine.wake(WakeKind.PROMOTION)
    engine.cancel(one)
    ended: list[bool] = []

    def look() -> bool:
        return bool(ended) or bool(pool.submit(end) and False)

    def end() -> None:
        ended.append(True)
        receiver.finished(one)

    with ThreadPoolExecutor(1) as pool:
        assert engine.wait_for(one, HANGS_SECONDS, ended=look)
    receiver.close()
    engine.wake(WakeKind.LOOKUP)
    assert (woken, cancelled) == ([WakeKind.PROMOTION], [one])
    assert engine.woken == [WakeKind.BUILD, WakeKind.PROMOTION, WakeKind.LOOKUP]
