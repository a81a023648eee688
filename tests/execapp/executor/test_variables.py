"""Test variables of a submission: applied, applied by a cold start, or refused."""

from collections.abc import Callable

import pytest

from execapp.executor.daemon import Daemon
from execapp.executor.execution_worker import NONE_WAITED
from sandbox.session.variables import Variables
from tests.execapp.conftest import Api, until
from tests.minimal_template import HELLO, program

Start = Callable[..., Daemon]
AT_START = program(
    "import { readFileSync } from 'node:fs';"
    "const set = readFileSync('/proc/self/environ', 'utf8').split('\\0');"
    "console.log(set.filter((one) => /^(TZ|LC_|NODE_|A=)/.test(one)).sort().join())"
)


def warmed(daemon: Daemon) -> None:
    until(lambda: daemon.context.pool.count() == 2)


def test_one_that_is_read_at_the_start_is_set_there_and_goes_cold(
    api: Api, start_executor: Start
) -> None:
    warmed(start_executor(slots=1, warm=1))
    env = {"TZ": "Asia/Tokyo", "LC_ALL": "C", "NODE_NO_WARNINGS": "1", "A": "b"}
    done = api.submit(AT_START, wait=True, env=env)
    assert done["stdout"] == "A=b,LC_ALL=C,NODE_NO_WARNINGS=1,TZ=Asia/Tokyo\n"
    timings = done["timings"]
    assert (timings["warm"], timings["start"]) == (False, "cold")
    reason = "LC_ALL, NODE_NO_WARNINGS, TZ are read when the runtime starts"
    assert timings["cold_reason"] == reason


def test_another_one_keeps_its_warm_sandbox(api: Api, start_executor: Start) -> None:
    warmed(start_executor(slots=1, warm=1))
    done = api.submit(program("console.log(process.env.A)"), wait=True, env={"A": "b"})
    timings = done["timings"]
    assert (done["stdout"], timings["start"], timings["cold_reason"]) == ("b\n", "warm", None)


def test_a_cold_start_that_nothing_asked_for_says_so(api: Api, executor: Daemon) -> None:
    timings = api.submit(HELLO, wait=True)["timings"]
    assert (timings["start"], timings["cold_reason"]) == ("cold", NONE_WAITED)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("SEALED_X", "SEALED_X is refused: nothing here reads it."),
        ("NODE_OPTIONS", "NODE_OPTIONS is refused: it would change the toolchain."),
        ("GCONV_PATH", "GCONV_PATH is refused: it would change the toolchain."),
    ],
)
def test_a_refused_variable_is_named(api: Api, alive: object, name: str, why: str) -> None:
    response = api.call("POST", "/executions", HELLO.body(env={"A": "b", name: "x"}))
    assert response.status_code == 422
    fields = response.json()["error"]["details"]["fields"]
    assert fields == [{"path": f"env.{name}", "message": why}]


def test_a_full_name_goes_before_a_pattern() -> None:
    variables = Variables(start=("PYTHONHASHSEED", "LC_*"), refused={"PYTHON*": "no", "LC_X": "x"})
    assert variables.refusal("PYTHONHASHSEED") is None
    assert variables.refusal("PYTHONHOME") == "no"
    assert variables.refusal("LC_X") == "x"
    assert variables.refusal("LC_ALL") is None
    anew = Variables(start=("TZ",), anew=("PYTHON*",))
    assert anew.at_start(["PYTHONUTF8", "TZ", "A"]) == ["PYTHONUTF8", "TZ"]
    assert anew.for_runner({"PYTHONUTF8": "2", "TZ": "x", "A": "b"}) == {"TZ": "x", "A": "b"}
    assert variables.at_start(["LC_ALL", "A", "PYTHONHASHSEED"]) == ["LC_ALL", "PYTHONHASHSEED"]
