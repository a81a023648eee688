"""Compare the JavaScript template, cold, warm and forked, with bare Node and bare vitest."""

import re

import pytest

from sandbox.session.outcome import Outcome, State
from tests.runtime.node_runs import WAYS, Tool, Way, seen
from tests.runtime.test_typescript_warm_and_cold import agree
from tests.runtime.vitest_submissions import SUBMISSIONS

# The TypeScript syntax in the submissions that both languages share.
TYPES = re.compile(r" as (const|any)|<\{ load\(\): number \}>|(?<=value): number")
ONLY_TYPESCRIPT = {"enum, namespace, parameter property, decorator"}

PROGRAMS = {
    "prints": 'console.log("hello", { a: [1, 2] }, new Map([[1, 2]]));',
    "a module with top-level await": "export {};\nconsole.log(await Promise.resolve(4));",
    "CommonJS": "const fs = require('node:fs');\n"
    "console.log(require.main === module, typeof fs.statSync, typeof __dirname);",
    "main module": "console.log(import.meta.main, import.meta.filename.endsWith('src/main.js'));",
    "await that never ends": "await new Promise(() => {});",
    "exit": 'process.on("exit", (code) => console.log("exit", code));\nprocess.exit(7);',
    "exit code": "process.exitCode = 3;",
    "throws": "throw new TypeError('bad');",
    "throws later": "setTimeout(() => {\n  null.x();\n}, 1);",
    "throws what is no error": "throw { a: 1 };",
    "rejects": "Promise.reject(new Error('lost'));\nsetTimeout(() => console.log('no'), 999);",
    "uncaught handler": "process.on('uncaughtException', (e) => console.log(`${e}`));\nthrow 1;",
    "stdin": "let s = '';\nfor await (const part of process.stdin) s += part;\nconsole.log(s);",
    "stdin at once": "console.log(require('node:fs').readFileSync(0, 'utf8'));",
    "arguments": "console.log(process.argv.length, process.argv.slice(2), process.execArgv);",
    "a helper": "import { twice } from './util.js';\nconsole.log(twice(2));",
    "a helper without extension": "import { twice } from './util';\nconsole.log(twice(2));",
    "a helper by require": "console.log(require('./old.cjs').twice(3));",
    "a package": "import { expect } from 'vitest';\nconsole.log(typeof expect);",
    "a package that is not there": "import 'left-pad';",
    "syntax error": "const = 1;",
    "types are no JavaScript": "const x: number = 1;",
    "timers": "setTimeout(() => console.log('b'), 250);\nsetImmediate(() => console.log('a'));",
    "worker": "const { Worker, isMainThread } = require('node:worker_threads');\n"
    "if (isMainThread) new Worker(__filename).on('exit', (c) => console.log('exit', c));\n"
    "else console.log('inside');",
    "child process": "const { execFileSync } = require('node:child_process');\n"
    "console.log(execFileSync(process.execPath, ['-p', '1 + 1'], { encoding: 'utf8' }));",
    "standard error": "console.error('problem');\nprocess.stdout.write('no newline');",
}
HELPERS = {
    "util.js": "export const twice = (n) => 2 * n;\n",
    "old.cjs": "exports.twice = (n) => 2 * n;\n",
}
TESTS = {name: files for name, files in SUBMISSIONS.items() if name not in ONLY_TYPESCRIPT}


def in_javascript(files: dict[str, str]) -> dict[str, str]:
    """Return the same submission without types, in .js files."""
    return {re.sub(r"\.ts$", ".js", path): TYPES.sub("", text) for path, text in files.items()}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_ends_as_bare_node_does(javascript: Tool, name: str, way: Way) -> None:
    files = {"main.js": PROGRAMS[name], **HELPERS}
    args, stdin = ("Ada", "two words"), b"one\ntwo\n"
    outcome = javascript.run(files, entry="main.js", args=args, stdin=stdin, way=way)
    bare = javascript.bare_node(files, entry="main.js", args=args, stdin=stdin)
    assert outcome.start == way
    assert outcome.exit_code == bare.exit_code, outcome
    assert outcome.stdout.data.decode() == bare.stdout
    assert outcome.state is (State.SUCCEEDED if bare.exit_code == 0 else State.FAILED)
    assert error_of(outcome.stderr.data.decode()) == error_of(bare.stderr)


def error_of(stderr: str) -> list[str]:
    """Return the error and its line, without the stack frames."""
    text = re.sub(r"(file://)?/[^\s:']*/src/", "", stderr)
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("    at ")]
    return [line for line in lines if not line.startswith(("Node.js v", "(Use `node --trace"))]


@pytest.mark.parametrize("name", TESTS)
def test_tests_end_as_in_bare_vitest_each_way(javascript: Tool, name: str) -> None:
    files = in_javascript(TESTS[name])
    cold, *others = (javascript.test(files, way=way) for way in WAYS)
    bare = javascript.bare_vitest(files)
    assert seen(cold) == bare.cases
    assert cold.exit_code == bare.exit_code, cold
    assert cold.state is (State.SUCCEEDED if bare.exit_code == 0 else State.FAILED)
    for other in others:
        assert seen(other) == seen(cold)
        agree(other, cold)


def test_there_is_no_compiler_in_the_tree(javascript: Tool) -> None:
    assert not (javascript.root / "node_modules/typescript").exists()
    assert not (javascript.root / "runner").exists()


def test_typescript_tests_are_ignored(javascript: Tool) -> None:
    outcome: Outcome = javascript.test({"a.test.ts": "import 'vitest';"})
    assert outcome.report is not None
    assert [error.message for error in outcome.report.errors] == ["No test files found"]
