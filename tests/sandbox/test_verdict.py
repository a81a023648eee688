import json

import pytest

from sandbox.limits import Limits
from sandbox.session.outcome import State
from sandbox.session.runner_messages import Collector
from sandbox.session.verdict import Classification, KillReason, classify, signal_name

PASSED = {"type": "case", "name": "t", "file": "a", "state": "passed"}
FAILED = {**PASSED, "state": "failed"}
SKIPPED = {**PASSED, "state": "skipped"}
ERROR = [{"file": "a", "message": "m"}]


def judge(
    status: int | None, *messages: object, stop: KillReason | None = None, cpu: float = 0
) -> Classification:
    collector = Collector()
    for message in messages:
        collector.feed(json.dumps(message).encode() + b"\n")
    return classify(stop=stop, status=status, limits=Limits(), cpu_ms=cpu, collected=collector)


def result(code: int, errors: object = ()) -> dict[str, object]:
    return {"type": "result", "exit_code": code, "errors": errors}


AGREEING = [
    (0, [PASSED, result(0)], State.SUCCEEDED),
    (0, [PASSED, SKIPPED, result(0)], State.SUCCEEDED),
    (1, [PASSED, FAILED, result(1)], State.FAILED),
    (1, [PASSED, result(1, ERROR)], State.FAILED),
]


@pytest.mark.parametrize(("status", "messages", "state"), AGREEING)
def test_a_report_that_agrees_with_the_exit_is_believed(
    status: int, messages: list[object], state: State
) -> None:
    assert judge(status, *messages) == Classification(state=state, exit_code=status)


FORGED = [
    (0, [], "before its report was complete"),
    (0, [PASSED], "before its report was complete"),
    (7, [PASSED], "before its report was complete"),
    (0, [PASSED, FAILED, result(0)], "has failures"),
    (0, [PASSED, result(0, ERROR)], "has failures"),
    (0, [PASSED, FAILED, result(1)], "says status 1"),
    (1, [PASSED, result(0)], "says status 0"),
    (1, [PASSED, result(1)], "no failures"),
    (1, [result(1)], "No tests were found"),
    (0, [result(0)], "No tests were found"),
    (0, [PASSED, result(0), PASSED], "malformed"),
    (0, [{"type": "ready"}, PASSED, result(0)], "malformed"),
]


@pytest.mark.parametrize(("status", "messages", "said"), FORGED, ids=range(len(FORGED)))
def test_a_report_that_disagrees_with_the_exit_fails_with_a_message(
    status: int, messages: list[object], said: str
) -> None:
    classification = judge(status, *messages)
    assert classification.state == State.FAILED
    assert said in str(classification.message)


def test_signals_are_distinguished_from_exit_statuses() -> None:
    assert signal_name(-11) == "SIGSEGV"
    assert signal_name(-9) == "SIGKILL"
    assert signal_name(-36) == "SIGRTMIN+2"
    assert [signal_name(status) for status in (0, 1, 128, 137, 255)] == [None] * 5


def test_a_kill_for_cpu_by_the_kernel_is_a_timeout() -> None:
    limits = Limits(cpu_ms=500)
    by_signal = classify(stop=None, status=-24, limits=limits, cpu_ms=0, collected=None)
    by_kill = classify(stop=None, status=-9, limits=limits, cpu_ms=600, collected=None)
    other = classify(stop=None, status=-9, limits=limits, cpu_ms=1, collected=None)
    assert [by_signal.state, by_kill.state] == [State.TIMED_OUT] * 2
    assert (other.state, other.signal) == (State.CRASHED, "SIGKILL")


def test_a_complete_report_does_not_save_a_stopped_execution() -> None:
    assert judge(None, PASSED, result(0), stop=KillReason.WALL).state == State.TIMED_OUT


def test_an_end_without_status_and_kill_reason_is_an_error() -> None:
    with pytest.raises(ValueError, match="neither"):
        judge(None)
