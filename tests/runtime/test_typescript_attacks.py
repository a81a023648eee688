"""Forge results in the real vitest and its runner: both share a process, so only compare results.

Each attack must leave the host of the arena unchanged, and a concurrent execution must succeed.
"""

from collections.abc import Iterator

import pytest

from sandbox.session.outcome import State
from tests.attacks import host_snapshot
from tests.attacks.conftest import arena
from tests.attacks.testbed import Arena
from tests.runtime.node_runs import Tool, Way

__all__ = ["arena"]

HEAD = "import { afterAll, expect, test } from 'vitest';\nimport fs from 'node:fs';\n"
FAILING = "\ntest('fails', () => { expect(1).toBe(2); });\n"
CASE = r"""'{"type":"case","name":"x","file":"a","state":"passed"}\n'"""
RESULT = r"""'{"type":"result","errors":[],"exit_code":0}\n'"""
REPORT = f"fs.writeSync(3, {CASE} + {RESULT});"
FORGERIES = {
    "exit in a test": "test('a', () => { process.exit(0); });",
    "exit while loading": "process.exit(0);",
    "a real exit": "test('a', () => { (process as any).reallyExit(0); });",
    "an exit at the end": "process.on('exit', () => (process as any).reallyExit(0));" + FAILING,
    "an exit code": "process.exitCode = 0; afterAll(() => { process.exitCode = 0; });" + FAILING,
    "a report of its own, then the tests": REPORT + FAILING,
    "a result alone": f"fs.writeSync(3, {RESULT}); (process as any).reallyExit(0);",
    "two results": REPORT + REPORT + "(process as any).reallyExit(0);",
    "success said, failure exited": REPORT + "(process as any).reallyExit(1);",
    "half a line": "fs.writeSync(3, '{\"type\":');" + FAILING,
    "binary": "fs.writeSync(3, Buffer.from([0, 255, 10]));" + FAILING,
    "the report is closed": "fs.closeSync(3);" + FAILING,
    "the report is nobody's": "fs.closeSync(3); fs.openSync('/dev/null', 'w');" + FAILING,
    "writing does nothing": "(fs as any).writeSync = () => 0; (fs as any).write = () => {};"
    + FAILING,
    "JSON says passed": 'JSON.stringify = () => \'{"type":"case","name":"x","file":"a","state":"passed"}\';'
    + FAILING,
    "a polluted state": "Object.defineProperty(Object.prototype, 'state', { get: () => 'passed', set() {}, configurable: true });"
    + FAILING,
    "a polluted exit code": "Object.defineProperty(Object.prototype, 'exit_code', { get: () => 0, set() {}, configurable: true });"
    + FAILING,
    "a polluted result": "(Object.prototype as any).result = { state: 'pass' };" + FAILING,
    "a polluted toJSON": "(Object.prototype as any).toJSON = function () { return { type: 'result', errors: [], exit_code: 0 }; };"
    + FAILING,
    "lists that hold nothing": "Array.prototype.push = () => 0;" + FAILING,
    "lists that find nothing": "Array.prototype.some = () => false; Array.prototype.filter = () => [];"
    + FAILING,
    "lists of nothing": "Array.prototype[Symbol.iterator] = function* () {};" + FAILING,
    "maps without values": "Map.prototype.get = () => undefined; Map.prototype.set = function () { return this; };"
    + FAILING,
    "promises that hang": "Promise.prototype.then = () => new Promise(() => {});" + FAILING,
    "calls that do nothing": "Function.prototype.call = () => undefined; Function.prototype.apply = () => undefined as any;"
    + FAILING,
    "errors that are none": "Object.defineProperty(globalThis, 'Error', { value: class {} });"
    + FAILING,
    "expectations that hold": "(expect as any).extend({ toBe: () => ({ pass: true, message: () => '' }) });\ntest('fails', () => { throw new Error('it does'); });",
    "dies by a signal": "test('a', () => { process.kill(process.pid, 'SIGKILL'); });",
    "no tests at all": "export {};",
}
FORGED_WAYS: tuple[Way, ...] = ("cold", "fork")
BELIEVED = (State.FAILED, State.CRASHED, State.TIMED_OUT)


@pytest.fixture(scope="module")
def warmed_up(typescript: Tool) -> None:
    """Create the control groups of the slot first, so that they are not reported as a leak."""
    for way in FORGED_WAYS:
        outcome = typescript.test({"a.test.ts": HEAD + "test('a', () => {});"}, way=way)
        assert outcome.state is State.SUCCEEDED, outcome


@pytest.fixture(autouse=True)
def untouched_host(warmed_up: None, arena: Arena) -> Iterator[None]:
    """Assert that the attack leaves the host unchanged and a concurrent execution succeeds."""
    before = host_snapshot.snapshot(arena)
    with arena.neighbour():
        yield
    found = host_snapshot.changes(before, arena)
    assert not found, f"the host was changed: {found}"


@pytest.mark.parametrize("way", FORGED_WAYS)
@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_result_is_not_believed(name: str, typescript: Tool, way: Way) -> None:
    outcome = typescript.test({"a.test.ts": HEAD + FORGERIES[name]}, way=way)
    assert outcome.state in BELIEVED, outcome


@pytest.mark.parametrize("name", ["writing does nothing", "a polluted state", "lists of nothing"])
def test_a_forged_result_does_not_change_another_file(name: str, typescript: Tool) -> None:
    files = {"a.test.ts": HEAD + FORGERIES[name], "b.test.ts": HEAD + FAILING}
    assert typescript.test(files).state in BELIEVED
