"""Test TypeScript that Node cannot strip in threads, forks, children and clusters, cold and warm."""

import pytest

from sandbox.session.outcome import State
from tests.runtime.node_runs import WAYS, Tool, Way

ENUM = "enum Q { Z = 4 }\n"
THREADS = "import { Worker, isMainThread, workerData } from 'node:worker_threads';\n"
CHILDREN = (
    "import { exec, execFile, execFileSync, execSync, fork, spawn } from 'node:child_process';\n"
)
OTHERS = {
    "u.ts": "export enum U { V = 7 }\n",
    "w.ts": "import { U } from './u';\nenum A { B = 2 }\nconsole.log(U.V, A.B, process.execArgv);\n",
    "w.cts": "enum A { B = 3 }\nconsole.log(require('./u').U.V, A.B);\n",
    "c.ts": "import { U } from './u';\nenum A { B = 3 }\nconsole.log(U.V, A.B, process.execArgv, "
    "process.env.NODE_OPTIONS, process.env.NODE_COMPILE_CACHE, process.argv.slice(2));\n",
    "tsconfig.json": '{"compilerOptions": {/* a comment */ "paths": {"@lib/*": ["./*"]},}}',
}
HERE = "/workspace/src"
PLAIN = "7 2 []\n"
CHILD = "7 3 [] undefined undefined []\n"

PROGRAMS: dict[str, tuple[str, str]] = {
    "its own address": (
        THREADS + ENUM + "if (isMainThread) new Worker(new URL(import.meta.url));\n"
        "else console.log('w', Q.Z);",
        "w 4\n",
    ),
    "its own name": (
        THREADS + ENUM + "if (isMainThread) new Worker(import.meta.filename);\n"
        "else console.log('w', Q.Z);",
        "w 4\n",
    ),
    "a thread by path": (THREADS + f"new Worker('{HERE}/w.ts');", PLAIN),
    "a thread by a path from here": (THREADS + "new Worker('./src/w.ts');", PLAIN),
    "a CommonJS thread": (THREADS + f"new Worker('{HERE}/w.cts');", "7 3\n"),
    "a thread with options": (
        THREADS + f"new Worker('{HERE}/w.ts', {{ execArgv: ['--no-warnings'] }});",
        "7 2 [ '--no-warnings' ]\n",
    ),
    "a thread without options": (
        THREADS + f"new Worker('{HERE}/w.ts', {{ execArgv: [] }});",
        PLAIN,
    ),
    "a thread with an environment": (
        THREADS + f"new Worker('{HERE}/w.ts', {{ env: {{ A: '1' }} }});",
        PLAIN,
    ),
    "a thread that shares its environment": (
        ("import { SHARE_ENV, Worker } from 'node:worker_threads';\n"
        f"new Worker('{HERE}/w.ts', {{ env: SHARE_ENV }});"),
        PLAIN,
    ),
    "a thread from a text": (
        THREADS + f"""new Worker("import('{HERE}/w.ts')", {{ eval: true }});""",
        PLAIN,
    ),
    "a thread from a data address": (
        THREADS + "new Worker(new URL('data:text/javascript,import \"file://"
        f"{HERE}/w.ts\"'));",
        PLAIN,
    ),
    "threads in threads": (
        THREADS + ENUM + "const n = isMainThread ? 0 : workerData;\nconsole.log(n, Q.Z);\n"
        "if (n < 2) new Worker(import.meta.filename, { workerData: n + 1 });",
        "0 4\n1 4\n2 4\n",
    ),
    "a child of a thread": (
        THREADS + CHILDREN + "if (isMainThread) new Worker(import.meta.filename);\n"
        f"else console.log(execFileSync(process.execPath, ['{HERE}/c.ts'], {{ encoding: 'utf8' }}));",
        CHILD + "\n",
    ),
    "a fork of itself": (
        CHILDREN + ENUM + "if (process.argv[2]) console.log('c', Q.Z);\n"
        "else fork(import.meta.filename, ['x']);",
        "c 4\n",
    ),
    "a fork with options": (
        CHILDREN + "fork('./src/c.ts', ['x'], { execArgv: ['--no-warnings'] });",
        "7 3 [ '--no-warnings' ] undefined undefined [ 'x' ]\n",
    ),
    "a fork with an environment": (CHILDREN + "fork('./src/c.ts', { env: {} });", CHILD),
    "a fork of a fork": (
        CHILDREN + ENUM + "const n = Number(process.argv[2] ?? 0);\nconsole.log(n, Q.Z);\n"
        "if (n < 2) fork(import.meta.filename, [String(n + 1)]);",
        "0 4\n1 4\n2 4\n",
    ),
    "spawn": (
        CHILDREN + "spawn(process.execPath, ['src/c.ts'], { stdio: 'inherit', env: {} });",
        CHILD,
    ),
    "spawn by name": (CHILDREN + "spawn('node', ['src/c.ts'], { stdio: 'inherit' });", CHILD),
    "spawn with options of its own": (
        CHILDREN + "spawn('node', ['src/c.ts'], "
        "{ stdio: 'inherit', env: { NODE_OPTIONS: '--no-warnings', PATH: process.env.PATH } });",
        "7 3 [] --no-warnings undefined []\n",
    ),
    "execFile": (
        CHILDREN + "execFile('node', ['src/c.ts'], (e, out) => process.stdout.write(out));",
        CHILD,
    ),
    "execFileSync": (
        CHILDREN + "process.stdout.write(execFileSync(process.execPath, ['src/c.ts']));",
        CHILD,
    ),
    "exec": (CHILDREN + "exec('node src/c.ts', (e, out) => process.stdout.write(out));", CHILD),
    "execSync": (CHILDREN + "process.stdout.write(execSync('node src/c.ts'));", CHILD),
    "a shell without Node": (
        CHILDREN + "process.stdout.write(execSync('echo $NODE_OPTIONS$NODE_COMPILE_CACHE'));",
        "\n",
    ),
    "a cluster": (
        "import cluster from 'node:cluster';\n" + ENUM + "if (cluster.isPrimary) "
        "cluster.fork().on('exit', (c) => console.log('exit', c));\n"
        "else { console.log('in', Q.Z); process.exit(0); }",
        "in 4\nexit 0\n",
    ),
    "paths of a tsconfig": ("import { U } from '@lib/u';\nconsole.log(U.V);", "7\n"),
    "paths by require": ("console.log(require('@lib/u').U.V);", "7\n"),
    "paths in a thread": (
        THREADS + "if (isMainThread) new Worker(import.meta.filename);\n"
        "else import('@lib/u').then((m) => console.log(m.U.V));",
        "7\n",
    ),
    "a package beside paths": ("import { expect } from 'vitest';\nconsole.log(typeof expect);", "function\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_threads_and_children_are_compiled(typescript: Tool, name: str) -> None:
    source, expected = PROGRAMS[name]
    for way in WAYS:
        outcome = typescript.run({"main.ts": source, **OTHERS}, way=way)
        assert outcome.state is State.SUCCEEDED, outcome
        assert outcome.stdout.data.decode() == expected, outcome.stderr
        assert outcome.stderr.data == b""
        assert outcome.start == way


@pytest.mark.parametrize("name", ["its own address", "a fork of itself", "a cluster"])
def test_bare_node_with_the_hook_gives_the_expected_output(typescript: Tool, name: str) -> None:
    source, expected = PROGRAMS[name]
    hook = ("--import", "/template/runner/typescript.mjs")
    bare = typescript.bare_node({"main.ts": source, **OTHERS}, options=hook)
    assert bare.stdout == expected, bare


@pytest.mark.parametrize("module", ["", "export {};\n"])
@pytest.mark.parametrize(
    "how", ["import('./nope')", "Promise.resolve().then(() => require('./nope'))"]
)
def test_an_error_in_the_hook_does_not_show_its_own_frames(
    typescript: Tool, module: str, how: str
) -> None:
    outcome = typescript.run({"main.ts": f"{module}{how};"})
    text = outcome.stderr.data.decode()
    assert outcome.exit_code == 1
    assert "/template/" not in text
    assert "customization_hooks" not in text


def test_a_syntax_error_in_a_thread_shows_its_line(typescript: Tool) -> None:
    main = THREADS + f"new Worker('{HERE}/bad.ts');"
    outcome = typescript.run({"main.ts": main, "bad.ts": "const = 2;\n"})
    assert "src/bad.ts:1:7" in outcome.stderr.data.decode()


@pytest.mark.parametrize("way", WAYS)
def test_the_paths_of_a_referenced_tsconfig_have_their_effect(typescript: Tool, way: Way) -> None:
    files = {
        "main.ts": "import { x } from '@l/x';\nconsole.log(x);",
        "lib/x.ts": "export const x = 8;",
        "tsconfig.json": '{"files": [], "references": [{"path": "./tsconfig.app.json"}]}',
        "tsconfig.app.json": '{"compilerOptions": {"composite": true, "paths": {"@l/*": ["./lib/*"]}},'
        ' "include": ["**/*.ts"]}',
    }
    outcome = typescript.run(files, way=way)
    assert (outcome.stdout.data, outcome.state) == (b"8\n", State.SUCCEEDED), outcome
