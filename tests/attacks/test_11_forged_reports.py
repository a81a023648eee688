"""Class 11: a report that contradicts itself or the exit status is never a success.

Tests share a process with the code under test, so a suite can consistently manipulate its own tool
and pass. docs/security.md describes this limit.
"""

import pytest

from sandbox.session.outcome import State
from tests.attacks.attack import Attack, forgery
from tests.attacks.conftest import Assault
from tests.attacks.testbed import Arena
from tests.sandbox.node_tree import tree_for

FAILING = "test('honest', () => { throw Error('it fails') });"
PASSED = r"""raw('{"type":"case","name":"x","file":"a","state":"passed"}\n');"""
RESULT = r"""raw('{"type":"result","errors":[],"exit_code":0}\n');"""
WRONG = (State.FAILED,)
KILLED = (State.FAILED, State.CRASHED)

ATTACKS: tuple[Attack, ...] = (
    forgery("exit 0 in a test", "test('a', () => process.exit(0));"),
    forgery("exit 0 while loading", "process.exit(0);"),
    forgery("exit 0 at the end of a failing test", FAILING + "process.on('exit', () => {"
            " process.exitCode = 0; process.reallyExit(0); });"),
    forgery("a real exit", "test('a', () => process.reallyExit(0));"),
    forgery("dies by a signal", "test('a', () => process.kill(process.pid, 'SIGKILL'));", *KILLED),
    forgery("aborts", "test('a', () => process.abort());", *KILLED),
    forgery("a report on stdout",
            "console.log('{\"type\":\"result\",\"errors\":[],\"exit_code\":0}');"
            " process.exit(0);"),
    forgery("a text that looks like success",
         "console.log('Test Files  1 passed (1)\\n Tests  1 passed');"
            + FAILING),
    forgery("a result of its own, then its own tests", PASSED + RESULT + FAILING),
    forgery("a result alone", RESULT + "process.exit(0);"),
    forgery("two results", PASSED + RESULT + RESULT + "process.exit(0);"),
    forgery("success said, failure exited", PASSED + RESULT + "process.exit(1);"),
    forgery("failure said, success exited", PASSED
            + RESULT.replace(":0", ":1") + "process.exit(0);"),
    forgery("a failing case, success said", PASSED.replace("passed", "failed") + RESULT
            + "process.exit(0);"),
    forgery("ready once more",
            r"""raw('{"type":"ready"}\n');""" + PASSED + RESULT + "process.exit(0);"),
    forgery("a case after the result", PASSED + RESULT + PASSED + "process.exit(0);"),
    forgery("half a line", PASSED + RESULT + "raw('{\"type\":'); process.exit(0);"),
    forgery("no JSON", "raw('PASS\\n'); test('a', () => {});"),
    forgery("binary", "raw(Buffer.from([0, 255, 254, 10])); test('a', () => {});"),
    forgery("a line of two megabytes", "for (let n = 0; n < 32; n++) raw('x'.repeat(65536));"
            " test('a', () => {});"),
    forgery("depth", "raw('['.repeat(100000) + '\\n'); test('a', () => {});"),
    forgery("a key that stands twice",
            PASSED.replace('"state"', '"state":"failed","state"') + RESULT + "process.exit(0);"),
    forgery("a key too many", PASSED.replace('"file"', '"score":100,"file"') + RESULT
            + "process.exit(0);"),
    forgery("a state of its own", PASSED.replace('"passed"', '"excellent"') + RESULT
            + "process.exit(0);"),
    forgery("a status that is no number", PASSED + RESULT.replace(":0",
         ":false") + "process.exit(0);"),
    forgery("not a number", PASSED.replace('"file"', '"duration_ms":NaN,"file"') + RESULT
            + "process.exit(0);"),
    forgery("time without end", PASSED.replace('"file"', '"duration_ms":1e999,"file"') + RESULT
            + "process.exit(0);"),
    forgery("a line below nought", PASSED.replace('"file"', '"line":-1,"file"') + RESULT
            + "process.exit(0);"),
    forgery("cases without end", "for (let n = 0; n < 10010; n++)" + PASSED + RESULT
            + "process.exit(0);"),
    forgery("the report is closed", "process.getBuiltinModule('fs').closeSync(3); test('a', ()"
     " => {});"),
    forgery("the report is something else", "const fs = process.getBuiltinModule('fs');"
            " fs.closeSync(3); fs.openSync('/dev/null', 'w');"
            + FAILING),
    forgery("the reporter is overwritten", "try { process.getBuiltinModule('fs').writeFileSync("
            "'/template/runner/main.mjs', 'process.exit(0)') } catch {}" + FAILING),
    forgery("no tests at all", "export {};"),
)  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_a_forged_report_is_not_believed(attack: Attack, assault: Assault) -> None:
    assault(attack)


def test_cases_before_the_forged_report_are_kept(arena: Arena) -> None:
    code = (
        "test('first', () => {}); test('second', () => raw('nonsense\\n')); test('third', () => {})"
    )
    job = arena.job(code, mode="test", name="a.test.mjs")
    outcome = arena.execute(tree_for(arena.tree, "test"), job)
    assert outcome.state == State.FAILED
    assert outcome.report is not None
    assert [case.name for case in outcome.report.cases] == ["first"]
    assert not outcome.report.complete


def test_a_run_cannot_report_at_all(arena: Arena) -> None:
    """Check that in run mode, lines on descriptor 3 are ignored."""
    code = "import fs from 'node:fs'; try { fs.writeSync(3, '{\"type\":\"result\"}\\n') } catch {}"
    outcome = arena.execute(tree_for(arena.tree, "run"), arena.job(code))
    assert (outcome.state, outcome.report) == (State.SUCCEEDED, None)
