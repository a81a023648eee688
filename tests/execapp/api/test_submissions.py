"""Test `POST /executions` with a real executor: the result of each kind of submission."""

import base64

from execapp.api.v1.schemas.executions import ExecutionOut
from execapp.executor.daemon import Daemon
from execapp.models import Execution
from tests.execapp.conftest import Api
from tests.minimal_template import HELLO, SLEEP, Program, program, suite


def test_answers_at_once_without_wait(api: Api, alive: object) -> None:
    made = api.submit(HELLO)
    assert made["state"] == "queued"
    assert made["attempts"] == 0
    assert made["started_at"] is None
    assert made["timings"]["total_ms"] is None


def test_run_mode_gives_output_and_exit_code(api: Api, executor: Daemon) -> None:
    source = "console.log(process.argv.slice(2)); console.error('e'); process.exitCode = 3"
    done = api.submit(program(source), wait=True, args=["a b", "c"])
    assert done["state"] == "failed"
    assert done["exit_code"] == 3
    assert done["stdout"] == "[ 'a b', 'c' ]\n"
    assert done["stderr"] == "e\n"
    assert done["entry"] == "main.mjs"
    assert done["args"] == ["a b", "c"]
    assert done["tests"] is None


def test_test_mode_gives_every_test(api: Api, executor: Daemon) -> None:
    source = "export default { adds() {}, breaks() { throw new Error('no') } }; console.log('mine')"
    done = api.submit(suite(source), "test", wait=True)
    assert done["state"] == "failed"
    assert done["stdout"] == "mine\n"
    tests = done["tests"]
    assert (tests["passed"], tests["failed"], tests["skipped"], tests["total"]) == (1, 1, 0, 2)
    assert tests["cases"][1] == {
        "name": "breaks",
        "file": "a.test.mjs",
        "state": "failed",
        "duration_ms": 0.5,
        "message": "no",
        "location": {"line": 1, "column": 2},
        "stdout": "",
        "stderr": "",
        "truncated": False,
    }


def test_the_output_of_a_test_is_in_its_result(api: Api, executor: Daemon) -> None:
    source = "export default { talks(say) { say('\\u001b[31mhello'); } }"
    done = api.submit(suite(source), "test", wait=True)
    [case] = done["tests"]["cases"]
    assert (case["stdout"], case["stderr"], case["truncated"]) == ("\x1b[31mhello", "", False)


def test_report_of_an_earlier_release_has_the_same_fields(api: Api, executor: Daemon) -> None:
    done = api.submit(suite("export default { a() {} }"), "test", wait=True)
    row = Execution.objects.get(pk=done["id"])
    assert row.tests is not None
    for case in row.tests["cases"]:
        for name in ("stdout", "stderr", "truncated"):
            del case[name]
    row.save()
    again = api.get(f"/executions/{done['id']}")
    assert again["tests"] == done["tests"]
    ExecutionOut.model_validate(again)


def test_error_outside_any_test_is_reported(api: Api, executor: Daemon) -> None:
    done = api.submit(suite("throw new Error('at load')"), "test", wait=True)
    assert done["state"] == "failed"
    assert done["tests"]["errors"] == [{"file": "a.test.mjs", "message": "at load"}]


def test_the_reply_matches_the_openapi_schema(api: Api, executor: Daemon) -> None:
    done = api.submit(suite("export default { a() {} }"), "test", wait=True)
    parsed = ExecutionOut.model_validate(done)
    assert set(done) == set(ExecutionOut.model_fields)
    assert parsed.template.digest.startswith("sha256:")


def test_timings_add_up(api: Api, executor: Daemon) -> None:
    timings = api.submit(HELLO, wait=True)["timings"]
    durations = {"queued_ms", "setup_ms", "run_ms", "collect_ms", "total_ms"}
    assert set(timings) == durations | {"warm", "start", "cold_reason"}
    parts = timings["queued_ms"] + timings["setup_ms"] + timings["run_ms"]
    parts += timings["collect_ms"]
    assert timings["collect_ms"] > 0
    assert 0 < parts <= timings["total_ms"]
    assert timings["warm"] is False


def test_stdin_env_and_limits_reach_the_program(api: Api, executor: Daemon) -> None:
    source = (
        "import { readFileSync } from 'node:fs';"
        "console.log(readFileSync(0, 'utf8') + process.env.GREETING)"
    )
    limits = {"wall_ms": 4000, "memory_bytes": 200_000_000, "processes": 32}
    done = api.submit(
        program(source), wait=True, stdin="in\n", env={"GREETING": "héllo"}, limits=limits
    )
    assert done["stdout"] == "in\nhéllo\n"
    assert done["limits"] == {
        "cpu_ms": 10000,
        "disk_bytes": 16777216,
        "output_bytes": 65536,
        **limits,
    }


def test_base64_goes_in_and_comes_out(api: Api, executor: Daemon) -> None:
    source = (
        "import { readFileSync } from 'node:fs';"
        "process.stdout.write(readFileSync(new URL('data.bin', import.meta.url)))"
    )
    content = base64.b64encode(b"\xff\x00\xfe").decode()
    body = program(source).body(wait=True)
    files = body["files"]
    assert isinstance(files, list)
    files.append({"path": "data.bin", "content": content, "encoding": "base64"})
    done = api.call("POST", "/executions", body).json()
    assert (done["stdout"], done["stdout_encoding"]) == (content, "base64")


def test_a_time_out_keeps_the_output(api: Api, executor: Daemon) -> None:
    done = api.submit(SLEEP, wait=True, limits={"wall_ms": 300})
    assert done["state"] == "timed_out"
    assert done["stdout"] == "begun\n"
    assert done["message"]


def test_output_limit_is_flagged_and_cuts_no_character(api: Api, executor: Daemon) -> None:
    source = "process.stdout.write('é'.repeat(1000))"
    done = api.submit(program(source), wait=True, limits={"output_bytes": 101})
    assert done["state"] == "output_limit"
    assert done["truncated"] == {"stdout": True, "stderr": False}
    assert done["stdout"] == "é" * 50
    assert done["stdout_encoding"] == "utf8"


def test_crash_names_the_signal(api: Api, executor: Daemon) -> None:
    done = api.submit(program("process.kill(process.pid, 'SIGSEGV')"), wait=True)
    assert done["state"] == "crashed"
    assert done["signal"] == "SIGSEGV"


def test_memory_less_than_the_runtime_needs_is_the_clients_result(
    api: Api, executor: Daemon
) -> None:
    source = "const a = []; for (;;) a.push(Buffer.alloc(1 << 20, 1))"
    done = api.submit(program(source), wait=True, limits={"memory_bytes": 16 * 1024 * 1024})
    assert done["state"] == "out_of_memory"


def test_more_than_the_defaults_goes_up_to_the_maximum(api: Api, executor: Daemon) -> None:
    limits = {"memory_bytes": 536870912, "disk_bytes": 33554432, "processes": 128}
    assert api.submit(HELLO, wait=True, limits=limits)["state"] == "succeeded"


def test_host_is_recorded(api: Api, executor: Daemon) -> None:
    from execapp.models import Execution

    done = api.submit(HELLO, wait=True)
    host = Execution.objects.get(id=done["id"]).host
    assert host["kernel"]


def test_files_are_given_back_as_submitted(api: Api, alive: object) -> None:
    sent = Program(files={"main.mjs": "1", "deep/er.txt": "ü"})
    made = api.submit(sent, args=["x"], stdin="y", env={"A": "b"})
    shown = api.get(f"/executions/{made['id']}/files")
    assert shown["files"][1] == {"path": "deep/er.txt", "content": "ü", "encoding": "utf8"}
    assert (shown["args"], shown["stdin"], shown["env"]) == (["x"], "y", {"A": "b"})
    assert shown["template"] == "tiny@1"


def test_rerun_submits_the_same_again(api: Api, executor: Daemon) -> None:
    first = api.submit(program("console.log(process.argv[2])"), wait=True, args=["q"])
    again = api.call("POST", f"/executions/{first['id']}/rerun")
    assert again.status_code == 201
    assert again.json()["id"] != first["id"]
    done = api.get(f"/executions/{again.json()['id']}?wait=60")
    assert (done["state"], done["stdout"]) == ("succeeded", "q\n")


def test_rerun_on_an_unknown_template_is_refused(api: Api, alive: object) -> None:
    first = api.submit(HELLO)
    path = f"/executions/{first['id']}/rerun"
    assert api.call("POST", path, {"template": "tiny@9"}).status_code == 404
    assert api.call("POST", path, {"templat": "tiny"}).status_code == 422


def test_version_is_fixed_at_admission(api: Api, alive: object) -> None:
    from tests import factories

    before = api.submit(HELLO)
    second = factories.promote_runnable_version(number=2)
    assert api.get(f"/executions/{before['id']}")["template"]["version"] == 1
    assert api.submit(HELLO)["template"]["version"] == 2
    for reference in ("tiny@1", f"tiny@sha256:{1:064x}"):
        body = {**HELLO.body(), "template": reference}
        assert api.call("POST", "/executions", body).json()["template"]["version"] == 1
    body = {**HELLO.body(), "template": f"tiny@sha256:{second.tree_digest}"}
    assert api.call("POST", "/executions", body).json()["template"]["version"] == 2
