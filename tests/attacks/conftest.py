"""Fixtures: run each attack beside another execution, and compare the host before and after it."""

from collections.abc import Callable, Iterator

import pytest
from pytest_django.fixtures import Settings

from tests import factories
from tests.attacks import host_snapshot, testbed
from tests.attacks.attack import Attack
from tests.attacks.testbed import Arena
from tests.execapp.conftest import Api, alive, committed, current, make_api  # noqa: F401 - fixtures

Assault = Callable[[Attack], None]


@pytest.fixture(scope="session")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    """Make one arena for the whole run."""
    with testbed.arena(tmp_path_factory.mktemp("arena")) as made:
        yield made


@pytest.fixture(autouse=True)
def untouched_host(arena: Arena) -> Iterator[None]:
    """Assert after the test that it has not changed the host."""
    before = host_snapshot.snapshot(arena)
    yield
    found = host_snapshot.changes(before, arena)
    assert not found, f"the host was changed: {found}"


@pytest.fixture
def assault(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> Assault:
    """Return a function that runs one attack beside another execution, and fails on a breach."""
    monkeypatch.setenv("STENCIL_SECRET_KEY", testbed.SECRET)

    def go(attack: Attack) -> None:
        with arena.neighbour():
            fault = attack.breach(arena.run(attack))
        assert fault is None, f"{attack.name}: {fault}"

    return go


@pytest.fixture
def api(db: None, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Api:
    """Give a client of the API and a running executor's heartbeat; submissions stay queued."""
    settings.ROOT_URLCONF = "execapp.api.urls"
    factories.promote_runnable_version()
    factories.make_heartbeat_row()
    return make_api("attacker")
