"""Fixtures: run each attack beside another execution, and compare the host before and after it."""

import inspect
from collections.abc import Callable, Iterator

import pytest
from pytest_django.fixtures import Settings

from tests import factories
from tests.attacks import host_snapshot, testbed
from tests.attacks.attack import Attack
from tests.attacks.testbed import WAYS, Arena, Way
from tests.execapp.conftest import Api, alive, committed, current, make_api  # noqa: F401 - fixtures

Assault = Callable[[Attack], None]


@pytest.fixture(scope="session")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    """Make one arena for the whole run."""
    with testbed.arena(tmp_path_factory.mktemp("arena")) as made:
        yield made


def pytest_configure(config: pytest.Config) -> None:
    """Name the mark of tests that run once."""
    config.addinivalue_line("markers", "started: it runs once, with started sandboxes")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that executes submissions both ways: in started and in forked sandboxes.

    The mark `started` says that a test executes none, or is about the way of starting itself.
    """
    own = inspect.signature(metafunc.function).parameters
    if {"assault", "arena"} & set(own) and not metafunc.definition.get_closest_marker("started"):
        metafunc.parametrize("way", WAYS, indirect=True)


@pytest.fixture(autouse=True)
def way(arena: Arena, request: pytest.FixtureRequest) -> Iterator[Way]:
    """Let the sandboxes of the test come to be in one way."""
    arena.way = getattr(request, "param", "started")
    yield arena.way
    arena.way = "started"


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
