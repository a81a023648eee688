"""Run the cases of a submission one after the other, and judge each by the outcome of its sandbox.

The limits of the submission hold for each case, which may have lower ones of its own. `within`
holds for the wall time, the CPU time and the output of all cases together. Nothing here starts a
sandbox: `deliver` does.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from execapp.cases import comparing
from execapp.cases.asked import Case, CasesRequest
from sandbox.limits import Limits
from sandbox.session.outcome import Outcome, State, Stream, Usage
from sandbox.session.submission import Submission

_SPENT = {  # the limit that all cases share, and the state when it is used up
    State.TIMED_OUT: "wall and CPU time",
    State.OUTPUT_LIMIT: "output",
}


class Verdict(StrEnum):
    """Whether the output of a case that has succeeded is the expected one."""

    ACCEPTED = "accepted"
    WRONG_OUTPUT = "wrong_output"


@dataclass(frozen=True, kw_only=True)
class CaseResult:
    """The end of one case; `verdict` is None if its output was not compared."""

    outcome: Outcome
    verdict: Verdict | None

    @property
    def passed(self) -> bool:
        """Say whether the program succeeded and its output was not a wrong one."""
        succeeded = self.outcome.state is State.SUCCEEDED
        return succeeded and self.verdict is not Verdict.WRONG_OUTPUT


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The ended cases in order, and the outcome of the execution as a whole.

    The streams of `outcome` are those of all cases, one after the other.
    """

    outcome: Outcome
    results: tuple[CaseResult, ...]
    total: int


Deliver = Callable[[Submission, Limits], Outcome]
Ended = Callable[[int, CaseResult], None]


@dataclass(kw_only=True)
class _Spent:
    """What the ended cases have used of the limits that all cases share."""

    wall_ms: float = 0.0
    cpu_ms: float = 0.0
    stdout: int = 0
    stderr: int = 0
    ended: list[CaseResult] = field(default_factory=list)

    def add(self, result: CaseResult) -> None:
        outcome = result.outcome
        self.wall_ms += outcome.run_ms
        if outcome.start == "cold":  # a thousand of them would hold the slot for minutes
            self.wall_ms += outcome.setup_ms
        self.cpu_ms += outcome.usage.cpu_ms
        self.stdout += len(outcome.stdout.data)
        self.stderr += len(outcome.stderr.data)
        self.ended.append(result)

    def left(self, within: Mapping[str, int]) -> dict[str, int] | None:
        """Return what the next case may use at most; None if no time is left."""
        wall_ms = int(within["wall_ms"] - self.wall_ms)
        cpu_ms = int(within["cpu_ms"] - self.cpu_ms)
        if wall_ms < 1 or cpu_ms < 1:
            return None
        output = max(0, within["output_bytes"] - max(self.stdout, self.stderr))
        return {"wall_ms": wall_ms, "cpu_ms": cpu_ms, "output_bytes": output}


def run(
    asked: CasesRequest,
    submission: Submission,
    limits: Limits,
    *,
    within: Mapping[str, int],
    deliver: Deliver,
    cancel: threading.Event | None = None,
    ended: Ended = lambda _number, _result: None,
) -> Judged:
    """Run each case in its order, and tell `ended` its number from 1 and its result.

    Stop at a cancellation, when `within` is used up (numbers as in `asked.within`), and, if asked,
    at the first case that has not passed. Raises as `deliver` does.
    """
    spent = _Spent()
    for number, case in enumerate(asked.items, 1):
        if cancel is not None and cancel.is_set():
            return _judged(spent, asked, State.CANCELLED, "Cancelled.")
        left = spent.left(within)
        if left is None:
            return _used_up(spent, asked, State.TIMED_OUT)
        own = lowest(limits, case.limits)
        outcome = deliver(_submission(submission, case), lowest(own, left))
        if outcome.state is State.CANCELLED:
            return _judged(spent, asked, State.CANCELLED, "Cancelled.")
        result = CaseResult(outcome=outcome, verdict=_verdict(asked, case, outcome))
        spent.add(result)
        ended(number, result)
        if _hits_shared_limit(outcome, left, own):
            return _used_up(spent, asked, outcome.state)
        if asked.stop_on_failure and not result.passed:
            break
    return _summed_up(spent, asked)


def lowest(limits: Limits, own: Mapping[str, int]) -> Limits:
    """Return the lower ones of both."""
    return replace(limits, **{name: min(getattr(limits, name), own[name]) for name in own})


def _submission(submission: Submission, case: Case) -> Submission:
    return replace(
        submission,
        stdin=submission.stdin if case.stdin is None else case.stdin.encode(),
        args=submission.args if case.args is None else tuple(case.args),
        env={**submission.env, **case.env},
    )


def _verdict(asked: CasesRequest, case: Case, outcome: Outcome) -> Verdict | None:
    if outcome.state is not State.SUCCEEDED or case.expected_stdout is None:
        return None
    good = comparing.same(asked.compare, outcome.stdout.data, case.expected_stdout.encode())
    return Verdict.ACCEPTED if good else Verdict.WRONG_OUTPUT


def _hits_shared_limit(outcome: Outcome, left: Mapping[str, int], own: Limits) -> bool:
    """Return whether the case was stopped by what was left of a limit, not by its own limit."""
    if outcome.state is State.OUTPUT_LIMIT:
        return left["output_bytes"] < own.output_bytes
    if outcome.state is not State.TIMED_OUT:
        return False
    by_wall = outcome.run_ms >= left["wall_ms"] and left["wall_ms"] < own.wall_ms
    return by_wall or (outcome.usage.cpu_ms >= left["cpu_ms"] and left["cpu_ms"] < own.cpu_ms)


def _used_up(spent: _Spent, asked: CasesRequest, state: State) -> Judged:
    message = (
        f"The {_SPENT[state]} of all cases together reached the maximum of the template; "
        f"{len(spent.ended)} of {len(asked.items)} cases ran."
    )
    return _judged(spent, asked, state, message)


def _summed_up(spent: _Spent, asked: CasesRequest) -> Judged:
    failed = [number for number, one in enumerate(spent.ended, 1) if not one.passed]
    if not failed:
        return _judged(spent, asked, State.SUCCEEDED, None)
    total, ran, first = len(asked.items), len(spent.ended), failed[0]
    result = spent.ended[first - 1]
    why = result.verdict if result.outcome.state is State.SUCCEEDED else result.outcome.state
    said = str(why).replace("_", " ")
    name = asked.items[first - 1].name
    called = f"case {first}" if name is None else f"case {first}, {name}"
    message = f"{len(failed)} of {total} cases did not pass; the first is {called}: {said}."
    if ran < total:
        left = total - ran
        message += f" {left} {'case' if left == 1 else 'cases'} after it did not run."
    return _judged(spent, asked, State.FAILED, message)


def _judged(spent: _Spent, asked: CasesRequest, state: State, message: str | None) -> Judged:
    outcomes = [result.outcome for result in spent.ended]
    peaks = [one.usage.memory_peak_bytes for one in outcomes if one.usage.memory_peak_bytes]
    outcome = Outcome(
        state=state,
        exit_code=None,
        signal=None,
        message=message,
        stdout=_together([one.stdout for one in outcomes]),
        stderr=_together([one.stderr for one in outcomes]),
        report=None,
        usage=Usage(cpu_ms=spent.cpu_ms, memory_peak_bytes=max(peaks, default=None)),
        setup_ms=sum(one.setup_ms for one in outcomes),
        run_ms=sum(one.run_ms for one in outcomes),
        start=outcomes[0].start if outcomes else "cold",
        collect_ms=sum(one.collect_ms for one in outcomes),
        cold_reason=outcomes[0].cold_reason if outcomes else None,
    )
    return Judged(outcome=outcome, results=tuple(spent.ended), total=len(asked.items))


def _together(streams: list[Stream]) -> Stream:
    return Stream(
        data=b"".join(stream.data for stream in streams),
        truncated=any(stream.truncated for stream in streams),
    )
