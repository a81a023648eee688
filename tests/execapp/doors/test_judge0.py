"""Test the Judge0 door: statuses, fields, encodings, batches, refusals, and hostile input."""

import base64
import io
import json
import zipfile
from typing import Any

import pytest
from pytest_django import Settings

from execapp.models import Delivery, Execution, Judge0Submission
from tests.execapp.conftest import Api, make_api, until
from tests.execapp.deliveries.receiver import Receiver, verified
from tests.execapp.doors.conftest import send

HELLO = {"source_code": "console.log('hello  \\n')", "language_id": 63}
SCALARS = (None, True, 0, -1, 1.5, 1e308, 2**63, "", "\0", "x\ny", "$(id)`;|\\", "٣", "x" * 5000)
ODD: tuple[Any, ...] = (*SCALARS, [], [None], [[]], {}, {"": ""})
FIELDS = (
    *("source_code", "language_id", "stdin", "expected_output", "command_line_arguments"),
    *("cpu_time_limit", "cpu_extra_time", "wall_time_limit", "memory_limit", "stack_limit"),
    *("max_processes_and_or_threads", "max_file_size", "number_of_runs", "additional_files"),
    *("enable_network", "redirect_stderr_to_stdout", "callback_url", "compiler_options"),
)


@pytest.fixture(autouse=True)
def numbers(settings: Settings) -> None:
    settings.STENCIL_JUDGE0_LANGUAGES = {63: "tiny", 71: "python"}


def post(api: Api, query: str = "", **changed: Any) -> Any:
    return send(api, "POST", f"/judge0/submissions{query}", json.dumps(HELLO | changed))


def ran(api: Api, source: str, query: str = "", **changed: Any) -> Any:
    response = post(api, f"?wait=true&fields=*{query}", source_code=source, **changed)
    assert response.status_code == 201, response.content
    return response.json()


def wrong(api: Api, **changed: Any) -> dict[str, list[str]]:
    response = post(api, **changed)
    assert response.status_code == 422, response.content
    errors: dict[str, list[str]] = response.json()
    return errors


def error(response: Any, status: int) -> str:
    assert response.status_code == status, response.content
    return str(response.json()["error"])


def archive(files: dict[str, str]) -> str:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as made:
        for name, text in files.items():
            made.writestr(name, text)
    return base64.b64encode(data.getvalue()).decode()


def test_what_a_client_asks_first(api: Api) -> None:
    said = {
        name: send(api, "GET", f"/judge0/{name}").json()
        for name in ("about", "statuses", "languages", "languages/all", "languages/63")
    }
    assert said["about"]["version"] == "1.14.0"
    assert said["statuses"][2] == {"id": 3, "description": "Accepted"}
    assert said["languages"] == [{"id": 63, "name": "Tiny (1.0.0)"}]  # no template is python here
    assert said["languages/63"]["name"] == "Tiny (1.0.0)"
    assert error(send(api, "GET", "/judge0/languages/50"), 404)
    config = send(api, "GET", "/judge0/config_info").json()
    assert (config["enable_callbacks"], config["max_submission_batch_size"]) == (True, 20)


def test_a_result(api: Api, executor: object) -> None:
    said = ran(api, "console.log(1); console.error(2)", stdin="x", cpu_time_limit=2.5)
    assert (said["stdout"], said["stderr"], said["compile_output"]) == ("1\n", "2\n", None)
    assert said["status"] == {"id": 3, "description": "Accepted"}
    assert (said["exit_code"], said["exit_signal"], said["message"]) == (0, None, None)
    assert (said["cpu_time_limit"], said["wall_time_limit"]) == ("2.5", "10.0")
    assert float(said["wall_time"]) > 0
    assert said["source_code"] == "console.log(1); console.error(2)"
    token = said["token"]
    assert str(Execution.objects.get().id) == token
    short = send(api, "GET", f"/judge0/submissions/{token}").json()
    assert set(short) == {
        *("stdout", "time", "memory", "stderr", "token", "compile_output", "message", "status")
    }
    coded = send(api, "GET", f"/judge0/submissions/{token}?base64_encoded=true&fields=stdout,stdin")
    assert coded.json() == {"stdout": "MQo=\n", "stdin": "eA==\n"}
    assert error(send(api, "GET", f"/judge0/submissions/{token}?fields=stdout,x"), 400) == (
        "invalid fields: [x]"
    )
    assert error(send(api, "DELETE", f"/judge0/submissions/{token}"), 400) == "delete not allowed"


@pytest.mark.parametrize(
    ("source", "changed", "number", "message"),
    [
        ("console.log('a \\nb\\n\\n')", {"expected_output": "a\nb  "}, 3, None),
        ("console.log('a')", {"expected_output": "b"}, 4, None),
        ("", {"source_code": ";", "expected_output": ""}, 3, None),
        (
            "setTimeout(() => {}, 60000)",
            {"wall_time_limit": 1},
            5,
            "Time limit exceeded (wall clock)",
        ),
        ("for (;;);", {"cpu_time_limit": 0.2}, 5, "Time limit exceeded"),
        ("process.kill(process.pid, 'SIGSEGV')", {}, 7, "Caught fatal signal 11"),
        ("process.abort()", {}, 10, "Caught fatal signal 6"),
        ("process.kill(process.pid, 'SIGKILL')", {}, 12, "Caught fatal signal 9"),
        (
            "import fs from 'fs'; for (;;) fs.writeSync(1, 'x'.repeat(999))",
            {},
            8,
            "stdout length exceeded",
        ),
        ("process.exit(4)", {}, 11, "Exited with error status 4"),
    ],
)
def test_statuses(
    api: Api, executor: object, source: str, changed: Any, number: int, message: str | None
) -> None:
    keep_alive = "; setTimeout(() => {}, 9e6)" if "process.kill" in source else ""
    said = ran(api, changed.pop("source_code", source + keep_alive), **changed)
    assert (said["status"]["id"], said["message"]) == (number, message)


def test_arguments_are_split_and_meet_no_shell(api: Api, executor: object) -> None:
    source = "console.log(JSON.stringify(process.argv.slice(2)))"
    given = "a 'b c' $(id) ; \"d\ne\" `x` \\\\"
    said = ran(api, source, command_line_arguments=given)
    assert json.loads(said["stdout"]) == ["a", "b c", "$(id)", ";", "d\ne", "`x`", "\\"]
    assert said["command_line_arguments"] == given


def test_binary_output_and_base64(api: Api, executor: object) -> None:
    source = "process.stdout.write(Buffer.from([255, 254]))"
    response = post(api, "?wait=true", source_code=source)
    assert response.status_code == 201
    assert "base64_encoded=true" in response.json()["error"]
    path = f"/judge0/submissions/{response.json()['token']}"
    assert "base64_encoded=true" in error(send(api, "GET", path), 400)
    assert send(api, "GET", f"{path}?base64_encoded=true").json()["stdout"] == "//4=\n"
    coded = base64.b64encode(b"console.log('ok')").decode().rstrip("=")
    assert ran(api, coded[:5] + "\n" + coded[5:], "&base64_encoded=true")["stdout"] == "b2sK\n"


def test_additional_files(api: Api, executor: object) -> None:
    files = archive({"lib/other.mjs": "export const word = 'two'", "main.mjs": "broken("})
    source = "import { word } from './lib/other.mjs'; console.log(word)"
    assert ran(api, source, additional_files=files)["stdout"] == "two\n"


@pytest.mark.usefixtures("loopback_allowed")
def test_a_callback_is_put_in_the_form_of_judge0(
    api: Api, executor: object, receiver: Receiver
) -> None:
    token = post(api, callback_url=receiver.url, expected_output="no").json()["token"]
    (delivered,) = until(lambda: list(Delivery.objects.filter(state="delivered")))
    assert str(delivered.execution_id) == token
    (got,) = receiver.got
    assert (got.method, got.json["token"]) == ("PUT", token)
    assert base64.b64decode(got.json["stdout"]) == b"hello  \n\n"
    assert got.json["status"] == {"id": 4, "description": "Wrong Answer"}
    assert verified(got, api.get("/me/callback-secret")["secret"]) == [True]
    path = f"/judge0/submissions/{token}?fields=callback_url"
    assert send(api, "GET", path).json() == {"callback_url": receiver.url}


def test_private_addresses_get_no_callback(api: Api, alive: object) -> None:
    for url in ("http://127.0.0.1/", "http://169.254.169.254/x", "file:///etc/passwd", "x", 3):
        assert set(wrong(api, callback_url=url)) == {"callback_url"}
    assert not Execution.objects.exists()


def test_archives_are_bounded(api: Api, alive: object) -> None:
    bomb = archive({"zeros": "\0" * 11_000_000})
    assert len(bomb) < 20_000
    link = io.BytesIO()
    with zipfile.ZipFile(link, "w") as made:
        entry = zipfile.ZipInfo("link")
        entry.external_attr = 0o120777 << 16
        made.writestr(entry, "/etc/passwd")
    for files, said in (
        (bomb, "too large"),
        (base64.b64encode(link.getvalue()).decode(), "links"),
        (base64.b64encode(b"PK\x03\x04junk").decode(), "not a readable zip"),
        (archive({"../x": ""}), "refused"),
        (archive({"/x": ""}), "refused"),
        (archive({str(n): "" for n in range(1001)}), "more than 1000"),
        ("?", "not valid Base64"),
    ):
        assert said in wrong(api, additional_files=files)["additional_files"][0]
    assert not Execution.objects.exists()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("source_code", "", "can't be blank"),
        ("language_id", None, "can't be blank"),
        ("language_id", 50, "language with id 50 doesn't exist"),
        ("language_id", 71, "language with id 71 doesn't exist"),  # no template here
        ("cpu_time_limit", 21, "must be less than or equal to 20"),
        ("wall_time_limit", 0.5, "must be greater than or equal to 1"),
        ("memory_limit", "much", "is not a number"),
        ("memory_limit", 1, "must be greater than or equal to 16384"),
        ("number_of_runs", 2, "must be less than or equal to 1"),
        ("enable_network", True, "enabling network is not allowed"),
        ("redirect_stderr_to_stdout", True, "this option cannot be enabled"),
        (
            "compiler_options",
            "-O2",
            "setting compiler options is only allowed for compiled languages",
        ),
        ("command_line_arguments", "x" * 513, "is too long (maximum is 512 characters)"),
    ],
)
def test_a_wrong_field_is_refused_as_in_judge0(
    api: Api, alive: object, field: str, value: Any, message: str
) -> None:
    assert wrong(api, **{field: value}) == {field: [message]}
    assert not Execution.objects.exists()


def test_no_odd_value_of_any_field_is_an_error_of_ours(api: Api, alive: object) -> None:
    for name in FIELDS:
        for value in ODD:
            for query in ("", "?base64_encoded=true"):
                response = post(api, query, **{name: value})
                assert response.status_code in {201, 422}, (name, value, response.content)
                if response.status_code == 422:
                    assert all(isinstance(texts, list) for texts in response.json().values())
    for body in (b" ", b"{", b"[" * 10_000, b'{"a":1,"a":2}', b'{"a":NaN}', b"\xff"):
        error(send(api, "POST", "/judge0/submissions", body), 400)
    assert error(send(api, "POST", "/judge0/submissions", b'["\\ud800"]'), 422)
    plain = {"Content-Type": "text/plain"}
    error(send(api, "POST", "/judge0/submissions", "{}", **plain), 415)
    for token in ("nope", "%00", "9" * 199, "٣", "batchx"):
        error(send(api, "GET", f"/judge0/submissions/{token}"), 404)
    assert Execution.objects.count() == Judge0Submission.objects.count()


def test_batches(api: Api, executor: object) -> None:
    path = "/judge0/submissions/batch"
    three = [HELLO, HELLO | {"language_id": 50}, HELLO | {"expected_output": "no"}]
    response = send(api, "POST", path, json.dumps({"submissions": three}))
    assert response.status_code == 201
    first, second, third = response.json()
    assert second == {"language_id": ["language with id 50 doesn't exist"]}
    query = f"{path}?tokens={first['token']},nope,{third['token']}&fields=token,status_id"
    for _ in range(600):
        shown = send(api, "GET", query).json()["submissions"]
        if shown[0]["status_id"] > 2 and shown[2]["status_id"] > 2:
            break
        Execution.objects.first()
    assert shown == [first | {"status_id": 3}, None, third | {"status_id": 4}]
    none = send(api, "POST", path, json.dumps({"submissions": [{}]}))
    assert none.status_code == 422
    wrong_bodies: list[Any] = [{}, {"submissions": []}, {"submissions": {}}, []]
    for body in [*wrong_bodies, {"submissions": [HELLO] * 21}]:
        assert "batch" in error(send(api, "POST", path, json.dumps(body)), 400)
    assert "at least one" in error(send(api, "GET", path), 400)
    assert "20" in error(send(api, "GET", f"{path}?tokens=" + ",".join("a" * 21)), 400)


def test_a_batch_that_meets_the_quota_keeps_its_tokens(
    api: Api, alive: object, settings: Settings
) -> None:
    settings.STENCIL_CLIENT_BYTES_PER_DAY = 300_000
    path = "/judge0/submissions/batch"
    large = HELLO | {"source_code": "x" * 200_000}
    response = send(api, "POST", path, json.dumps({"submissions": [HELLO, large]}))
    assert response.status_code == 201, response.content
    first, second = response.json()
    assert "bytes" in second["error"][0]
    assert [str(each.id) for each in Execution.objects.all()] == [first["token"]]
    error(send(api, "POST", path, json.dumps({"submissions": [large]})), 429)


def test_who_may_call_and_what_they_see(api: Api, alive: object, settings: Settings) -> None:
    token = post(api).json()["token"]
    path = f"/judge0/submissions/{token}"
    for headers in (
        {"X-Auth-Token": api.secret},
        {"Authorization": f"Bearer {api.secret}"},
        {"X-Auth-Token": api.secret, "Authorization": "nope"},
    ):
        assert send(None, "GET", path, **headers).status_code == 200
    error(send(None, "GET", path), 401)
    error(send(None, "GET", path, **{"X-Auth-Token": "nope"}), 401)
    error(send(make_api("other"), "GET", path), 404)
    error(post(make_api("reader", "read")), 403)
    assert send(make_api("boss", "admin"), "GET", path).status_code == 200
    assert error(send(api, "PUT", path), 405)
    settings.STENCIL_DOORS = ("piston",)
    assert send(api, "GET", path).json()["error"]["code"] == "not_found"


def test_a_refused_submission_leaves_nothing(api: Api, alive: object, settings: Settings) -> None:
    settings.STENCIL_CLIENT_BYTES_PER_DAY = 300_000
    error(post(api, expected_output="x" * 400_000), 429)
    assert not Execution.objects.exists()
    assert not Judge0Submission.objects.exists()
