"""Test every refusal of cases: the field, the trouble, and that nothing is left half-made."""

from typing import Any

import pytest
from pytest_django import Settings

from execapp.models import Execution, StoredBytes
from tests.execapp.conftest import Api
from tests.minimal_template import HELLO, suite

CASE = {"stdin": "1"}


def refused(api: Api, body: dict[str, Any], status: int = 422) -> dict[str, str]:
    """Submit what must be refused; return the messages by path."""
    answer = api.call("POST", "/executions", body)
    assert answer.status_code == status, answer.content
    assert not Execution.objects.exists()
    assert not StoredBytes.objects.exclude(bytes=0).exists()
    fields = answer.json()["error"]["details"]["fields"]
    return {field["path"]: field["message"] for field in fields}


def with_cases(*cases: Any, **more: Any) -> dict[str, Any]:
    return {**HELLO.body(), "cases": list(cases), **more}


@pytest.mark.parametrize(
    ("case", "path"),
    [
        (7, "cases.0"),
        ("x", "cases.0"),
        ({"input": "1"}, "cases.0.input"),
        ({"stdin": 1}, "cases.0.stdin"),
        ({"name": ["a"]}, "cases.0.name"),
        ({"name": "a\nb"}, "cases.0.name"),
        ({"name": "a\0b"}, "cases.0.name"),
        ({"name": "x" * 201}, "cases.0.name"),
        ({"args": "a"}, "cases.0.args"),
        ({"args": [1]}, "cases.0.args.0"),
        ({"args": ["a\0"]}, "cases.0.args.0"),
        ({"args": ["a"] * 257}, "cases.0.args"),
        ({"args": ["x" * 40_000]}, "cases.0.args.0"),
        ({"env": {"LD_PRELOAD": "x"}}, "cases.0.env.LD_PRELOAD"),
        ({"env": {"NODE_OPTIONS": "x"}}, "cases.0.env.NODE_OPTIONS"),
        ({"env": {"A": 1}}, "cases.0.env.A"),
        ({"env": {"A": "\0"}}, "cases.0.env.A"),
        ({"env": {f"A{n}": "" for n in range(65)}}, "cases.0.env"),
        ({"expected_stdout": 1}, "cases.0.expected_stdout"),
        ({"limits": {"speed": 1}}, "cases.0.limits.speed"),
        ({"limits": {"wall_ms": "1"}}, "cases.0.limits.wall_ms"),
        ({"limits": {"wall_ms": 0}}, "cases.0.limits.wall_ms"),
        ({"limits": {"wall_ms": 10**9}}, "cases.0.limits.wall_ms"),
        ({"limits": {"memory_bytes": 1}}, "cases.0.limits.memory_bytes"),
    ],
)
def test_a_wrong_case_is_named(api: Api, alive: object, case: Any, path: str) -> None:
    assert list(refused(api, with_cases(case, CASE))) == [path]
    # The second case is named by its own place.
    assert list(refused(api, with_cases(CASE, case))) == [path.replace("cases.0", "cases.1")]


@pytest.mark.parametrize(
    ("more", "path", "said"),
    [
        ({"cases": []}, "cases", "Give 1 to 1000 cases."),
        ({"cases": [CASE] * 1001}, "cases", "At most 1000 cases"),
        ({"cases": {"0": CASE}}, "cases", ""),
        ({"compare": "close"}, "compare", ""),
        ({"compare": {"float": -1}}, "compare", ""),
        ({"compare": {"float": "1"}}, "compare", ""),
        ({"compare": {"float": 1, "trim": True}}, "compare", ""),
        ({"compare": {}}, "compare", ""),
        ({"compare": None}, "compare", ""),
        ({"stop_on_failure": 1}, "stop_on_failure", ""),
    ],
)
def test_a_wrong_setting_is_named(
    api: Api, alive: object, more: dict[str, Any], path: str, said: str
) -> None:
    found = refused(api, {**with_cases(CASE), **more})
    assert {name.partition(".")[0] for name in found} == {path}
    assert said in next(iter(found.values()))


def test_settings_without_cases_are_refused(api: Api, alive: object) -> None:
    found = refused(api, {**HELLO.body(), "compare": "trim", "stop_on_failure": True})
    assert list(found) == ["compare", "stop_on_failure"]
    assert "without" in found["compare"]
    plain: dict[str, Any] = {"cases": None, "compare": "exact", "stop_on_failure": False}
    assert api.submit(HELLO, **plain)["cases"] is None  # as generated clients send it


def test_cases_belong_to_mode_run(api: Api, alive: object) -> None:
    body = {**suite("export default { a() {} }").body("test"), "cases": [CASE]}
    assert 'mode "run"' in refused(api, body)["cases"]


def test_a_limit_of_a_case_is_at_most_that_of_the_submission(api: Api, alive: object) -> None:
    case = {"limits": {"wall_ms": 600}}
    found = refused(api, with_cases(case, limits={"wall_ms": 500}))
    assert found == {
        "cases.0.limits.wall_ms": "At most 500, the limit of the whole submission: raise "
        "limits.wall_ms."
    }
    assert api.submit(HELLO, cases=[case], limits={"wall_ms": 600})["cases"]["total"] == 1


def test_a_variable_of_a_case_counts_beside_those_of_the_submission(
    api: Api, alive: object, settings: Settings
) -> None:
    settings.STENCIL_MAX_ENV = 2
    case = {"env": {"C": "1"}}
    found = refused(api, with_cases(case, env={"A": "1", "B": "1"}))
    assert list(found) == ["cases.0.env"]


def test_a_lone_surrogate_is_refused(api: Api, alive: object) -> None:
    body = HELLO.body()
    text = '{"cases":[{"stdin":"\\ud800"}],' + str(__import__("json").dumps(body))[1:]
    answer = api.call("POST", "/executions", text)
    assert answer.status_code == 422
    assert answer.json()["error"]["details"]["fields"][0]["path"] == "cases.0.stdin"


def test_only_the_first_errors_of_many_are_named(api: Api, alive: object) -> None:
    assert len(refused(api, with_cases(*[{"stdin": n} for n in range(1000)]))) <= 20
    assert len(refused(api, with_cases(*[{"name": "\n"} for _ in range(1000)]))) <= 20


def test_the_largest_request_is_taken(api: Api, alive: object) -> None:
    case = {
        "name": "n", "stdin": "1", "args": ["a"], "env": {"A": "1"}, "expected_stdout": "1",
        "limits": {"wall_ms": 100},
    }  # fmt: skip
    made = api.submit(HELLO, cases=[case] * 1000)
    assert made["cases"] == {"passed": 0, "failed": 0, "total": 1000, "items": []}


def test_an_execution_without_cases_says_so(api: Api, alive: object) -> None:
    made = api.submit(HELLO)
    assert made["cases"] is None
    files = api.get(f"/executions/{made['id']}/files")
    assert {"cases", "compare", "stop_on_failure"} & set(files) == set()


def test_the_same_key_with_other_cases_is_a_conflict(api: Api, alive: object) -> None:
    first = {**with_cases(CASE), "wait": False}
    key = {"Idempotency-Key": "k"}
    made = api.call("POST", "/executions", first, **key)
    assert made.status_code == 201
    assert api.call("POST", "/executions", first, **key).json()["id"] == made.json()["id"]
    other = api.call("POST", "/executions", {**first, "cases": [CASE, CASE]}, **key)
    assert other.status_code == 409
