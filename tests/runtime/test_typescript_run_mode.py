"""Test mode run of the TypeScript template, against bare Node and against its own contract."""

import pytest

from sandbox.session.outcome import Outcome, State
from tests.runtime.node_runs import Tool

SAME_AS_NODE: dict[str, str] = {
    "prints": 'console.log("hello" as string, { a: [1, 2] });',
    "top-level await": "const x: number = await Promise.resolve(4);\nconsole.log(x);",
    "await that never ends": "await new Promise(() => {});",
    "exit": 'process.on("exit", (code) => console.log("exit", code));\nprocess.exit(7);',
    "exit code": "process.exitCode = 3;",
    "throws": "interface X { a: number }\n\nthrow new TypeError('bad');",
    "throws as a module": "export {};\nthrow new TypeError('bad');",
    "throws later": "setTimeout(() => {\n  (null as any).x();\n}, 1);",
    "throws what is no error": "throw { a: 1 };",
    "rejects": "Promise.reject(new Error('lost'));\nsetTimeout(() => console.log('no'), 999);",
    "rejects in a module": "export {};\nPromise.reject(5);",
    "uncaught handler": "process.on('uncaughtException', (e) => console.log(`${e}`));\nthrow 1;",
    "stdin": "let s = '';\nfor await (const part of process.stdin) s += part;\nconsole.log(s);",
    "stdin at once": "import fs from 'node:fs';\nconsole.log(fs.readFileSync(0, 'utf8'));",
    "lines": "import { createInterface } from 'node:readline';\n"
    "createInterface({ input: process.stdin }).on('line', (line) => console.log('>', line));",
    "arguments": "console.log(process.argv.length, process.argv.slice(2), process.execArgv);",
    "main module": "console.log(import.meta.main, import.meta.filename.endsWith('src/main.ts'));",
    "CommonJS": "const fs = require('node:fs');\n"
    "console.log(require.main === module, typeof fs.statSync, typeof __dirname);",
    "using": "{ using x = { [Symbol.dispose]() { console.log('gone'); } }; console.log('in'); }",
    "timers": "setTimeout(() => console.log('b'), 250);\nsetImmediate(() => console.log('a'));",
    "listens to its own exit": "process.on('exit', () => console.log('first'));\n"
    "process.once('exit', (code) => console.log('second', code));",
    "fails in its own exit": "process.on('exit', () => { process.exitCode = 6; });",
    "throws in its own exit": "process.on('exit', () => { throw new Error('late'); });",
    "exits with nothing": "console.log('x'.repeat(20_000));\nprocess.exit();",
    "exits with zero in a timer": "setInterval(() => process.exit(0), 5);",
    "its child ends first": "import { spawnSync } from 'node:child_process';\n"
    "console.log(spawnSync(process.execPath, ['-e', 'process.exit(0)']).status);\n"
    "process.exitCode = 2;",
    "its worker ends first": "import { Worker } from 'node:worker_threads';\n"
    "new Worker('process.exit(0)', { eval: true }).on('exit', () => console.log('on'));",
    "standard error": "console.error('problem');\nprocess.stdout.write('no newline');",
}


@pytest.mark.parametrize("name", SAME_AS_NODE)
def test_a_program_ends_as_with_bare_node(typescript: Tool, name: str) -> None:
    files = {"main.ts": SAME_AS_NODE[name]}
    args, stdin = ("Ada", "two words"), b"one\ntwo\n"
    outcome = typescript.run(files, args=args, stdin=stdin)
    bare = typescript.bare_node(files, args=args, stdin=stdin)
    assert outcome.exit_code == bare.exit_code, outcome
    assert outcome.stdout.data.decode() == bare.stdout
    assert outcome.state is (State.SUCCEEDED if bare.exit_code == 0 else State.FAILED)
    assert bool(outcome.stderr.data) == bool(without_warning(bare.stderr))


def without_warning(stderr: str) -> str:
    """Remove the advice of bare Node on a package.json without a type, which the template omits."""
    marks = ("MODULE_TYPELESS", "Reparsing as", "To eliminate", "(Use `node --trace-w")
    lines = [line for line in stderr.splitlines() if not any(mark in line for mark in marks)]
    return "\n".join(lines).strip()


def printed(outcome: Outcome) -> str:
    assert outcome.state is State.SUCCEEDED, outcome
    assert outcome.stderr.data == b""
    return outcome.stdout.data.decode().rstrip("\n")


@pytest.mark.parametrize(
    ("files", "output"),
    [
        ({"main.ts": "enum E { A = 3 }\nconsole.log(E.A);"}, "3"),
        ({"main.ts": "namespace N { export const x = 2; }\nconsole.log(N.x);"}, "2"),
        ({"main.ts": "class C { constructor(readonly x = 5) {} }\nconsole.log(new C().x);"}, "5"),
        ({"main.ts": "import fs = require('fs');\nconsole.log(typeof fs.statSync);"}, "function"),
        (
            {"main.ts": "import { a } from './u';\nconsole.log(a);", "u.ts": "export const a = 1;"},
            "1",
        ),
        (
            {
                "main.ts": "import { a } from './u';\nconsole.log(a);",
                "u.tsx": "export const a = 1;",
            },
            "1",
        ),
        (
            {
                "main.ts": "import { a } from './u';\nconsole.log(a);",
                "u.mjs": "export const a = 1;",
            },
            "1",
        ),
        (
            {"main.ts": "import { a } from './u';\nconsole.log(a);", "u.js": "export const a = 1;"},
            "1",
        ),
        (
            {
                "main.ts": "import { a } from './u.js';\nconsole.log(a);",
                "u.ts": "export const a = 1;",
            },
            "1",
        ),
        (
            {
                "main.ts": "import { a } from './u';\nconsole.log(a);",
                "u/index.ts": "export const a = 1;",
            },
            "1",
        ),
        ({"main.ts": "console.log((await import('./u')).a);", "u.ts": "export const a = 1;"}, "1"),
        ({"main.ts": "console.log(require('./u').a);", "u.ts": "export const a = 1;"}, "1"),
        ({"main.ts": "console.log(require('./u.cjs').a);", "u.cjs": "exports.a = 1;"}, "1"),
        (
            {"main.ts": "import { a } from './u.cjs';\nconsole.log(a);", "u.cjs": "exports.a = 1;"},
            "1",
        ),
        (
            {
                "main.ts": "import d, { k } from './d.json';\nconsole.log(d.k, k);",
                "d.json": '{"k": 1}',
            },
            "1 1",
        ),
        (
            {"main.ts": "import { T, v } from './u';\nconst x: T = v;\nconsole.log(x);"}
            | {"u.ts": "export type T = number;\nexport const v = 1;"},
            "1",
        ),
    ],
)
def test_run_mode_accepts_the_syntax_of_vitest(
    typescript: Tool, files: dict[str, str], output: str
) -> None:
    assert printed(typescript.run(files)) == output


def test_decorators_work(typescript: Tool) -> None:
    main = """
    const seen: string[] = [];
    function note(target: any, key?: string, at?: any) { seen.push(`${key}:${typeof at}`); }
    @note class C { @note field = 1; @note method(@note argument: string) {} }
    new C();
    console.log(seen.join(" "));
    """
    assert printed(typescript.run({"main.ts": main})) == (
        "field:undefined method:number method:object undefined:undefined"
    )


@pytest.mark.parametrize("module", ["", "export {};\n"])
def test_a_stack_shows_the_lines_of_the_source(typescript: Tool, module: str) -> None:
    main = (
        module
        + "interface A {\n  b: 1;\n}\n\n"
        + "function boom(): never {\n  throw new Error('x');\n}\nboom();\n"
    )
    line = main[: main.index("throw")].count("\n") + 1
    outcome = typescript.run({"main.ts": main})
    text = outcome.stderr.data.decode()
    assert text.startswith(f"/workspace/src/main.ts:{line}\n  throw new Error('x');\n")
    assert f"at boom (/workspace/src/main.ts:{line}:9)" in text
    assert "/template/" not in text


def test_a_syntax_error_shows_its_line(typescript: Tool) -> None:
    outcome = typescript.run({"main.ts": "const fine = 1;\nconst = 2;\n"})
    text = outcome.stderr.data.decode()
    assert outcome.exit_code == 1
    assert "SyntaxError" in text
    assert "src/main.ts:2:7" in text
    assert "/template/" not in text
    assert "\x1b" not in text


def test_a_syntax_error_of_an_import_can_be_caught(typescript: Tool) -> None:
    main = (
        "try { await import('./bad'); } catch (e: any) { console.log(e instanceof SyntaxError); }"
    )
    assert printed(typescript.run({"main.ts": main, "bad.ts": "const ="})) == "true"


@pytest.mark.parametrize(
    "entry", ["main.ts", "main.mts", "main.cts", "main.js", "main.mjs", "main.cjs"]
)
def test_any_kind_of_file_can_be_the_entry(typescript: Tool, entry: str) -> None:
    assert printed(typescript.run({entry: "console.log('hi');"}, entry=entry)) == "hi"


def test_a_package_json_of_the_submission_takes_effect(typescript: Tool) -> None:
    files = {"main.js": "console.log(typeof require);", "package.json": '{"type": "module"}'}
    assert printed(typescript.run(files, entry="main.js")) == "undefined"


def test_a_missing_entry_is_reported(typescript: Tool) -> None:
    outcome = typescript.run({"other.ts": ""}, entry="main.ts")
    assert outcome.exit_code == 1
    assert outcome.stderr.data == b"Entry file not found: main.ts\n"


def test_the_environment_is_the_submissions(typescript: Tool) -> None:
    main = "console.log(process.env.GREETING, Object.keys(process.env).sort().join(' '));"
    text = printed(typescript.run({"main.ts": main}, env={"GREETING": "hello"}))
    assert text.replace(" PWD", "") == "hello GREETING HOME LANG PATH TMPDIR"


def test_a_message_of_a_program_on_the_channel_has_no_effect(typescript: Tool) -> None:
    main = "import fs from 'node:fs';\nfs.writeSync(16, 'nonsense\\n');\nconsole.log('over');"
    assert printed(typescript.run({"main.ts": main})) == "over"


def test_a_flood_on_the_channel_has_no_effect(typescript: Tool) -> None:
    main = (
        "import fs from 'node:fs';\nconst much = 'x'.repeat(65_536);\n"
        "for (let n = 0; n < 2_000; n++) fs.writeSync(16, much);\nconsole.log('over');"
    )
    assert printed(typescript.run({"main.ts": main})) == "over"


def test_the_runner_writes_no_message_into_a_file_with_the_number_of_the_channel(
    typescript: Tool,
) -> None:
    main = (
        "import fs from 'node:fs';\nfs.closeSync(16);\n"
        "console.log(fs.openSync('/dev/stdout', 'w'));"
    )
    assert printed(typescript.run({"main.ts": main})) == "16"


def test_a_child_does_not_inherit_the_channel(typescript: Tool) -> None:
    main = (
        "import { spawnSync } from 'node:child_process';\n"
        "const stdio = ['ignore', 'pipe', 'ignore'] as const;\n"
        "console.log(spawnSync('ls', ['-l', '/proc/self/fd'], { stdio }).stdout.toString());"
    )
    # Node uses sockets as pipes: the only socket is the standard output of the child.
    assert printed(typescript.run({"main.ts": main})).count("socket:") == 1
