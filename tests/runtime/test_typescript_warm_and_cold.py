"""Check that a warm session gives the same result as a cold one."""

import pytest

from sandbox.limits import Limits
from sandbox.session.outcome import Outcome, State
from tests.runtime.node_runs import Tool, seen
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


def agree(warm: Outcome, cold: Outcome) -> None:
    """Assert that state, exit status, signal and all output agree."""
    assert warm.warm
    assert not cold.warm
    assert (warm.state, warm.exit_code, warm.signal) == (cold.state, cold.exit_code, cold.signal)
    assert warm.message == cold.message
    assert warm.stdout == cold.stdout
    assert warm.stderr == cold.stderr


@pytest.mark.parametrize("name", SUBMISSIONS)
def test_tests_end_warm_as_cold(typescript: Tool, name: str) -> None:
    files = SUBMISSIONS[name]
    cold, warm = typescript.test(files), typescript.test(files, warm=True)
    assert seen(warm) == seen(cold)
    agree(warm, cold)


@pytest.mark.parametrize("name", SAME_AS_NODE)
def test_programs_end_warm_as_cold(typescript: Tool, name: str) -> None:
    files = {"main.ts": SAME_AS_NODE[name]}
    args, stdin = ("Ada", "two words"), b"one\ntwo\n"
    cold = typescript.run(files, args=args, stdin=stdin)
    warm = typescript.run(files, args=args, stdin=stdin, warm=True)
    agree(warm, cold)


@pytest.mark.parametrize("name", STOPS)
def test_an_endless_submission_is_stopped_warm_as_cold(typescript: Tool, name: str) -> None:
    limits = Limits(wall_ms=1500)
    cold = typescript.test(STOPS[name], limits=limits)
    warm = typescript.test(STOPS[name], limits=limits, warm=True)
    assert warm.state is State.TIMED_OUT
    assert seen(warm) == seen(cold) == [("a.test.ts", "passes", "passed")]
    agree(warm, cold)
