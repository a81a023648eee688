"""Test that the answer does not wait for a program whose runner has reported its exit."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from sandbox.session.outcome import State
from sandbox.session.runner_messages import ReportedExit
from sandbox.session.sessions import start
from tests.sandbox.conftest import Run
from tests.sandbox.node_tree import LIMITS, program, tree_for

KEPT = ("keep-channel",)  # otherwise the runner of the tests closes the descriptor
FOR_EVER = "setInterval(() => {}, 1e6);"
WRONG = [
    '{"type":"exit","code":256}',
    '{"type":"exit","code":-1}',
    '{"type":"exit","code":true}',
    '{"type":"exit","code":"0"}',
    '{"type":"exit"}',
    '{"type":"exit","code":0}',
    '{"type":"exit","code":0,"key":null}',
    '{"type":"exit","code":0,"key":""}',
    '{"type":"exit","code":0,"key":"00000000000000000000000000000000"}',
    '{"type":"exit","code":0,"key":"ä"}',
    '{"type":"exit","code":0,"more":1}',
    '{"type":"result","errors":[],"exit_code":0}',
    '{"type":"ready"}',
    "[0]",
    "",
]


def reporting(message: str) -> str:
    return f"raw({message!r} + '\\n');"


@pytest.mark.parametrize(("code", "state"), [(0, State.SUCCEEDED), (7, State.FAILED)])
def test_a_reported_exit_ends_the_execution(run: Run, code: int, state: State) -> None:
    outcome = run(f"leave({code});" + FOR_EVER, args=KEPT)
    assert (outcome.state, outcome.exit_code, outcome.signal) == (state, code, None)


@pytest.mark.parametrize("message", WRONG)
def test_after_a_wrong_message_no_report_is_believed(run: Run, message: str) -> None:
    outcome = run(reporting(message) + "leave(0); process.exit(3);", args=KEPT)
    assert (outcome.state, outcome.exit_code) == (State.FAILED, 3)


def test_a_report_without_the_key_is_ignored(run: Run) -> None:
    forged = reporting('{"type":"exit","code":0}')
    outcome = run(
        forged + "setTimeout(() => { console.log('after'); process.exit(3); }, 20);", args=KEPT
    )
    assert (outcome.exit_code, outcome.stdout.data) == (3, b"after\n")


def test_an_incomplete_message_is_ignored(run: Run) -> None:
    half = "fs.writeSync = (to, line) => write(to, line.trim());"
    source = f"import fs from 'node:fs'; const write = fs.writeSync; {half} leave(0);"
    outcome = run(source + "process.exit(3);", args=KEPT)
    assert (outcome.state, outcome.exit_code) == (State.FAILED, 3)


def test_a_runner_may_report_a_cold_start_and_then_its_exit(run: Run) -> None:
    why = reporting('{"type":"cold","reason":"it shadows queue"}')
    outcome = run(why + "leave(4);" + FOR_EVER, args=KEPT)
    assert (outcome.exit_code, outcome.warm) == (4, False)
    assert outcome.cold_reason == "it shadows queue"


def test_a_second_cold_start_is_not_believed(run: Run) -> None:
    why = reporting('{"type":"cold","reason":"a"}')
    outcome = run(why + why + "leave(4); process.exit(3);", args=KEPT)
    assert (outcome.exit_code, outcome.cold_reason) == (3, "a")


def test_in_a_test_run_a_cold_start_is_reported_before_all_else(run_tests: Run) -> None:
    why = reporting('{"type":"cold","reason":"a"}')
    outcome = run_tests({"a.test.mjs": why + "test('a', () => {});"})
    assert (outcome.state, outcome.cold_reason) == (State.SUCCEEDED, "a")
    late = run_tests({"a.test.mjs": "test('a', () => {}); test('b', () => {" + why + "});"})
    assert (late.state, late.cold_reason) == (State.FAILED, None)


def test_a_flood_of_bytes_is_not_kept_in_memory() -> None:
    reported_exit = ReportedExit(key="k")
    for _ in range(100):
        reported_exit.feed(b"x" * 65_536)
    reported_exit.feed(b'\n{"type":"exit","code":0,"key":"k"}\n')
    assert reported_exit.code is None
    assert len(reported_exit._pending) < 100


def test_output_before_the_report_is_complete(run: Run) -> None:
    outcome = run("process.stdout.write('x'.repeat(9_999)); leave(0);", args=KEPT)
    assert outcome.stdout.data == b"x" * 9_999
    assert not outcome.stdout.truncated


def test_too_much_output_wins_over_a_reported_exit(run: Run) -> None:
    outcome = run("process.stdout.write('x'.repeat(20_000)); leave(0);", args=KEPT)
    assert outcome.state is State.OUTPUT_LIMIT


def test_a_test_run_cannot_report_its_exit(run_tests: Run) -> None:
    outcome = run_tests({"a.test.mjs": "test('a', () => {}); leave(0);"})
    assert outcome.state is State.FAILED
    assert "malformed" in (outcome.message or "")


def test_a_child_that_holds_the_pipes_does_not_delay_the_answer_and_dies(tree_root: Path) -> None:
    code = """
        import { spawn } from "node:child_process";
        const wait = "setInterval(() => {}, 1e6)";
        spawn(process.execPath, ["-e", wait], { stdio: "inherit", detached: true });
        leave(0);
        setInterval(() => {}, 1e6);
    """
    session = start(tree_for(tree_root, "run"), LIMITS, slot="adhoc-exit")
    with ExitStack() as later:
        outcome = session.deliver(program(code, args=KEPT), LIMITS, later=later)
        assert outcome.state is State.SUCCEEDED
    assert session._container.group.pids() == []


def test_the_wait_for_the_processes_can_be_deferred(tree_root: Path) -> None:
    session = start(tree_for(tree_root, "run"), LIMITS, slot="adhoc-exit")
    container = session._container
    with ExitStack() as later:
        outcome = session.deliver(program("console.log(1)"), LIMITS, later=later)
        assert outcome.state is State.SUCCEEDED
        closed = [container._closed]
    closed.append(container._closed)
    assert closed == [False, True]
    assert container.group.pids() == []


def test_the_wait_is_not_deferred_if_no_job_was_taken(tree_root: Path) -> None:
    session = start(tree_for(tree_root, "run"), LIMITS, slot="adhoc-exit")
    session._container.kill()
    with ExitStack() as later, pytest.raises(Exception, match="died while it waited"):
        session.deliver(program(""), LIMITS, later=later)
    assert session._container._closed
