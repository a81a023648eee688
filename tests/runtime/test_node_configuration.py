"""Test the vitest configuration of a submission, and variables that Node reads at its start."""

import pytest

from sandbox.limits import Limits
from sandbox.session.outcome import Outcome, State
from tests.runtime.node_runs import WAYS, Tool, seen

TESTS = {
    "a.test.js": 'import { expect, it } from "vitest";\n'
    'it("a", () => { console.log("in a"); expect(globalThis.S).toBe(1); });\n'
    'it("b", () => {});\nit("fails", () => { expect(1).toBe(2); });\n',
    "setup.js": "globalThis.S = 1;\n",
}
SETUP = 'setupFiles: ["./setup.js"]'
CASES = [
    ("a.test.js", "a", "passed"),
    ("a.test.js", "b", "passed"),
    ("a.test.js", "fails", "failed"),
]

FILES: dict[str, dict[str, str]] = {
    "ts": {"vitest.config.ts": "enum E { A = './setup.js' }\nexport default { test: { setupFiles: [E.A] } };"},
    "mts": {"vitest.config.mts": f"export default {{ test: {{ {SETUP} }} }};"},
    "js": {"vitest.config.js": f"export default {{ test: {{ {SETUP} }} }};"},
    "mjs": {"vitest.config.mjs": f"export default {{ test: {{ {SETUP} }} }};"},
    "cjs": {"vitest.config.cjs": f"module.exports = {{ test: {{ {SETUP} }} }};"},
    "vite": {"vite.config.mjs": f"export default {{ test: {{ {SETUP} }} }};"},
    "vite in TypeScript": {"vite.config.ts": f"export default {{ test: {{ {SETUP} }} }};"},
    "both": {"vite.config.mjs": "throw 1;", "vitest.config.mjs": f"export default {{ test: {{ {SETUP} }} }};"},
    "defineConfig": {
        "vitest.config.mjs": 'import { defineConfig } from "vitest/config";\n'
        f"export default defineConfig({{ test: {{ {SETUP} }} }});"
    },
    "a function": {"vitest.config.mjs": f"export default async () => ({{ test: {{ {SETUP} }} }});"},
    "a module package": {
        "package.json": '{"type": "module"}',
        "vitest.config.js": f"export default {{ test: {{ {SETUP} }} }};",
    },
}  # fmt: skip
OPTIONS = {
    "no reporters": "reporters: []",
    "a silent reporter": "reporters: [{}]",
    "threads": 'pool: "threads"',
    "forks": 'pool: "forks"',
    "vmThreads": 'pool: "vmThreads"',
    "not isolated": "isolate: false",
    "threads that are not isolated": 'pool: "threads", isolate: false',
    "one worker": "maxWorkers: 1, fileParallelism: false",
    "globals": "globals: true",
    "an environment of variables": 'env: { X: "1" }',
    "an order": 'sequence: { shuffle: false, hooks: "list" }',
    "projects": 'projects: [{ test: { name: "p", setupFiles: ["./setup.js"], include: ["*.test.js"] } }]',
    "console not intercepted": "disableConsoleIntercept: true",
}


def own(javascript: Tool, files: dict[str, str]) -> Outcome:
    outcome = javascript.test({**TESTS, **files}, limits=Limits(wall_ms=30_000), way="warm")
    assert not outcome.warm
    assert "configuration" in str(outcome.cold_reason)
    return outcome


@pytest.mark.parametrize("name", FILES)
def test_a_configuration_takes_effect_under_each_name_that_vitest_knows(
    javascript: Tool, name: str
) -> None:
    outcome = own(javascript, FILES[name])
    assert seen(outcome) == CASES, outcome
    assert (outcome.state, outcome.exit_code) == (State.FAILED, 1)
    assert outcome.stdout.data == b"in a\n"
    assert outcome.report is not None
    assert outcome.report.cases[0].stdout == "in a\n"


@pytest.mark.parametrize("name", OPTIONS)
def test_each_configuration_still_gives_our_report(javascript: Tool, name: str) -> None:
    config = f"export default {{ test: {{ {SETUP}, {OPTIONS[name]} }} }};"
    outcome = own(javascript, {"vitest.config.mjs": config})
    assert seen(outcome) == CASES, outcome
    assert (outcome.state, outcome.exit_code) == (State.FAILED, 1)
    assert outcome.report is not None
    if name != "a silent reporter":
        assert b"in a\n" in outcome.stdout.data


def test_a_cold_start_with_a_configuration_has_no_cold_reason(javascript: Tool) -> None:
    outcome = javascript.test({**TESTS, **FILES["mjs"]})
    assert (outcome.warm, outcome.cold_reason) == (False, None)
    assert seen(outcome) == CASES


def test_reporters_and_output_files_of_a_configuration_are_used(javascript: Tool) -> None:
    config = f'export default {{ test: {{ {SETUP}, reporters: ["verbose", "json"], outputFile: {{ json: "o.json" }} }} }};'
    outcome = own(javascript, {"vitest.config.mjs": config})
    text = outcome.stdout.data.decode()
    assert "JSON report written to /workspace/src/o.json" in text
    assert text.count("✓") == 2
    assert seen(outcome) == CASES


def test_global_setup_and_its_teardown_run(javascript: Tool) -> None:
    files = {
        "vitest.config.mjs": f'export default {{ test: {{ {SETUP}, globalSetup: ["./g.js"] }} }};',
        "g.js": "export default () => { console.log('up'); return () => console.log('down'); };\n",
    }
    outcome = own(javascript, files)
    assert outcome.stdout.data == b"up\nin a\ndown\n"


BROKEN = {
    "does not parse": ("export default {", "Startup Error", ""),
    "throws": ("throw new Error('my config');", "my config", ""),
    "a setup file that is missing": (
        'export default { test: { setupFiles: ["./nope.js"] } };', "", "nope.js",
    ),
    "a plugin that throws": (
        "export default { plugins: [{ name: 'x', configResolved() { throw new Error('plug'); } }] };",
        "plug", "plug",
    ),
    "an unknown environment": ('export default { test: { environment: "jsdom" } };', "", "jsdom"),
    "coverage that is not installed": (
        "export default { test: { coverage: { enabled: true } } };", "coverage-v8", "",
    ),
    "a file that no test is in": ('export default { test: { include: ["x/*.js"] } };', "", "No test files"),
    "a global setup that throws": (
        'export default { test: { globalSetup: ["./setup2.js"] } };', "", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_an_error_in_a_configuration_is_reported_and_fails(javascript: Tool, name: str) -> None:
    config, on_stderr, in_report = BROKEN[name]
    files = {
        "vitest.config.mjs": config,
        "setup2.js": "export default () => { throw new Error('g'); };",
    }
    outcome = own(javascript, files)
    assert (outcome.state, outcome.exit_code) == (State.FAILED, 1)
    assert on_stderr in outcome.stderr.data.decode()
    assert outcome.report is not None
    assert in_report in " ".join(error.message for error in outcome.report.errors)
    assert outcome.report.errors


def test_a_configuration_that_ends_the_process_has_no_report(javascript: Tool) -> None:
    outcome = own(javascript, {"vitest.config.mjs": "process.exit(0);"})
    assert (outcome.state, outcome.exit_code) == (State.FAILED, 0)


def test_a_run_without_tests_fails_even_if_vitest_passes(javascript: Tool) -> None:
    config = 'export default { test: { include: ["x/*.js"], passWithNoTests: true } };'
    outcome = own(javascript, {"vitest.config.mjs": config})
    assert (outcome.state, outcome.exit_code) == (State.FAILED, 0)


@pytest.mark.parametrize("pool", ["forks", "threads"])
def test_tests_before_an_endless_one_are_reported(javascript: Tool, pool: str) -> None:
    files = {
        "vitest.config.mjs": f'export default {{ test: {{ pool: "{pool}" }} }};',
        "a.test.js": 'import { it } from "vitest";\nit("first", () => {});\nit("hangs", () => { for (;;); });',
    }
    outcome = javascript.test(files, limits=Limits(wall_ms=4_000))
    assert outcome.state is State.TIMED_OUT
    assert ("a.test.js", "first", "passed") in seen(outcome)


VARIABLES: dict[str, tuple[dict[str, str], str]] = {
    "TZ": ({"TZ": "America/New_York"}, "new Date(0).getHours()"),
    "TZ of half an hour": ({"TZ": "Asia/Kolkata"}, "new Date(0).toString()"),
    "LANG": ({"LANG": "de_DE.UTF-8"}, "(1234.5).toLocaleString()"),
    "LC_ALL": ({"LC_ALL": "fr_FR.UTF-8"}, "Intl.DateTimeFormat().resolvedOptions().locale"),
    "LC_MESSAGES": ({"LANG": "", "LC_MESSAGES": "sv_SE.UTF-8"}, "['ö', 'z', 'a'].sort((a, b) => a.localeCompare(b))"),
    "FORCE_COLOR": ({"FORCE_COLOR": "1"}, "{ a: 1 }"),
    "FORCE_COLOR=0": ({"FORCE_COLOR": "0"}, "{ a: 1 }"),
    "NO_COLOR": ({"NO_COLOR": "1"}, "{ a: 1 }, process.stdout.hasColors?.()"),
    "NODE_ENV": ({"NODE_ENV": "production"}, "process.env.NODE_ENV"),
    "DEBUG": ({"DEBUG": "x:*"}, "process.env.DEBUG"),
    "CI": ({"CI": "true"}, "process.env.CI"),
    "NODE_NO_WARNINGS": ({"NODE_NO_WARNINGS": "1"}, "process.emitWarning('w')"),
    "NODE_PATH": ({"NODE_PATH": "/workspace/src/lib"}, "require('found')"),
    "UV_THREADPOOL_SIZE": ({"UV_THREADPOOL_SIZE": "2"}, "process.env.UV_THREADPOOL_SIZE"),
    "a name of its own": ({"GREETING": "hello"}, "process.env.GREETING"),
}  # fmt: skip
READ_LATE = {"a name of its own"}


@pytest.mark.parametrize("name", VARIABLES)
def test_a_variable_has_the_same_effect_as_in_bare_node(javascript: Tool, name: str) -> None:
    env, expression = VARIABLES[name]
    files = {"main.js": f"console.log({expression});", "lib/found.js": "module.exports = 'found';"}
    bare_env = {key: value.replace("/workspace/src", "src") for key, value in env.items()}
    bare = javascript.bare_node(files, entry="main.js", env=bare_env)
    for way in WAYS:
        outcome = javascript.run(files, entry="main.js", env=env, way=way)
        assert outcome.stdout.data.decode() == bare.stdout, outcome
        assert bool(outcome.stderr.data) == bool(bare.stderr)
        assert outcome.exit_code == bare.exit_code == 0
        assert outcome.warm is (way != "cold" and name in READ_LATE)


IN_CI = {
    "only": ('it.only("a", () => {});\nit("b", () => {});', [("a", "failed"), ("b", "skipped")]),
    "only in a suite": (
        'describe.only("d", () => { it("a", () => {}); });\nit("b", () => {});',
        [("d > a", "skipped"), ("b", "skipped")],
    ),
    "a new snapshot": ('it("a", () => { expect(1).toMatchSnapshot(); });', [("a", "failed")]),
    "a new snapshot in the file": (
        'it("a", () => { expect(1).toMatchInlineSnapshot(); });', [("a", "failed")],
    ),
    "nothing special": ('it("a", () => {});', [("a", "passed")]),
}  # fmt: skip


@pytest.mark.parametrize("language", ["javascript", "typescript"])
@pytest.mark.parametrize("name", IN_CI)
def test_the_variable_ci_has_its_effect_in_vitest(
    javascript: Tool, typescript: Tool, language: str, name: str
) -> None:
    body, cases = IN_CI[name]
    tool = {"javascript": javascript, "typescript": typescript}[language]
    files = {f"a.test.{language[0]}s": f'import {{ describe, expect, it }} from "vitest";\n{body}'}
    bare = tool.bare_vitest(files, env={"CI": "1"})
    for way in WAYS:
        outcome = tool.test(files, env={"CI": "1"}, way=way)
        assert outcome.report is not None
        assert seen(outcome) == bare.cases, outcome
        assert [(case.name, case.state) for case in outcome.report.cases] == cases
        assert outcome.exit_code == bare.exit_code
        assert not outcome.warm


def test_a_configuration_sees_the_variables(javascript: Tool) -> None:
    files = {
        "vitest.config.mjs": "export default { test: { env: { SEEN: process.env.CI + process.env.VITE_A } } };",
        "a.test.js": 'import { it } from "vitest";\nit("a", () => console.log(process.env.SEEN, import.meta.env.VITE_A));',
    }
    for way in WAYS:
        outcome = javascript.test(files, env={"CI": "yes", "VITE_A": "7"}, way=way)
        assert outcome.stdout.data == b"yes7 7\n", outcome
