"""Test the run of cases: limits, verdicts, the stop, and what each sandbox is given."""

import threading
from dataclasses import replace
from typing import Any

import pytest

from execapp.cases import judging
from execapp.cases.asked import Case, CasesRequest, within
from execapp.cases.judging import CaseResult, Judged, Verdict
from sandbox.limits import Limits
from sandbox.session.outcome import Outcome, State, Stream, Usage
from sandbox.session.sessions import Submission

LIMITS = Limits(wall_ms=1000, cpu_ms=500, output_bytes=100)
WITHIN = within(replace(LIMITS, wall_ms=1300, cpu_ms=700, output_bytes=120))
JOB = Submission(mode="run", args=("a",), env={"A": "1"}, stdin=b"given")


def ended(state: State = State.SUCCEEDED, **given: Any) -> Outcome:
    stdout = given.pop("stdout", b"")
    return Outcome(
        state=state, exit_code=0, signal=None, message=None,
        stdout=Stream(data=stdout), stderr=Stream(data=given.pop("stderr", b"")), report=None,
        usage=Usage(cpu_ms=given.pop("cpu_ms", 1.0), memory_peak_bytes=given.pop("peak", 10)),
        setup_ms=given.pop("setup_ms", 1.0), run_ms=given.pop("run_ms", 1.0),
        start=given.pop("start", "fork"),
    )  # fmt: skip


class Sandboxes:
    """Note what each sandbox is given, and end as told."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.outcomes = list(outcomes)
        self.jobs: list[Submission] = []
        self.limits: list[Limits] = []

    def __call__(self, job: Submission, limits: Limits) -> Outcome:
        self.jobs.append(job)
        self.limits.append(limits)
        return self.outcomes.pop(0) if self.outcomes else ended()


def run(sandboxes: Sandboxes, *cases: Case, **asked: Any) -> Judged:
    return judging.run(
        CasesRequest(items=cases, **asked), JOB, LIMITS, within=WITHIN, deliver=sandboxes
    )


def test_a_case_has_its_own_input_or_that_of_the_submission() -> None:
    boxes = Sandboxes()
    run(boxes, Case(), Case(stdin="", args=(), env={"B": "2"}))
    assert [(job.stdin, job.args, job.env) for job in boxes.jobs] == [
        (b"given", ("a",), {"A": "1"}),
        (b"", (), {"A": "1", "B": "2"}),
    ]


def test_the_verdict_needs_success_and_an_expected_output() -> None:
    boxes = Sandboxes(
        ended(stdout=b"3\n"), ended(stdout=b"4\n"), ended(State.CRASHED, stdout=b"3\n"), ended()
    )
    three = Case(expected_stdout="3")
    judged = run(boxes, three, three, three, Case(), compare="trim")
    assert [result.verdict for result in judged.results] == [
        Verdict.ACCEPTED, Verdict.WRONG_OUTPUT, None, None,
    ]  # fmt: skip
    assert [result.passed for result in judged.results] == [True, False, False, True]
    assert judged.outcome.state is State.FAILED
    assert judged.outcome.message == (
        "2 of 4 cases did not pass; the first is case 2: wrong output."
    )


def test_all_accepted_is_succeeded_and_sums_up() -> None:
    boxes = Sandboxes(ended(stdout=b"a", peak=5), ended(stdout=b"b", stderr=b"!", peak=7))
    whole = run(boxes, Case(expected_stdout="a"), Case()).outcome
    assert (whole.state, whole.message) == (State.SUCCEEDED, None)
    assert (whole.stdout.data, whole.stderr.data) == (b"ab", b"!")
    assert (whole.usage.cpu_ms, whole.usage.memory_peak_bytes, whole.run_ms) == (2.0, 7, 2.0)


def test_it_stops_at_the_first_failure_when_asked() -> None:
    boxes = Sandboxes(ended(), ended(State.FAILED))
    judged = run(boxes, Case(), Case(name="odd"), Case(), Case(), stop_on_failure=True)
    assert len(boxes.jobs) == len(judged.results) == 2
    assert judged.total == 4
    assert judged.outcome.message == (
        "1 of 4 cases did not pass; the first is case 2, odd: failed. 2 cases after it did not run."
    )


def test_limits_hold_for_each_case_and_the_maximum_for_all_together() -> None:
    boxes = Sandboxes(ended(run_ms=700, cpu_ms=300, stdout=b"x" * 50, stderr=b"y" * 10))
    run(boxes, Case(), Case(), Case(limits={"wall_ms": 50, "cpu_ms": 450, "output_bytes": 99}))
    given = [(one.wall_ms, one.cpu_ms, one.output_bytes) for one in boxes.limits]
    assert given == [(1000, 500, 100), (600, 400, 70), (50, 399, 70)]
    assert {one.memory_bytes for one in boxes.limits} == {LIMITS.memory_bytes}


@pytest.mark.parametrize(
    "used", [{"run_ms": 1300.0}, {"cpu_ms": 700.0}, {"setup_ms": 1300.0, "start": "cold"}]
)
def test_no_case_begins_without_time_left(used: dict[str, Any]) -> None:
    boxes = Sandboxes(ended(**used))
    judged = run(boxes, Case(), Case())
    assert len(boxes.jobs) == 1
    assert judged.outcome.state is State.TIMED_OUT
    assert "1 of 2 cases ran" in (judged.outcome.message or "")


@pytest.mark.parametrize(
    ("second", "state", "ran"),
    [
        (ended(State.TIMED_OUT, run_ms=600), State.TIMED_OUT, 2),  # of all cases
        (ended(State.TIMED_OUT, run_ms=20), State.TIMED_OUT, 3),  # its own: the next one has none
        (ended(State.OUTPUT_LIMIT, stdout=b"x" * 70), State.OUTPUT_LIMIT, 2),
        (ended(State.OUT_OF_MEMORY), State.FAILED, 3),
    ],
)
def test_only_a_limit_of_all_cases_ends_them(second: Outcome, state: State, ran: int) -> None:
    own = {"wall_ms": 20} if second.run_ms == 20 else {}
    boxes = Sandboxes(ended(run_ms=700, stdout=b"x" * 50), second)
    judged = run(boxes, Case(), Case(limits=own), Case())
    assert len(judged.results) == ran
    assert judged.outcome.state is (State.FAILED if own else state)


def test_a_cancellation_keeps_the_cases_before_it() -> None:
    boxes = Sandboxes(ended(), ended(State.CANCELLED))
    judged = run(boxes, Case(), Case(), Case())
    assert (judged.outcome.state, len(judged.results)) == (State.CANCELLED, 1)
    cancel = threading.Event()
    cancel.set()
    judged = judging.run(
        CasesRequest(items=[Case()]), JOB, LIMITS, within=WITHIN, deliver=Sandboxes(), cancel=cancel
    )
    assert (judged.outcome.state, judged.results) == (State.CANCELLED, ())


def test_each_end_is_told_at_once() -> None:
    told: list[tuple[int, CaseResult]] = []
    boxes = Sandboxes(ended(), ended(State.FAILED))

    def deliver(job: Submission, limits: Limits) -> Outcome:
        assert len(told) == len(boxes.jobs)
        return boxes(job, limits)

    judging.run(
        CasesRequest(items=[Case(), Case()]), JOB, LIMITS, within=WITHIN,
        deliver=deliver, ended=lambda number, result: told.append((number, result)),
    )  # fmt: skip
    assert [(number, result.passed) for number, result in told] == [(1, True), (2, False)]
