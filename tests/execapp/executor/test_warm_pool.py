"""Test warm sandboxes: single use, replacement, and removal after a promotion."""

import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from core.engine import WakeKind, get_engine
from execapp.executor import warm_groups
from execapp.executor.daemon import Daemon
from execapp.executor.demand import Demand
from execapp.executor.pool import Pool
from execapp.executor.warm_groups import Key, WarmGroup
from execapp.services import health
from sandbox.errors import LimitsError, StartupError
from sandbox.limits import Limits
from sandbox.session import sessions
from templatemgr.models import HealthState, Version, VersionHealth
from templatemgr.promotion import promotions
from tests import factories, minimal_template
from tests.execapp.conftest import Api, until
from tests.minimal_template import HELLO, SLEEP, program

Start = Callable[..., Daemon]


def warmed(daemon: Daemon, count: int = 2) -> None:
    until(lambda: daemon.context.pool.count() == count)


def groups_of(daemon: Daemon) -> list[WarmGroup]:
    return list(daemon.context.pool._groups.values())


def waiting(daemon: Daemon) -> list[sessions.Session]:
    return [one.session for group in groups_of(daemon) for one in list(group.waiting)]


def busy_demand() -> Demand:
    return Demand(_weight=1000.0, _at=time.monotonic())


def keys_of(version: Version) -> set[Key]:
    return {Key(version_id=version.pk, mode=mode) for mode in ("run", "test")}


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
    done = api.submit(minimal_template.suite("export default { a() {} }"), "test", wait=True)
    assert done["state"] == "succeeded"
    assert done["timings"]["warm"] is True


def test_empty_pool_goes_cold(api: Api, start_executor: Start) -> None:
    daemon = start_executor(slots=2, warm=1)
    warmed(daemon)
    made = [api.submit(SLEEP, limits={"wall_ms": 500}) for _ in range(2)]
    done = [api.get(f"/executions/{execution['id']}?wait=60") for execution in made]
    assert {execution["state"] for execution in done} == {"timed_out"}


def test_lower_limits_stay_warm_and_hold(api: Api, start_executor: Start) -> None:
    warmed(start_executor(slots=1, warm=1))
    done = api.submit(SLEEP, wait=True, limits={"wall_ms": 250, "memory_bytes": 200_000_000})
    assert done["state"] == "timed_out"
    assert done["timings"]["warm"] is True
    assert done["timings"]["run_ms"] < 2000


@pytest.mark.parametrize("limits", [{"memory_bytes": 536870912}, {"disk_bytes": 1048576}])
def test_a_job_that_a_warm_sandbox_cannot_take_starts_cold(
    api: Api, start_executor: Start, limits: dict[str, int]
) -> None:
    daemon = start_executor(slots=1, warm=1)
    warmed(daemon)
    done = api.submit(HELLO, wait=True, limits=limits)
    assert done["state"] == "succeeded"
    assert done["timings"]["warm"] is False
    assert daemon.context.pool.count() == 2


def test_promotion_drops_the_old_version(
    api: Api, start_executor: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = start_executor(slots=1, warm=1)
    warmed(daemon)
    monkeypatch.setattr(warm_groups, "ROLLBACK_WITHIN", timedelta(0))
    old = set(daemon.context.pool._groups)
    second = factories.promote_runnable_version(number=2)
    wanted = keys_of(second)
    until(lambda: set(daemon.context.pool._groups) == wanted)
    assert not old & wanted
    warmed(daemon)
    done = api.submit(HELLO, wait=True)
    assert (done["template"]["version"], done["timings"]["warm"]) == (2, True)


def test_first_execution_after_a_promotion_or_a_roll_back_is_warm(
    api: Api, start_executor: Start
) -> None:
    daemon = start_executor(slots=1, warm=2)
    warmed(daemon)
    factories.make_runnable_version(number=2)
    warmed(daemon, 4)  # the candidate is warm before anybody promotes it
    assert {group.spare for group in daemon.context.pool._groups.values()} == {False, True}
    promotions.promote(template="tiny", version=2, actor="ann", reason="newer")
    done = api.submit(HELLO, wait=True)
    assert (done["template"]["version"], done["timings"]["warm"]) == (2, True)
    promotions.roll_back(template="tiny", actor="ann", reason="worse")
    done = api.submit(HELLO, wait=True)
    assert (done["template"]["version"], done["timings"]["warm"]) == (1, True)


def test_a_promotion_message_updates_the_pool_at_once(
    api: Api, start_executor: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("execapp.executor.pool.LOOK_SECONDS", 60.0)
    daemon = start_executor(slots=1, warm=1)
    warmed(daemon)
    second = factories.promote_runnable_version(number=2)
    get_engine().wake(WakeKind.PROMOTION)
    until(lambda: keys_of(second) <= set(daemon.context.pool._groups))


def test_quarantine_drops_the_warm(start_executor: Start, current: Version) -> None:
    daemon = start_executor(slots=1, warm=1)
    warmed(daemon)
    VersionHealth.objects.update(state=HealthState.QUARANTINED)
    warmed(daemon, 0)


def test_a_sandbox_warmed_from_damaged_files_is_not_used_after_healing(
    api: Api, start_executor: Start
) -> None:
    daemon = start_executor(slots=1, warm=1)
    warmed(daemon)
    # Quarantined and healed faster than the pool looks: it never sees the state between.
    VersionHealth.objects.update(epoch=1)
    assert api.submit(HELLO, wait=True)["timings"]["warm"] is False
    until(lambda: {key.epoch for key in daemon.context.pool._groups} == {1})
    warmed(daemon)
    assert api.submit(HELLO, wait=True)["timings"]["warm"] is True


def test_dead_ones_are_replaced(api: Api, start_executor: Start) -> None:
    daemon = start_executor(slots=1, warm=1)
    warmed(daemon)

    dead = waiting(daemon)
    for session in dead:
        session._container.kill()
    assert api.submit(HELLO, wait=True)["state"] == "succeeded"
    until(lambda: not any(session in waiting(daemon) for session in dead))
    warmed(daemon)


def test_stale_ones_are_replaced(
    api: Api, start_executor: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = start_executor(slots=1, warm=1)
    warmed(daemon)
    old = waiting(daemon)
    monkeypatch.setattr("execapp.executor.pool.STALE_SECONDS", 0.0)
    until(lambda: not any(session in waiting(daemon) for session in old))
    monkeypatch.undo()
    warmed(daemon)
    assert not any(session.alive for session in old)


def test_demand_warms_more_and_its_end_less(
    api: Api, start_executor: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = start_executor(slots=1, warm=3)
    warmed(daemon)
    group = next(s for s in groups_of(daemon) if s.mode == "run")
    for _ in range(100):
        group.demand.arrived(time.monotonic())
    daemon.context.pool.refill()
    until(lambda: (len(group.waiting), group.granted) == (3, 3))
    monkeypatch.setattr("execapp.executor.pool.LINGER_SECONDS", 0.0)
    group.demand._weight = 0.0
    until(lambda: (len(group.waiting), group.granted) == (1, 1))


def test_metrics_reach_the_snapshot(api: Api, start_executor: Start) -> None:
    daemon = start_executor(slots=1, warm=1)
    warmed(daemon)
    until(lambda: health.snapshot().warm == 2)
    now = health.snapshot()
    assert now.warm_budget_bytes == daemon.context.pool._budget
    assert [(s.template, s.version, s.warm, s.desired, s.spare) for s in now.groups] == [
        ("tiny", 1, 1, 1, False)
    ] * 2
    assert {group.mode for group in now.groups} == {"run", "test"}
    # Measured, and not the estimate.
    for group in now.groups:
        assert minimal_template.MIB < group.memory_bytes < warm_groups.ESTIMATE_BYTES
    assert now.warm_bytes == sum(group.memory_bytes for group in now.groups)


@pytest.mark.parametrize("error", [LimitsError, StartupError])
def test_a_warm_one_that_fails_before_delivery_is_replaced_by_a_cold_one(
    api: Api,
    start_executor: Start,
    monkeypatch: pytest.MonkeyPatch,
    error: type[Exception],
) -> None:
    daemon = start_executor(slots=1, warm=1)
    warmed(daemon)
    original = sessions.Session._lower

    def refuse(session: sessions.Session, limits: Limits) -> None:
        if session.started == "warm":
            message = "refused"
            raise error(message)
        original(session, limits)

    monkeypatch.setattr(sessions.Session, "_lower", refuse)
    done = api.submit(HELLO, wait=True)
    assert (done["state"], done["timings"]["warm"]) == ("succeeded", False)


def test_memory_budget_is_kept(start_executor: Start, settings: object, current: Version) -> None:
    pool = Pool(size=5, budget=4 * warm_groups.ESTIMATE_BYTES, slot="budget-test")
    pool._demand = {("tiny", mode, None): busy_demand() for mode in ("run", "test")}
    pool.start()
    try:
        until(lambda: pool.count() == 10)  # measured, they are smaller than the estimate
        pool._budget = 3 * max(group.each_bytes for group in pool._groups.values())
        until(lambda: pool.count() <= 3)
        until(lambda: pool._emptiest() is None)
        held = pool.metrics()
        assert sum(group["memory_bytes"] for group in held["groups"]) <= held["budget_bytes"]
        assert sorted(group["warm"] for group in held["groups"]) == [1, 2]
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

    monkeypatch.setattr(sessions, "start", fail)
    start_executor(slots=1, warm=1)
    until(lambda: len(tries) >= 2)
    time.sleep(1)
    assert len(tries) <= 4
