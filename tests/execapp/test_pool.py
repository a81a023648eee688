"""Warm sandboxes: used once, replaced, dropped when another version becomes current."""

import time
from collections.abc import Callable

import pytest

from execapp.executor.daemon import Daemon
from execapp.executor.pool import SESSION_BYTES, Key, Pool, Shelf
from sandbox import runner
from sandbox.errors import LimitsError, StartupError
from sandbox.limits import Limits
from templatemgr.models import HealthState, Version, VersionHealth
from tests.execapp import tiny
from tests.execapp.conftest import Api, until
from tests.execapp.tiny import HELLO, SLEEP, program

Start = Callable[..., Daemon]


def warmed(daemon: Daemon, count: int = 2) -> None:
    until(lambda: daemon.house.pool.count() == count)


def test_warm_runs_are_warm_and_fresh(api: Api, start_executor: Start) -> None:
    daemon = start_executor(slots=1, warm=1)
    warmed(daemon)
    source = (
        "import { readdirSync, writeFileSync } from 'node:fs';"
        "console.log(readdirSync('/workspace/src').join()); writeFileSync('/tmp/left', 'x');"
        "console.log(readdirSync('/tmp').join())"
    )
    for _ in range(2):
        done = api.submit(program(source), wait=True)
        assert done["timings"]["warm"] is True
        assert done["stdout"] == "main.mjs\nleft\n"
        warmed(daemon)


def test_test_mode_is_warm_too(api: Api, start_executor: Start) -> None:
    warmed(start_executor(slots=1, warm=1))
    done = api.submit(tiny.suite("export default { a() {} }"), "test", wait=True)
    assert done["state"] == "succeeded"
    assert done["timings"]["warm"] is True


def test_empty_pool_goes_cold(api: Api, start_executor: Start) -> None:
    daemon = start_executor(slots=2, warm=1)
    warmed(daemon)
    made = [api.submit(SLEEP, limits={"wall_ms": 500}) for _ in range(2)]
    done = [api.get(f"/executions/{execution['id']}?wait=20") for execution in made]
    assert {execution["state"] for execution in done} == {"timed_out"}


def test_lower_limits_stay_warm_and_hold(api: Api, start_executor: Start) -> None:
    warmed(start_executor(slots=1, warm=1))
    done = api.submit(SLEEP, wait=True, limits={"wall_ms": 250, "memory_bytes": 200_000_000})
    assert done["state"] == "timed_out"
    assert done["timings"]["warm"] is True
    assert done["timings"]["run_ms"] < 2000


@pytest.mark.parametrize("limits", [{"memory_bytes": 536870912}, {"disk_bytes": 1048576}])
def test_what_a_started_sandbox_cannot_take_goes_cold(
    api: Api, start_executor: Start, limits: dict[str, int]
) -> None:
    daemon = start_executor(slots=1, warm=1)
    warmed(daemon)
    done = api.submit(HELLO, wait=True, limits=limits)
    assert done["state"] == "succeeded"
    assert done["timings"]["warm"] is False
    assert daemon.house.pool.count() == 2


def test_promotion_drops_the_old_version(api: Api, start_executor: Start) -> None:
    daemon = start_executor(slots=1, warm=1)
    warmed(daemon)
    old = set(daemon.house.pool._shelves)
    second = tiny.make_current(number=2)
    wanted = {Key(version_id=second.pk, mode=mode) for mode in ("run", "test")}
    until(lambda: set(daemon.house.pool._shelves) == wanted)
    assert not old & wanted
    warmed(daemon)
    done = api.submit(HELLO, wait=True)
    assert (done["template"]["version"], done["timings"]["warm"]) == (2, True)


def test_quarantine_drops_the_warm(start_executor: Start, current: Version) -> None:
    daemon = start_executor(slots=1, warm=1)
    warmed(daemon)
    VersionHealth.objects.update(state=HealthState.QUARANTINED)
    warmed(daemon, 0)


def test_dead_ones_are_replaced(api: Api, start_executor: Start) -> None:
    daemon = start_executor(slots=1, warm=1)
    warmed(daemon)

    def shelves() -> list[Shelf]:
        return list(daemon.house.pool._shelves.values())

    dead = [session for shelf in shelves() for session in shelf.sessions]
    for session in dead:
        session._container.kill()
    assert api.submit(HELLO, wait=True)["state"] == "succeeded"
    until(lambda: not any(session in shelf.sessions for shelf in shelves() for session in dead))
    warmed(daemon)


@pytest.mark.parametrize("error", [LimitsError, StartupError])
def test_a_warm_one_that_fails_before_delivery_is_replaced_by_a_cold_one(
    api: Api,
    start_executor: Start,
    monkeypatch: pytest.MonkeyPatch,
    error: type[Exception],
) -> None:
    daemon = start_executor(slots=1, warm=1)
    warmed(daemon)
    original = runner.Session._lower

    def refuse(session: runner.Session, limits: Limits) -> None:
        if session.warm:
            message = "refused"
            raise error(message)
        original(session, limits)

    monkeypatch.setattr(runner.Session, "_lower", refuse)
    done = api.submit(HELLO, wait=True)
    assert (done["state"], done["timings"]["warm"]) == ("succeeded", False)


def test_memory_budget_is_kept(start_executor: Start, settings: object, current: Version) -> None:
    pool = Pool(size=5, budget=3 * SESSION_BYTES, slot="budget-test")
    pool.start()
    try:
        until(lambda: pool.count() == 3)
        until(lambda: pool._emptiest() is None)
        counts = sorted(len(shelf.sessions) for shelf in pool._shelves.values())
        assert counts == [1, 2]
    finally:
        pool.close()
    assert pool.count() == 0


def test_failing_to_warm_backs_off(
    api: Api, start_executor: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def fail(*_args: object, **_values: object) -> None:
        tries.append(1)
        message = "no"
        raise StartupError(message)

    monkeypatch.setattr(runner, "start", fail)
    start_executor(slots=1, warm=1)
    until(lambda: len(tries) >= 2)
    time.sleep(1)
    assert len(tries) <= 4
