"""Test mode test of the TypeScript template, against bare vitest and against its own contract."""

import pytest

from sandbox.limits import Limits
from sandbox.session.outcome import Outcome, State
from sandbox.session.runner_messages import TestCase
from tests.runtime.node_runs import WAYS, Tool, Way, seen
from tests.runtime.vitest_submissions import HEAD, SUBMISSIONS, one, several

WORKER_ENVIRONMENT = {
    *("BASE_URL", "DEV", "FORCE_TTY", "HOME", "LANG", "MODE", "NODE_ENV", "PATH", "PROD", "SSR"),
    *("TEST", "VITEST", "VITEST_MODE", "VITEST_POOL_ID", "VITEST_WORKER_ID"),
}


@pytest.mark.parametrize("name", SUBMISSIONS)
def test_a_suite_ends_as_with_bare_vitest(typescript: Tool, name: str) -> None:
    files = SUBMISSIONS[name]
    outcome = typescript.test(files)
    bare = typescript.bare_vitest(files)
    assert seen(outcome) == bare.cases
    assert outcome.exit_code == bare.exit_code, outcome
    assert outcome.state is (State.SUCCEEDED if bare.exit_code == 0 else State.FAILED)
    assert outcome.message is None or name == "no test file"


@pytest.mark.parametrize("name", ["passing", "failing", "several files, isolated"])
def test_a_suite_ends_warm_and_forked_as_cold(typescript: Tool, name: str) -> None:
    files = SUBMISSIONS[name]
    cold, *others = (typescript.test(files, way=way) for way in WAYS)
    for other in others:
        assert seen(other) == seen(cold)
        assert (other.state, other.exit_code) == (cold.state, cold.exit_code)


def only_case(outcome: Outcome) -> TestCase:
    assert outcome.report is not None
    [case] = outcome.report.cases
    return case


def test_a_failure_has_message_diff_and_line(typescript: Tool) -> None:
    body = """
    interface Answer {
      value: number;
    }

    it("compares", () => {
      const answer: Answer = { value: 41 };
      expect(answer).toEqual({ value: 42 });
    });
    """
    case = only_case(typescript.test(one(body)))
    assert case.message is not None
    assert case.message.startswith("AssertionError: expected { value: 41 } to deeply equal")
    assert '-   "value": 42,\n+   "value": 41,' in case.message
    assert "\x1b" not in case.message
    assert (case.file, case.line, case.column) == ("a.test.ts", 9, 18)


def test_a_failure_in_a_helper_has_the_line_of_the_test(typescript: Tool) -> None:
    helper = """
    import { expect } from "vitest";
    export const check = (n: number) => expect(n).toBe(2);
    """
    body = 'import { check } from "./helper";\nit("checks", () => {\n  check(1);\n});'
    case = only_case(typescript.test(one(body, helper=helper)))
    assert (case.file, case.line, case.column) == ("a.test.ts", 4, 3)


def test_the_cause_of_an_error_is_reported(typescript: Tool) -> None:
    body = 'it("c", () => { throw new Error("outer", { cause: new TypeError("inner") }); });'
    assert only_case(typescript.test(one(body))).message == (
        "Error: outer\n\nCaused by: TypeError: inner"
    )


def test_an_error_that_causes_itself_is_reported(typescript: Tool) -> None:
    body = """
    it("c", () => { const e: any = new Error("round"); e.cause = e; throw e; });
    """
    message = only_case(typescript.test(one(body))).message
    assert message is not None
    assert message.startswith("Error: round")


def test_a_test_that_passes_after_a_retry_has_no_message(typescript: Tool) -> None:
    body = 'let n = 0;\nit("r", { retry: 2 }, () => { expect(++n).toBe(2); });'
    case = only_case(typescript.test(one(body)))
    assert (case.state, case.message, case.line) == ("passed", None, None)


def test_a_long_message_is_cut(typescript: Tool) -> None:
    body = 'it("long", () => { expect("é".repeat(300000)).toBe("ü".repeat(300000)); });'
    message = only_case(typescript.test(one(body))).message
    assert message is not None
    assert len(message.encode()) <= 8192 + len("…".encode())
    assert message.endswith("…")


@pytest.mark.parametrize(
    ("body", "start"),
    [
        (
            'import { x } from "./nope";\nit("a", () => { x(); });',
            "Error: Cannot find module './nope'",
        ),
        ('it("a", () => { const = 1; });', "Error: Transform failed with 1 error"),
        ('it("a", () => {});\nthrow new RangeError("top");', "RangeError: top"),
        (
            'it("a", () => { Promise.reject(new Error("lost")); });',
            "Unhandled Rejection: Error: lost",
        ),
        ('describe("s", () => { afterAll(() => { throw 1; }); it("a", () => {}); });', "s: "),
        ("export {};", "Error: No test suite found in file"),
    ],
)
def test_a_failure_outside_of_tests_is_an_error_of_the_file(
    typescript: Tool, body: str, start: str
) -> None:
    outcome = typescript.test(one(body))
    assert outcome.report is not None
    [error] = outcome.report.errors
    assert error.file == "a.test.ts"
    assert error.message.startswith(start)


def test_no_test_file_is_an_error(typescript: Tool) -> None:
    outcome = typescript.test({"sum.ts": "export {};"})
    assert outcome.report is not None
    assert [error.message for error in outcome.report.errors] == ["No test files found"]
    assert outcome.state is State.FAILED


@pytest.mark.parametrize("files", [1, 2])
def test_the_output_of_a_test_is_unchanged(typescript: Tool, files: int) -> None:
    a = """
    console.log("top", { a: 1 });
    it("prints", () => { console.error("error"); process.stdout.write("raw\\n"); });
    """
    submission = one(a) if files == 1 else several(a=a, b='it("b", () => {});')
    outcome = typescript.test(submission)
    assert outcome.stdout.data == b"top { a: 1 }\nraw\n"
    assert outcome.stderr.data == b"error\n"


@pytest.mark.parametrize("others", [{}, several(z='it("z", () => {});')])
def test_tests_before_an_endless_loop_are_kept(typescript: Tool, others: dict[str, str]) -> None:
    body = """
    it("first", () => {});
    it.skip("second", () => {});
    describe("d", () => { it("third", async () => {}); it("endless", () => { for (;;); }); });
    """
    outcome = typescript.test(one(body) | others, limits=Limits(wall_ms=2500))
    assert outcome.state is State.TIMED_OUT
    assert {("first", "passed"), ("d > third", "passed")} <= {
        (name, state) for _, name, state in seen(outcome)
    }


def test_a_process_that_exits_during_the_tests_fails(typescript: Tool) -> None:
    body = 'it("first", () => {});\nit("ends", () => { (process as any).reallyExit(0); });'
    outcome = typescript.test(one(body))
    assert outcome.state is State.FAILED
    assert outcome.exit_code == 0
    assert ("a.test.ts", "first", "passed") in seen(outcome)


@pytest.mark.parametrize("others", [{}, several(z='it("z", () => {});')])
def test_the_environment_is_that_of_a_vitest_worker(
    typescript: Tool, others: dict[str, str]
) -> None:
    body = 'it("e", () => { console.log(Object.keys(process.env).sort().join(" ")); });'
    files = one(body) | others
    outcome = typescript.test(files, env={"GREETING": "hello"})
    names = set(outcome.stdout.data.decode().split())
    assert "GREETING" in names
    assert names.isdisjoint(
        {"NODE_COMPILE_CACHE", "STENCIL_COLD", "STENCIL_MODE", "ROLLDOWN_WORKER_THREADS"}
    )
    assert names - {"GREETING", "TMPDIR", "PWD"} == WORKER_ENVIRONMENT


def test_a_tsconfig_of_the_submission_takes_effect(typescript: Tool) -> None:
    files = one('it("a", () => {});') | {"tsconfig.json": "{"}
    outcome = typescript.test(files)
    assert outcome.report is not None
    assert "Failed to load tsconfig" in outcome.report.errors[0].message


def test_two_thousand_tests_are_all_reported(typescript: Tool) -> None:
    body = HEAD + "for (let i = 0; i < 2000; i++) it(`t${i}`, () => { expect(i).toBe(i); });"
    outcome = typescript.test({"many.test.ts": body})
    assert outcome.state is State.SUCCEEDED
    assert outcome.report is not None
    assert outcome.report.passed == 2000


@pytest.mark.parametrize("way", WAYS)
def test_a_test_without_a_timeout_runs_until_the_time_limit(typescript: Tool, way: Way) -> None:
    body = """
    it("first", () => {});
    it("waits", async () => { await new Promise(() => {}); }, 0);
    """
    outcome = typescript.test(one(body), limits=Limits(wall_ms=5000), way=way)
    assert (outcome.state, outcome.stderr.data) == (State.TIMED_OUT, b"")
    assert ("a.test.ts", "first", "passed") in seen(outcome)
