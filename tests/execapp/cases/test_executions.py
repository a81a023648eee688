"""Submit cases over the API: a real executor runs them in forked sandboxes."""

from typing import Any

import pytest

from execapp.executor.daemon import Daemon
from execapp.models import Execution
from execapp.services import storage
from sandbox.session.streams import Pump
from tests.execapp.conftest import Api, until
from tests.execapp.executor.forking import current
from tests.execapp.executor.test_fork_servers import daemon
from tests.forking_template import program

__all__ = ["current", "daemon"]
ADD = program("read a; read b; echo $((a + b)); echo noted >&2")


def sums(*numbers: tuple[int, int, str | None], **more: object) -> list[dict[str, Any]]:
    cases = [{"stdin": f"{a}\n{b}\n", "expected_stdout": said} for a, b, said in numbers]
    return [{**{k: v for k, v in case.items() if v is not None}, **more} for case in cases]


def test_each_case_has_its_own_outcome(api: Api, daemon: Daemon) -> None:
    cases = sums((1, 2, "3"), (2, 2, "5"), (7, 7, None))
    cases[1]["name"] = "two and two"
    done = api.submit(ADD, cases=cases, compare="trim", wait=True)
    assert done["state"] == "failed"
    assert done["message"] == (
        "1 of 3 cases did not pass; the first is case 2, two and two: wrong output."
    )
    found = done["cases"]
    assert {name: found[name] for name in ("passed", "failed", "total")} == {
        "passed": 2, "failed": 1, "total": 3,
    }  # fmt: skip
    assert [item["verdict"] for item in found["items"]] == ["accepted", "wrong_output", None]
    assert [item["stdout"] for item in found["items"]] == ["3\n", "4\n", "14\n"]
    assert {item["stderr"] for item in found["items"]} == {"noted\n"}
    assert [item["name"] for item in found["items"]] == [None, "two and two", None]
    for item in found["items"]:
        assert (item["state"], item["exit_code"], item["signal"]) == ("succeeded", 0, None)
        assert item["truncated"] == {"stdout": False, "stderr": False}
        assert item["usage"]["memory_peak_bytes"] > 0
        assert item["timings"]["run_ms"] > 0
        assert item["timings"]["start"] == "fork"
    assert (done["stdout"], done["exit_code"], done["tests"]) == ("", None, None)
    assert done["usage"]["cpu_ms"] == pytest.approx(
        sum(item["usage"]["cpu_ms"] for item in found["items"]), abs=0.01
    )
    assert api.get(f"/executions/{done['id']}")["cases"] == found


def test_all_accepted_is_succeeded(api: Api, daemon: Daemon) -> None:
    done = api.submit(ADD, cases=sums((1, 2, "3\n"), (2, 2, "4\n")), wait=True)
    assert (done["state"], done["message"], done["cases"]["passed"]) == ("succeeded", None, 2)


def test_a_case_ends_alone_and_by_its_own_limits(api: Api, daemon: Daemon) -> None:
    source = (
        "read what; case $what in sleep) sleep 30;; exit) exit 3;; die) kill -9 $$;; "
        "*) while :; do echo y; done;; esac"
    )
    cases = [
        {"stdin": "exit\n"},
        {"stdin": "sleep\n", "limits": {"wall_ms": 100}},
        {"stdin": "die\n"},
        {"stdin": "yes\n", "limits": {"output_bytes": 1000}},
        {"stdin": "exit\n"},
    ]
    done = api.submit(program(source), cases=cases, wait=True)
    ended = [(item["state"], item["exit_code"], item["signal"]) for item in done["cases"]["items"]]
    assert ended == [
        ("failed", 3, None),
        ("timed_out", None, "SIGKILL"),
        ("crashed", None, "SIGKILL"),
        ("output_limit", None, "SIGKILL"),
        ("failed", 3, None),
    ]
    assert done["cases"]["items"][1]["message"] == "Stopped after 100 ms."
    assert len(done["cases"]["items"][3]["stdout"]) == 1000
    assert done["state"] == "failed"


def test_all_output_together_is_bounded(api: Api, daemon: Daemon) -> None:
    source = program(f"for i in 1 2 3 4 5 6 7 8 9 10; do printf '%s' {'x' * 2800}; done")
    done = api.submit(source, cases=[{}] * 9, wait=True)
    assert done["state"] == "output_limit"
    # The template allows 65,536 bytes for each case, and for all of them together.
    assert [len(item["stdout"]) for item in done["cases"]["items"]] == [28_000, 28_000, 9_536]
    assert "3 of 9 cases ran" in done["message"]


def test_it_stops_at_the_first_failure_when_asked(api: Api, daemon: Daemon) -> None:
    cases = sums((1, 2, "3"), (2, 2, "5"), (3, 3, "6"))
    done = api.submit(ADD, cases=cases, compare="tokens", stop_on_failure=True, wait=True)
    assert (done["cases"]["failed"], done["cases"]["total"]) == (1, 3)
    assert len(done["cases"]["items"]) == 2


def test_binary_output_comes_as_base64(api: Api, daemon: Daemon) -> None:
    done = api.submit(program("printf '\\377'"), cases=[{}, {}], wait=True)
    items = done["cases"]["items"]
    assert [(item["stdout"], item["stdout_encoding"]) for item in items] == [("/w==", "base64")] * 2


def test_a_sandbox_gets_the_input_of_its_case_and_no_expected_output(
    api: Api, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[bytes] = []  # to the standard input and the channel of each case, in turn
    write = Pump.write

    def noted(pump: Pump, descriptor: int, data: bytes, *, keep: bool = False) -> None:
        written.append(data)
        write(pump, descriptor, data, keep=keep)

    monkeypatch.setattr(Pump, "write", noted)
    cases = [
        {"name": f"name-{n}", "stdin": f"input-{n}", "expected_stdout": f"expected-{n}"}
        for n in "12"
    ]
    done = api.submit(program("cat"), cases=cases, wait=True)
    assert [item["stdout"] for item in done["cases"]["items"]] == ["input-1", "input-2"]
    assert [b"input-1" in data for data in written] == [True, False, False, False]
    assert [b"input-2" in data for data in written] == [False, False, True, False]
    assert not any(word in data for data in written for word in (b"expected-", b"name-"))


def test_running_again_repeats_the_cases(api: Api, daemon: Daemon) -> None:
    asked: dict[str, Any] = {"cases": sums((1, 2, "3.0000001")), "compare": {"float": 0.001}}
    first = api.submit(ADD, **asked, wait=True)
    assert first["state"] == "succeeded"
    again = api.call("POST", f"/executions/{first['id']}/rerun", {}).json()
    done = api.get(f"/executions/{again['id']}?wait=30")
    assert (done["state"], done["cases"]["passed"]) == ("succeeded", 1)
    files = api.get(f"/executions/{again['id']}/files")
    assert {name: files[name] for name in asked} == asked
    assert files["stop_on_failure"] is False
    repeated = api.call(
        "POST", "/executions", {k: files[k] for k in files if k != "id" and files[k]}
    )
    assert repeated.status_code == 201, repeated.content


def test_a_batch_takes_cases(api: Api, daemon: Daemon) -> None:
    body = {**ADD.body("run"), "cases": sums((1, 2, "3")), "compare": "trim"}
    answer = api.call("POST", "/executions/batch", {"submissions": [body] * 2, "wait": 30})
    content = b"".join(answer.streaming_content)
    assert content.count(b'"verdict":"accepted"') == 2


def test_the_quota_counts_cases_and_their_results(api: Api, daemon: Daemon) -> None:
    plain = Execution.objects.get(id=api.submit(ADD, wait=True)["id"])
    cases = sums((1, 2, "3"), (2, 2, "4"))
    many = Execution.objects.get(id=api.submit(ADD, cases=cases, wait=True)["id"])
    more = storage.submitted_bytes(many) - storage.submitted_bytes(plain)
    assert more > 2 * 512
    assert many.case_results is not None
    kept = len(str(many.case_results)) + len(str(many.cases))
    assert kept < more


def test_a_cancelled_execution_keeps_its_ended_cases(api: Api, daemon: Daemon) -> None:
    source = program("read a; test $a = 1 || sleep 300")
    made = api.submit(source, cases=[{"stdin": "1\n"}, {"stdin": "2\n"}, {"stdin": "1\n"}])
    until(lambda: daemon.context.live._running and len(
        next(iter(daemon.context.live._running.values()))._data[2]) == 1)  # fmt: skip
    api.call("POST", f"/executions/{made['id']}/cancel")
    done = api.get(f"/executions/{made['id']}?wait=30")
    assert done["state"] == "cancelled"
    assert done["message"] == "Cancelled by ci-bot."
    assert [item["state"] for item in done["cases"]["items"]] == ["succeeded"]
    assert done["cases"]["total"] == 3
