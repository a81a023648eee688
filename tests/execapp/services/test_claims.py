"""Test claims: one winner, one end, fair turns, and a limit of attempts."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from execapp.models import Execution, ExecutionState, ExecutorHeartbeat
from execapp.queues import EXECUTIONS
from execapp.services import claims
from sandbox.session.outcome import Outcome, State, Stream, Usage
from templatemgr.models import HealthState, Version, VersionHealth
from templatemgr.promotion import usage
from tests.execapp.conftest import Api, make_api, state_of

OUTCOME = Outcome(
    state=State.SUCCEEDED,
    exit_code=0,
    signal=None,
    message=None,
    stdout=Stream(data=b"x"),
    stderr=Stream(),
    report=None,
    usage=Usage(cpu_ms=1.0, memory_peak_bytes=None),
    setup_ms=1.0,
    run_ms=2.0,
    start="cold",
)


def claimed(worker: str = "w") -> Execution:
    execution = claims.claim(worker=worker)
    assert execution is not None
    return execution


def row(execution: Any) -> Execution:
    return Execution.objects.get(id=getattr(execution, "id", None) or execution["id"])


def test_first_in_first_out(api: Api, alive: object) -> None:
    made = [api.submit()["id"] for _ in range(3)]
    assert [str(claimed().id) for _ in range(3)] == made
    assert claims.claim(worker="w") is None


def test_a_client_at_its_limit_waits_for_its_own(current: Version, alive: object) -> None:
    flood, other = make_api("flood"), make_api("other")
    for _ in range(3):
        flood.submit()
    other.submit()
    served = [claims.claim(worker="w", limit=1) for _ in range(3)]
    assert [taken and taken.client for taken in served] == ["flood", "other", None]
    assert served[0] is not None
    assert claims.finish(execution=served[0], attempt=1, outcome=OUTCOME)
    following = claims.claim(worker="w", limit=1)
    assert following is not None
    assert following.client == "flood"


def test_clients_take_turns(current: Version, alive: object) -> None:
    flood, other, third = make_api("flood"), make_api("other"), make_api("third")
    for _ in range(4):
        flood.submit()
    for _ in range(2):
        other.submit()
    third.submit()
    rotation = claims.Rotation()
    served = []
    while (execution := claims.claim(worker="w", rotation=rotation)) is not None:
        served.append(execution.client)
    assert served == ["flood", "other", "third", "flood", "other", "flood", "flood"]


def submitted(client: Api, count: int) -> list[str]:
    return [client.submit()["id"] for _ in range(count)]


def test_a_batch_takes_turns_between_clients(current: Version, alive: object) -> None:
    flood, other, third = make_api("flood"), make_api("other"), make_api("third")
    submitted(flood, 4)
    submitted(other, 2)
    submitted(third, 1)
    rotation = claims.Rotation()
    batch = claims.claim_some(worker="w", rotation=rotation, most=4)
    assert [one.client for one in batch] == ["flood", "other", "third", "flood"]
    batch = claims.claim_some(worker="w", rotation=rotation, most=9)
    assert [one.client for one in batch] == ["other", "flood", "flood"]
    assert claims.claim_some(worker="w", rotation=rotation, most=9) == []


def test_a_batch_takes_the_oldest_of_a_client_first(api: Api, alive: object) -> None:
    made = submitted(api, 5)
    batch = claims.claim_some(worker="w", most=3)
    assert [str(one.id) for one in batch] == made[:3]
    assert all(one.attempt == 1 and one.version.healthy for one in batch)
    assert [row(one).state for one in batch] == ["running"] * 3


def test_a_batch_keeps_the_limit_of_each_client(current: Version, alive: object) -> None:
    flood, other = make_api("flood"), make_api("other")
    submitted(flood, 4)
    submitted(other, 1)
    batch = claims.claim_some(worker="w", limit=2, most=9)
    assert sorted(one.client for one in batch) == ["flood", "flood", "other"]
    assert claims.claim_some(worker="w", limit=2, most=9) == []
    assert claims.finish(execution=batch[0], attempt=1, outcome=OUTCOME)
    assert len(claims.claim_some(worker="w", limit=2, most=9)) == 1


def test_a_refused_execution_ends_the_batch(api: Api, alive: object) -> None:
    made = submitted(api, 4)
    asked: list[str] = []

    def admit(candidate: claims.Candidate) -> bool:
        asked.append(str(candidate.id))
        assert candidate.limits["memory_bytes"] > 0
        assert candidate.template_name == "tiny"
        return len(asked) < 3

    batch = claims.claim_some(worker="w", most=4, admit=admit)
    assert [str(one.id) for one in batch] == made[:2]
    assert asked == made[:3]
    assert state_of({"id": made[2]}) == "queued"


def test_a_batch_that_fails_claims_nothing(api: Api, alive: object) -> None:
    made = submitted(api, 3)

    def admit(candidate: claims.Candidate) -> bool:
        if str(candidate.id) == made[2]:
            message = "no answer"
            raise ValueError(message)
        return True

    rotation = claims.Rotation()
    with pytest.raises(ValueError, match="no answer"):
        claims.claim_some(worker="w", rotation=rotation, most=3, admit=admit)
    assert {state_of({"id": identifier}) for identifier in made} == {"queued"}
    assert rotation.turn == 0
    assert len(claims.claim_some(worker="w", most=3)) == 3


def test_many_workers_claim_batches_each_once(api: Api, alive: object) -> None:
    made = set(submitted(api, 20))

    def work(number: int) -> list[str]:
        got: list[str] = []
        while batch := claims.claim_some(worker=f"w{number}", most=3):
            got += [str(one.id) for one in batch]
        connection.close()
        return got

    with ThreadPoolExecutor(4) as threads:
        got = [identifier for part in threads.map(work, range(4)) for identifier in part]
    assert sorted(got) == sorted(made)


def test_many_workers_claim_each_once(api: Api, alive: object) -> None:
    made = {api.submit()["id"] for _ in range(12)}

    def work(number: int) -> list[str]:
        got = []
        while (execution := claims.claim(worker=f"w{number}")) is not None:
            got.append(str(execution.id))
        connection.close()
        return got

    with ThreadPoolExecutor(4) as threads:
        got = [identifier for part in threads.map(work, range(4)) for identifier in part]
    assert sorted(got) == sorted(made)


def test_a_given_up_worker_can_finish_nothing(api: Api, alive: object) -> None:
    made = api.submit()
    first = claimed("slow")
    Execution.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert claims.reap() == 1
    second = claimed("quick")
    assert second.attempt == 2
    assert not claims.finish(execution=first, attempt=first.attempt, outcome=OUTCOME)
    assert not claims.fail(execution=first, attempt=1, error_id="x", message="x")
    assert not claims.requeue(execution=first, attempt=1)
    assert state_of(made) == "running"
    assert claims.finish(execution=second, attempt=2, outcome=OUTCOME)
    assert not claims.finish(execution=second, attempt=2, outcome=OUTCOME)
    assert state_of(made) == "succeeded"


def test_only_leases_of_executions_that_run_here_are_renewed(api: Api, alive: object) -> None:
    api.submit()
    execution = claimed("mine")
    soon = timezone.now() + timedelta(seconds=1)
    Execution.objects.update(lease_until=soon)
    claims.heartbeat(worker="other", executions=[execution.id])
    assert row(execution).lease_until == soon
    claims.heartbeat(worker="mine", executions=[execution.id])
    lease = row(execution).lease_until
    assert lease is not None
    assert lease > soon


def test_attempts_are_bounded(api: Api, alive: object) -> None:
    made = api.submit()
    for _ in range(EXECUTIONS.max_attempts):
        claimed()
        Execution.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        assert claims.reap() == 1
    ended = row(made)
    assert ended.state == ExecutionState.ERROR
    assert ended.error_id
    assert ended.finished_at is not None
    assert claims.claim(worker="w") is None


def test_take_over_leaves_other_workers_alone(api: Api, alive: object) -> None:
    mine, other = api.submit(), api.submit()
    claimed("dead")
    claimed("alive")
    assert claims.take_over(worker="dead") == 1
    assert (state_of(mine), state_of(other)) == ("queued", "running")


def test_requeue_of_a_cancelled_one_ends_it(api: Api, alive: object) -> None:
    made = api.submit()
    execution = claimed()
    Execution.objects.update(cancel_requested=True)
    assert claims.requeue(execution=execution, attempt=1)
    assert state_of(made) == "cancelled"


def test_cancelled_in_the_queue_is_never_claimed(api: Api, alive: object) -> None:
    made = api.submit()
    api.call("POST", f"/executions/{made['id']}/cancel")
    assert claims.claim(worker="w") is None


def test_a_version_is_needed_until_its_executions_end(
    api: Api, current: Version, alive: object
) -> None:
    assert usage.reasons(current) == []
    api.submit()
    assert usage.reasons(current) == ["open executions use it: 1"]
    running = claimed()
    assert usage.reasons(current) == ["open executions use it: 1"]
    assert claims.finish(execution=running, attempt=1, outcome=OUTCOME)
    assert usage.reasons(current) == []


def test_a_quarantine_between_choosing_and_taking_is_seen(
    current: Version, api: Api, alive: ExecutorHeartbeat, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.submit()
    choose = claims._next

    def chosen_too_early(*arguments: Any) -> Any:
        found = choose(*arguments)
        VersionHealth.objects.update(state=HealthState.QUARANTINED)
        return found

    monkeypatch.setattr(claims, "_next", chosen_too_early)
    claimed = claims.claim(worker="late")
    assert claimed is not None
    assert not claimed.version.healthy
