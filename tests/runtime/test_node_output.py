"""Check the output of each test, as vitest's console attributes it; and standard input in tests."""

import time

import pytest

from sandbox.isolation.container import Container
from sandbox.limits import Limits
from sandbox.session.outcome import Outcome, State
from sandbox.session.runner_messages import MAX_OUTPUT_BYTES, MAX_OUTPUTS_BYTES
from sandbox.session.sessions import Submission
from tests.runtime.node_runs import WAYS, Tool, Way, sources
from tests.runtime.vitest_submissions import HEAD

OTHER = {"z.test.ts": HEAD + 'it("z", () => { console.log("of z"); });'}
Reported = dict[str, tuple[str, str]]  # name of a test → stdout, stderr

BODIES: dict[str, tuple[str, Reported]] = {
    "each its own": (
        'it("a", () => { console.log("one", { x: 1 }); });\nit("b", () => { console.error("two"); });',
        {"a": ("one { x: 1 }\n", ""), "b": ("", "two\n")},
    ),
    "hooks of each test": (
        ('beforeEach(() => console.log("before"));\nafterEach(() => console.log("after"));\n'
        'it("a", () => { console.log("in"); });\nit("b", () => {});'),
        {"a": ("before\nin\nafter\n", ""), "b": ("before\nafter\n", "")},
    ),
    "hooks of all tests and the top are of none": (
        ('console.log("top");\nbeforeAll(() => console.log("all"));\nafterAll(() => console.log("end"));\n'
        'it("a", () => { console.log("in"); });'),
        {"a": ("in\n", "")},
    ),
    "a failing test": (
        'it("a", () => { console.log("seen"); expect(1).toBe(2); });', {"a": ("seen\n", "")},
    ),
    "a skipped test": ('it.skip("a", () => { console.log("no"); });', {"a": ("", "")}),
    "after waiting": (
        'it("a", async () => { await new Promise((r) => setTimeout(r, 5)); console.log("late"); });',
        {"a": ("late\n", "")},
    ),
    "every try": (
        'let n = 0;\nit("a", { retry: 2 }, () => { console.log("try", n++); expect(n).toBe(3); });',
        {"a": ("try 0\ntry 1\ntry 2\n", "")},
    ),
    "all of console": (
        ('it("a", () => { console.info("i"); console.debug("d"); console.warn("w"); console.dir({ b: 1 });'
        ' console.group("g"); console.log("in"); console.groupEnd(); console.count(); });'),
        {"a": ("i\nd\n{ b: 1 }\ng\n  in\ndefault: 1\n", "w\n")},
    ),
    "the stream itself is of no test": (
        'it("a", () => { process.stdout.write("direct\\n"); console.log("by console"); });',
        {"a": ("by console\n", "")},
    ),
    "colours and odd letters": (
        'it("a", () => { console.log("\\x1b[31mred\\x1b[0m", "\\u0000", "é€"); });',
        {"a": ("\x1b[31mred\x1b[0m \ufffd é€\n", "")},
    ),
    "properties of the console": (
        'it("a", () => { console.log(Reflect.ownKeys(console).map(String).filter((n) => /stencil/.test(n)).length); });',
        {"a": ("0\n", "")},
    ),
    "a console that is spied on": (
        ('it("a", () => { const s = vi.spyOn(console, "log").mockImplementation(() => {}); console.log("no");'
        ' s.mockRestore(); console.log("yes"); });'),
        {"a": ("yes\n", "")},
    ),
    "in suites": (
        'describe("d", () => { beforeEach(() => console.log("b")); it("a", () => { console.log("x"); }); });',
        {"d > a": ("b\nx\n", "")},
    ),
    "fixtures": (
        ('const t = it.extend({ f: async ({}, use) => { console.log("up"); await use(1); console.log("down"); } });\n'
        't("a", ({ f }) => { console.log(f); });'),
        {"a": ("up\n1\ndown\n", "")},
    ),
}  # fmt: skip


def reported(outcome: Outcome) -> Reported:
    assert outcome.report is not None
    cases = [case for case in outcome.report.cases if case.file == "a.test.ts"]
    return {case.name: (case.stdout, case.stderr) for case in cases}


@pytest.mark.parametrize("others", [{}, OTHER], ids=["alone", "beside another file"])
@pytest.mark.parametrize("name", BODIES)
def test_each_test_is_reported_with_its_output(
    typescript: Tool, name: str, others: dict[str, str]
) -> None:
    body, expected = BODIES[name]
    for way in WAYS:
        outcome = typescript.test({"a.test.ts": HEAD + body, **others}, way=way)
        assert reported(outcome) == expected
        assert outcome.report is not None
        assert not any(case.truncated for case in outcome.report.cases)


def test_the_streams_have_all_output_in_order(typescript: Tool) -> None:
    body = 'console.log("top");\nit("a", () => { console.log("1"); process.stdout.write("2\\n"); console.log("3"); });'
    outcome = typescript.test({"a.test.ts": HEAD + body})
    assert outcome.stdout.data == b"top\n1\n2\n3\n"


def test_long_output_is_cut_and_flagged(typescript: Tool) -> None:
    body = (
        'it("a", () => { console.log("€".repeat(40_000)); });\nit("b", () => { console.log("x"); });\n'
        'it("c", () => { for (let i = 0; i < 9000; i++) console.log("0123456789"); });'
    )
    outcome = typescript.test({"a.test.ts": HEAD + body})
    assert outcome.report is not None
    a, b, c = outcome.report.cases
    assert a.truncated
    assert c.truncated
    assert not b.truncated
    assert a.stdout == "€" * (MAX_OUTPUT_BYTES // 3)
    assert len(c.stdout) == MAX_OUTPUT_BYTES
    assert len(outcome.stdout.data) > 200_000


def test_long_output_of_many_tests_does_not_break_the_report(typescript: Tool) -> None:
    body = "for (let i = 0; i < 60; i++) it(`t${i}`, () => { console.log('\\u0001'.repeat(65_000)); });"
    limits = Limits(output_bytes=8 * 1024 * 1024)
    outcome = typescript.test({"a.test.ts": HEAD + body}, limits=limits)
    assert (outcome.state, outcome.message) == (State.SUCCEEDED, None)
    assert outcome.report is not None
    sizes = [len(case.stdout) for case in outcome.report.cases]
    assert sum(sizes) == MAX_OUTPUTS_BYTES
    assert [case.truncated for case in outcome.report.cases] == [size < 65_001 for size in sizes]


READS = 'expect(fs.readFileSync(0, "utf8")).toBe("x y\\n");'
READERS: dict[str, dict[str, str]] = {
    "one file": {"a": READS},
    "two files, one reads": {"a": READS, "b": ""},
    "two files, both read": {"a": READS, "b": READS},
    "four files, all read": {"a": READS, "b": READS, "c": READS, "d": READS},
    "by the name of the device": {"a": READS.replace("0,", '"/dev/stdin",'), "b": ""},
    "as a stream": {
        "a": 'let s = ""; for await (const part of process.stdin) s += part; expect(s).toBe("x y\\n");',
        "b": "",
    },
    "two tests of one file": {"a": READS + ' }); it("again", () => { expect(fs.readFileSync(0, "utf8")).toBe("");', "b": ""},
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", READERS)
def test_tests_in_several_files_read_the_input(typescript: Tool, name: str, way: Way) -> None:
    head = 'import fs from "node:fs";\n' + HEAD
    files = {
        f"{file}.test.ts": f'{head}it("{file}", async () => {{ {body} }});'
        for file, body in READERS[name].items()
    }
    outcome = with_input(typescript, files, way=way)
    assert outcome.state is State.SUCCEEDED, outcome


OWN = 'export default { test: { pool: "threads", testTimeout: 60_000 } };'
LATE: dict[str, tuple[dict[str, str], dict[str, str]]] = {  # files, variables
    "one file": ({"a.test.ts": READS}, {}),
    "two files": ({"a.test.ts": READS, "b.test.ts": READS}, {}),
    "started anew": ({"a.test.ts": READS}, {"TZ": "Asia/Tokyo"}),
    "threads of its own configuration": ({"a.test.ts": READS, "vitest.config.ts": OWN}, {}),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", LATE)
def test_tests_wait_for_late_input(
    typescript: Tool, monkeypatch: pytest.MonkeyPatch, name: str, way: Way
) -> None:
    bodies, env = LATE[name]
    head = 'import fs from "node:fs";\n' + HEAD
    files = {
        path: f'{head}it("t", () => {{ {text} }});' if path.endswith(".test.ts") else text
        for path, text in bodies.items()
    }
    take_stdin = Container.take_stdin

    def late(container: Container) -> int:
        time.sleep(2)  # the runner has its job, and reaches the first read
        return take_stdin(container)

    monkeypatch.setattr(Container, "take_stdin", late)
    outcome = with_input(typescript, files, way=way, env=env)
    assert outcome.state is State.SUCCEEDED, outcome


def with_input(
    typescript: Tool, files: dict[str, str], *, way: Way, env: dict[str, str] | None = None
) -> Outcome:
    """Run mode test with one line of standard input."""
    pattern = typescript.definition["test"]["pattern"]
    job = Submission(
        mode="test", files=sources(files), stdin=b"x y\n", env=env or {}, pattern=pattern
    )
    return typescript.deliver(job, Limits(), way)
