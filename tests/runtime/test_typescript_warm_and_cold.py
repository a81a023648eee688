"""Check that warm and forked sessions give the same result as a cold one."""

import pytest

from sandbox.limits import Limits
from sandbox.session.outcome import Outcome, State
from tests.runtime.node_runs import WAYS, Tool, seen
from tests.runtime.test_typescript_run_mode import SAME_AS_NODE
from tests.runtime.vitest_submissions import SUBMISSIONS, one

STOPS = {
    "endless loop after a test has passed": one("""
        it("passes", () => {});
        it("hangs", () => { for (;;) {} });
    """),
    "a timer that is never stopped": one("""
        it("passes", () => {});
        it("waits", { timeout: 0 }, async () => {
          setInterval(() => {}, 50);
          await new Promise(() => {});
        });
    """),
}


def agree(other: Outcome, cold: Outcome) -> None:
    """Assert that state, exit status, signal and all output agree."""
    assert other.start in ("warm", "fork")
    assert not cold.warm
    assert (other.state, other.exit_code, other.signal) == (cold.state, cold.exit_code, cold.signal)
    assert other.message == cold.message
    assert other.stdout == cold.stdout
    assert other.stderr == cold.stderr


@pytest.mark.parametrize("name", SUBMISSIONS)
def test_tests_end_warm_as_cold(typescript: Tool, name: str) -> None:
    files = SUBMISSIONS[name]
    cold, *others = (typescript.test(files, way=way) for way in WAYS)
    for other in others:
        assert seen(other) == seen(cold)
        agree(other, cold)


@pytest.mark.parametrize("name", SAME_AS_NODE)
def test_programs_end_warm_as_cold(typescript: Tool, name: str) -> None:
    files = {"main.ts": SAME_AS_NODE[name]}
    args, stdin = ("Ada", "two words"), b"one\ntwo\n"
    cold, *others = (typescript.run(files, args=args, stdin=stdin, way=way) for way in WAYS)
    for other in others:
        agree(other, cold)


@pytest.mark.parametrize("name", STOPS)
def test_an_endless_submission_is_stopped_warm_as_cold(typescript: Tool, name: str) -> None:
    limits = Limits(wall_ms=1500)
    cold, *others = (typescript.test(STOPS[name], limits=limits, way=way) for way in WAYS)
    for other in others:
        assert other.state is State.TIMED_OUT
        assert seen(other) == seen(cold) == [("a.test.ts", "passes", "passed")]
        agree(other, cold)
