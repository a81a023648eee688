"""Test the final state of each kind of exit, in real sandboxes."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.cgroup import leases
from sandbox.errors import LimitsError, StartupError, UsedError
from sandbox.limits import MIB
from sandbox.session.outcome import State
from sandbox.session.sessions import SourceFile, Submission, Tree, execute, start
from tests.sandbox.conftest import Run
from tests.sandbox.node_tree import LIMITS, build_tree, program, suite, tree_for, with_limits

WEAKER = leases.current_hierarchy().kind == "none"
ENDS = [
    ("console.log('hi')", {}, State.SUCCEEDED, 0, None),
    ("process.exit(3)", {}, State.FAILED, 3, None),
    ("throw new Error('no')", {}, State.FAILED, 1, None),
    ("process.exit(255)", {}, State.FAILED, 255, None),
    ("process.kill(process.pid, 'SIGSEGV')", {}, State.CRASHED, None, "SIGSEGV"),
    ("process.abort()", {}, State.CRASHED, None, "SIGABRT"),
    ("for (;;);", {"wall_ms": 400}, State.TIMED_OUT, None, "SIGKILL"),
    ("for (;;);", {"cpu_ms": 300}, State.TIMED_OUT, None, "SIGKILL"),
    ("setInterval(() => {}, 1e6)", {"wall_ms": 300}, State.TIMED_OUT, None, "SIGKILL"),
    (
        "for (const s of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(s, () => {}); for (;;);",
        {"wall_ms": 300},
        State.TIMED_OUT,
        None,
        "SIGKILL",
    ),
    (
        "const all = []; for (;;) all.push(Buffer.alloc(8e6, 1))",
        {"memory_bytes": 128 * MIB},
        State.OUT_OF_MEMORY,
        None,
        "SIGKILL",
    ),
    ("for (;;) process.stdout.write('x'.repeat(999))", {}, State.OUTPUT_LIMIT, None, "SIGKILL"),
    ("for (;;) process.stderr.write('x'.repeat(999))", {}, State.OUTPUT_LIMIT, None, "SIGKILL"),
]


@pytest.mark.parametrize(("code", "limits", "state", "status", "signal"), ENDS)
def test_each_end_has_its_state(
    run: Run, code: str, limits: dict[str, int], state: State, status: int, signal: str
) -> None:
    outcome = run(code, **limits)
    assert (outcome.state, outcome.exit_code, outcome.signal) == (state, status, signal)
    assert outcome.report is None
    assert not outcome.warm


def test_a_session_that_waits_at_low_priority_runs_its_job_at_normal_priority(
    tree_root: Path,
) -> None:
    session = start(tree_for(tree_root, "run"), LIMITS, slot="adhoc-test", low_priority=True)
    seen: list[bool] = []
    group = session._container.group
    original = group.set_priority

    def note(*, low: bool) -> None:
        seen.append(low)
        original(low=low)

    group.set_priority = note  # type: ignore[method-assign]
    assert session.memory_bytes > MIB
    outcome = session.deliver(program("console.log('hi')"), LIMITS)
    assert (outcome.state, seen) == (State.SUCCEEDED, [False])


def test_a_memory_bomb_in_a_child_is_out_of_memory(run: Run) -> None:
    code = """
        import { spawnSync } from "node:child_process";
        spawnSync(process.execPath, ["-e", "let a=[];for(;;)a.push(Buffer.alloc(8e6,1))"]);
    """
    assert run(code, memory_bytes=160 * MIB).state == State.OUT_OF_MEMORY


def test_memory_by_files_in_memory_counts(run: Run) -> None:
    code = """
        import fs from "node:fs";
        for (const at of ["/workspace", "/tmp", "/dev/shm"])
          for (let n = 0; n < 63; n++) fs.writeFileSync(`${at}/${n}`, Buffer.alloc(1 << 20, 1));
    """
    outcome = run(code, disk_bytes=64 * MIB, memory_bytes=128 * MIB)
    # The watchdog in place of control groups does not count them: `doctor` says "weaker".
    assert outcome.state == (State.SUCCEEDED if WEAKER else State.OUT_OF_MEMORY)


def test_output_is_kept_up_to_the_limit_and_flagged(run: Run) -> None:
    outcome = run("console.error('e'); for (;;) process.stdout.write('0123456789')")
    assert outcome.stdout.data == b"0123456789" * 1000
    assert outcome.stdout.truncated
    assert (outcome.stderr.data, outcome.stderr.truncated) == (b"e\n", False)


def test_output_of_exactly_the_limit_is_allowed(run: Run) -> None:
    outcome = run("process.stdout.write('x'.repeat(10000))")
    assert (outcome.state, len(outcome.stdout.data)) == (State.SUCCEEDED, 10_000)
    assert not outcome.stdout.truncated


def test_partial_output_of_a_killed_program_is_kept(run: Run) -> None:
    outcome = run("process.stdout.write('so far'); for (;;);", wall_ms=300)
    assert outcome.stdout.data == b"so far"


def test_output_that_is_no_text_is_kept_unchanged(run: Run) -> None:
    outcome = run("process.stdout.write(Buffer.from([0, 255, 128, 10]))")
    assert outcome.stdout.data == b"\x00\xff\x80\n"


def test_a_program_may_close_its_stdout(run: Run) -> None:
    assert run("import fs from 'node:fs'; fs.closeSync(1)").state == State.SUCCEEDED


def test_input_and_arguments_arrive(run: Run) -> None:
    code = """
        import fs from "node:fs";
        console.log(fs.readFileSync(0).length, JSON.stringify(process.argv.slice(2)));
    """
    outcome = run(code, stdin=b"x" * 3_000_000, args=("a b", "ä", "$HOME"))
    assert outcome.stdout.data.decode() == '3000000 ["a b","ä","$HOME"]\n'


def test_unread_input_does_not_block_the_program(run: Run) -> None:
    outcome = run("console.log('done')", stdin=b"x" * 3_000_000)
    assert (outcome.state, outcome.stdout.data) == (State.SUCCEEDED, b"done\n")


def test_empty_input_is_at_end_of_file(run: Run) -> None:
    code = "import fs from 'node:fs'; console.log(fs.readFileSync(0).length)"
    assert run(code, wall_ms=3000).stdout.data == b"0\n"


def test_files_of_any_content_and_depth_arrive(tree_root: Path) -> None:
    raw = bytes(range(256)) * 10
    code = b"""
        import fs from "node:fs";
        console.log(fs.readFileSync("src/a/b/raw.bin").toString("hex"));
        console.log(fs.readFileSync("package.json", "utf8"));
    """
    files = (
        SourceFile(path="main.mjs", content=code),
        SourceFile(path="a/b/raw.bin", content=raw),
        SourceFile(path="package.json", content=b"mine"),
    )
    submission = Submission(mode="run", files=files, entry="main.mjs")
    outcome = execute(tree_for(tree_root, "run"), submission, LIMITS)
    hexadecimal, linked = outcome.stdout.data.decode().splitlines()
    assert bytes.fromhex(hexadecimal) == raw
    assert json.loads(linked) == {"sealed": True}


def test_environment_of_the_submission_is_handed_to_the_runner(tree_root: Path) -> None:
    code = program("console.log(process.env.MINE, process.env.STENCIL_MODE)")
    submission = Submission(mode="run", files=code.files, entry="main.mjs", env={"MINE": "yes"})
    outcome = execute(tree_for(tree_root, "run"), submission, LIMITS)
    assert outcome.stdout.data == b"yes run\n"


def test_times_and_use_are_measured_from_delivery(run: Run) -> None:
    # Wait by its own CPU clock, so that a busy machine only makes it longer.
    spent = "process.cpuUsage(start)"
    outcome = run(
        f"const start = process.cpuUsage(); while ({spent}.user + {spent}.system < 300_000);"
    )
    assert outcome.run_ms > 200
    assert outcome.usage.cpu_ms > 250
    assert outcome.usage.memory_peak_bytes is not None
    assert outcome.usage.memory_peak_bytes > 5 * MIB
    assert outcome.setup_ms > 1


def test_tests_pass_and_fail(run_tests: Run) -> None:
    passing = run_tests({"a.test.mjs": "test('adds', () => {})"})
    assert passing.report
    assert (passing.state, passing.exit_code, passing.report.passed) == (State.SUCCEEDED, 0, 1)
    failing = run_tests({"a.test.mjs": "test('adds', () => { throw Error('no') })"})
    assert (failing.state, failing.exit_code, failing.message) == (State.FAILED, 1, None)
    assert failing.report
    assert failing.report.cases[0].message == "Error: no"
    broken = run_tests({"a.test.mjs": "nonsense("})
    assert broken.report
    assert (broken.state, len(broken.report.errors)) == (State.FAILED, 1)


FORGERIES = {
    "exit": "test('a', () => process.exit(0))",
    "exit at load": "process.exit(0)",
    "a result of its own": """
        raw('{"type":"case","name":"x","file":"a","state":"passed"}\\n');
        raw('{"type":"result","errors":[],"exit_code":0}\\n');
        test('a', () => { throw Error('no') })""",
    "nonsense": "raw('\\x00\\xff{{{\\n'); test('a', () => {})",
    "a flood without a line end": """
        for (let n = 0; n < 40; n++) raw('x'.repeat(65536)); test('a', () => {})""",
    "a report on stdout": """
        console.log('{"type":"result","errors":[],"exit_code":0}'); process.exit(0)""",
}  # fmt: skip


@pytest.mark.parametrize("code", FORGERIES.values(), ids=FORGERIES)
def test_a_forged_report_does_not_pass(run_tests: Run, code: str) -> None:
    outcome = run_tests({"a.test.mjs": code})
    assert outcome.state == State.FAILED
    assert outcome.message


def test_cases_before_a_timeout_are_kept(run_tests: Run) -> None:
    code = "test('quick', () => {}); test('endless', () => { for (;;); })"
    outcome = run_tests({"a.test.mjs": code}, wall_ms=500)
    assert outcome.state == State.TIMED_OUT
    assert outcome.report
    assert [case.name for case in outcome.report.cases] == ["quick"]
    assert not outcome.report.complete


def test_cases_and_output_are_reported_as_they_arrive(tree_root: Path) -> None:
    heard: list[object] = []
    code = "test('first', () => console.log('out')); test('second', () => {})"
    execute(
        tree_for(tree_root, "test"),
        suite({"a.test.mjs": code}),
        LIMITS,
        on_case=lambda case: heard.append(case.name),
        on_output=lambda stream, data: heard.append((stream, data)),
    )
    assert set(heard) == {"first", "second", ("stdout", b"out\n")}


def test_cancelling_kills_at_once(tree_root: Path) -> None:
    cancel = threading.Event()
    threading.Timer(0.3, cancel.set).start()
    submission = program("console.log('begun'); for (;;);")
    outcome = execute(tree_for(tree_root, "run"), submission, LIMITS, cancel=cancel)
    assert outcome.state == State.CANCELLED
    assert outcome.run_ms < LIMITS.wall_ms
    assert outcome.stdout.data in (b"begun\n", b"")


def test_a_callback_that_fails_leaves_nothing_running(tree_root: Path) -> None:
    def fail(stream: str, data: bytes) -> None:
        raise RuntimeError("the caller's fault")

    session = start(tree_for(tree_root, "run"), LIMITS, slot="test")
    with pytest.raises(RuntimeError, match="caller"):
        session.deliver(program("console.log(1); for (;;);"), LIMITS, on_output=fail)
    assert not session.alive
    assert session._container.group.pids() == []


def test_a_warm_session_takes_one_job(tree_root: Path) -> None:
    session = start(tree_for(tree_root, "run"), LIMITS, slot="test")
    outcome = session.deliver(program("console.log('warm')"), LIMITS)
    assert (outcome.state, outcome.warm, outcome.stdout.data) == (State.SUCCEEDED, True, b"warm\n")
    assert outcome.setup_ms < session.setup_ms
    assert not session.alive
    with pytest.raises(UsedError):
        session.deliver(program(""), LIMITS)
    session.close()


def test_a_warm_session_takes_lower_limits_only(tree_root: Path) -> None:
    tree = tree_for(tree_root, "run")
    bomb = program("const all = []; for (;;) all.push(Buffer.alloc(4e6, 1))")
    session = start(tree, LIMITS, slot="test")
    lower = with_limits(memory_bytes=128 * MIB, processes=32)
    assert session.fits(lower)
    outcome = session.deliver(bomb, lower)
    assert outcome.state == State.OUT_OF_MEMORY
    assert outcome.usage.memory_peak_bytes is not None
    assert WEAKER or outcome.usage.memory_peak_bytes <= 130 * MIB
    for change in ({"memory_bytes": 512 * MIB}, {"disk_bytes": 1 * MIB}, {"processes": 500}):
        session = start(tree, LIMITS, slot="test")
        assert not session.fits(with_limits(**change))
        with pytest.raises(LimitsError):
            session.deliver(program(""), with_limits(**change))
        assert not session.alive


def test_open_files_are_lowered_if_the_kernel_allows_it(tree_root: Path) -> None:
    code = """
        import fs from "node:fs";
        for (;;) try { fs.openSync("/") } catch (error) { console.log(error.code); break }
    """
    session = start(tree_for(tree_root, "run"), LIMITS, slot="test")
    try:
        outcome = session.deliver(program(code), with_limits(open_files=100))
    except LimitsError:
        assert not session.alive
    else:
        assert outcome.stdout.data == b"EMFILE\n"


def test_a_session_that_died_while_waiting_is_reported(tree_root: Path) -> None:
    session = start(tree_for(tree_root, "run"), LIMITS, slot="test")
    living = session.alive
    session._container.kill()
    assert (living, session.alive) == (True, False)
    with pytest.raises(StartupError, match="while it waited"):
        session.deliver(program(""), LIMITS)


def test_an_unused_session_can_be_closed(tree_root: Path) -> None:
    session = start(tree_for(tree_root, "run"), LIMITS, slot="test")
    session.close()
    session.close()
    assert not session.alive


STARTUPS = {
    "throw new Error('bad template')": "bad template",
    "process.exit(5)": "status 5",
    "await new Promise(() => setInterval(() => {}, 1000))": "not ready in time",
    "process.getBuiltinModule('fs').writeSync(3, 'nonsense\\n')": "first message",
    "const all = []; for (;;) all.push(Buffer.alloc(8e6, 1))": "out of memory",
}


@pytest.mark.parametrize(("code", "said"), STARTUPS.items(), ids=range(len(STARTUPS)))
def test_a_runner_that_does_not_start_is_an_internal_error(
    tmp_path: Path, code: str, said: str
) -> None:
    root = build_tree(tmp_path / "tree")
    (root / "startup.mjs").write_text(code)
    startup_ms = 1500 if "in time" in said else 60_000
    with pytest.raises(StartupError, match=said):
        start(tree_for(root, "run"), with_limits(startup_ms=startup_ms), slot="test")


@pytest.mark.parametrize("number", [3, 4, 16, 99])
def test_a_tree_can_choose_the_descriptor_of_the_channel(tree_root: Path, number: int) -> None:
    plain = tree_for(tree_root, "run")
    tree = replace(plain, env={**plain.env, "STENCIL_CHANNEL": str(number)})
    code = program(
        "import fs from 'node:fs';\n"
        "const socket = (n) => { try { return fs.fstatSync(n).isSocket(); } catch {} };"
        "console.log([3, 4, 16, 99].filter(socket).join());",
        args=("keep-channel",),
    )
    assert execute(tree, code, LIMITS).stdout.data.decode() == f"{number}\n"


@pytest.mark.parametrize("number", ["", "2", "100", "-3", "x", "1e1"])
def test_an_invalid_descriptor_of_the_channel_is_an_internal_error(
    tree_root: Path, number: str
) -> None:
    plain = tree_for(tree_root, "run")
    tree = replace(plain, env={**plain.env, "STENCIL_CHANNEL": number})
    with pytest.raises(StartupError, match="STENCIL_CHANNEL"):
        execute(tree, program(""), LIMITS)


def test_a_missing_tree_is_an_internal_error(tmp_path: Path) -> None:
    with pytest.raises(StartupError):
        start(tree_for(tmp_path / "nowhere", "run"), LIMITS, slot="test")


def test_a_cache_is_writable_only_when_asked(tree_root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(0o777)
    code = program("import fs from 'node:fs'; fs.writeFileSync('/cache/x', 'filled')")
    plain = tree_for(tree_root, "run")
    for writable, state in ((False, State.FAILED), (True, State.SUCCEEDED)):
        tree = Tree(
            root=plain.root, command=plain.command, env=plain.env, cache=cache,
            cache_writable=writable,
        )  # fmt: skip
        assert execute(tree, code, LIMITS).state == state
    assert (cache / "x").read_text() == "filled"


def test_many_at_a_time_do_not_disturb_each_other(tree_root: Path) -> None:
    found: dict[int, bytes] = {}

    def one(number: int) -> None:
        submission = program(f"console.log({number})")
        found[number] = execute(tree_for(tree_root, "run"), submission, LIMITS).stdout.data

    threads = [threading.Thread(target=one, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: b"%d\n" % number for number in range(6)}


def test_groups_are_reused(tree_root: Path) -> None:
    tree = tree_for(tree_root, "run")
    before = leases.process_leases().mine()
    for _ in range(3):
        start(tree, LIMITS, slot="again").close()
    assert len(leases.process_leases().mine() - before) == 1
