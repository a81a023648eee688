"""Class 19: requests to every endpoint that cost the server more than the client.

The tests measure no time: they count values, errors, bytes of memory and bytes of the answer.
`make bench` measures the time.
"""

import contextlib
import gzip
import json
import tracemalloc
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from django import conf
from django.contrib.auth.models import Group, User
from django.test import Client, RequestFactory
from django.utils.html import escape
from pydantic import ValidationError
from pytest_django import Settings

from benchmarks import hostile_bodies, requests
from core import documents
from execapp.api.v1.schemas.executions import SubmissionIn
from execapp.conf import Sizes
from execapp.errors import MAX_REPORTED, Field, InvalidRequestError
from execapp.models import Execution
from tests import minimal_template
from tests.execapp.conftest import Api, make_api
from webui.middleware import limits

SIZE = 200_000
HOSTILE = hostile_bodies.bodies(SIZE)
ANSWER = 64 * 1024
TAKEN = hostile_bodies.RIGHT
MEMORY = 4  # allowed multiple of a valid body of the same size


@pytest.fixture
def admin(api: Api, settings: Settings) -> Client:
    """Give a signed-in browser of an admin, for pages beside the API."""
    settings.ROOT_URLCONF = "webui.urls"
    user = User.objects.create_user("ada", password="x")
    user.groups.add(Group.objects.get(name="admin"))
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


def test_there_are_enough_hostile_requests() -> None:
    assert len(HOSTILE) >= 60
    assert len(set(HOSTILE.values())) == len(HOSTILE)
    assert set(HOSTILE) > TAKEN


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_request_is_refused_with_a_short_answer(name: str, api: Api) -> None:
    response = api.call("POST", "/executions", HOSTILE[name])
    assert response.status_code in ({201} if name in TAKEN else {400, 413, 415, 422})
    if name not in TAKEN:
        assert len(response.content) < ANSWER
        error = response.json()["error"]
        assert set(error) == {"code", "message", "details"}
        assert len(error["details"].get("fields", [])) <= MAX_REPORTED
        assert not Execution.objects.exists()


def test_a_hostile_request_takes_little_memory() -> None:
    good = hostile_bodies.good(SIZE)
    requests.peak_bytes(good)  # create objects that are made only once
    peaks = {name: requests.peak_bytes(body) for name, body in HOSTILE.items()}
    most = MEMORY * requests.peak_bytes(good)
    assert {name: peak for name, peak in peaks.items() if peak >= most} == {}


def test_a_valid_body_is_accepted(api: Api) -> None:
    body = hostile_bodies.good(SIZE)
    assert abs(len(body) - SIZE) < SIZE // 50
    assert api.call("POST", "/executions", body).status_code == 201


DOORS = ("/executions", "/templates/tiny/builds", "/templates/tiny/promote")


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", ["a long key over many values", "zeros as files", "deep objects"])
def test_every_endpoint_reads_by_the_same_budget(door: str, name: str, api: Api) -> None:
    boss = make_api("boss", "execute", "read", "templates", "admin")
    response = boss.call("POST", door, HOSTILE[name])
    assert response.status_code in {400, 422}
    assert len(response.content) < 2_000


# Count the objects that are made of a body before it is refused.


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the list of objects that json was asked to make, as numbers of members."""
    counted: list[int] = []
    original = documents._object

    def count(pairs: list[tuple[str, Any]], budget: documents.Budget) -> dict[str, Any]:
        counted.append(len(pairs))
        return original(pairs, budget)

    monkeypatch.setattr(documents, "_object", count)
    return counted


@pytest.mark.parametrize("piece", ["{}", '{"a":0}', '{"":{"":0}}', '[{"a":[{}]}]'])
def test_no_object_is_made_of_a_body_over_the_budget(piece: str, made: list[int]) -> None:
    budget = documents.Budget(values=Sizes().values)
    with pytest.raises(documents.DocumentError, match="more than"):
        documents.loads(b"[" + b",".join([piece.encode()] * 6_000) + b"]", budget)
    assert made == []
    documents.loads(b"[" + piece.encode() + b"]", budget)
    assert made


@pytest.mark.parametrize("size", [10**5, 10**6, 5 * 10**6])
def test_the_number_of_objects_does_not_grow_with_the_body(size: int, made: list[int]) -> None:
    budget = documents.Budget(values=Sizes().values)
    for body in hostile_bodies.bodies(size).values():
        made.clear()
        with contextlib.suppress(documents.DocumentError, documents.SurrogateError):
            documents.loads(body, budget)
        assert sum(made) + len(made) <= 2 * budget.values


def test_no_path_is_built_for_a_valid_value(monkeypatch: pytest.MonkeyPatch) -> None:
    paths: list[object] = []
    original = documents._path

    def count(place: object) -> str:
        paths.append(place)
        return original(place)

    monkeypatch.setattr(documents, "_path", count)
    budget = documents.Budget(values=5_000)
    body = json.dumps({"k" * 1000: ["é\ud83d\ude00"] * 2_000}).encode()
    documents.loads(body, budget)
    assert paths == []
    with pytest.raises(documents.SurrogateError) as refusal:
        documents.loads(b'{"' + b"k" * 1000 + b'": ["' + b'a", "' * 900 + b'\\ud800"]}', budget)
    assert len(paths) == 1
    assert len(refusal.value.path) <= documents.PATH_CHARACTERS


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"[" * 33 + b"]" * 33, "deeper than 32"),
        (b'{"a":' * 33 + b"0" + b"}" * 33, "deeper than 32"),
        (b'["' + b"[" * 100 + b'",' + b"[" * 33 + b"]" * 33 + b"]", "deeper than 32"),
        (b'["\\"",' + b"[" * 33 + b"]" * 34, "deeper than 32"),
        (b'{"' + b"k" * 1025 + b'": 0}', "more than 1024 characters"),
        (b'{"a": {"' + b"k" * 1025 + b'": 0}}', "more than 1024 characters"),
        (b"9" * 101, "more than 100 characters"),
        (b"[-" + b"9" * 100 + b"]", "more than 100 characters"),
        (b"0." + b"9" * 99, "more than 100 characters"),
        (b"[" + b"0," * 5_000 + b"0]", "more than"),
        (b"[" + b'"",' * 5_000 + b'""]', "more than"),
        (b"]" * 6_000, "more than"),
        (b'"\\' + b'\\"' * 30_000, "not JSON"),
    ],
)
def test_a_document_over_a_bound_is_refused(body: bytes, says: str) -> None:
    with pytest.raises(documents.DocumentError, match=says):
        documents.loads(body, documents.Budget(values=Sizes().values))


@pytest.mark.parametrize(
    "document",
    [
        "[" * 1000 + "{" * 1000 + ',"' * 30_000 + "\\" * 30_001,
        {"a[{,": ["}]"] * 1000, "k" * 1024: "\\" * 7},
        [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]],
        -(10**98),
        ['"' + "[" * 100, '\\"' + "[" * 100],
        ["\\", "\\\\", '\\"', '"', "\\\\\\"],
    ],
    ids=[
        "brackets in a text",
        "brackets in keys",
        "32 levels",
        "99 digits",
        "quotes",
        "backslashes",
    ],
)
@pytest.mark.parametrize("looks", [0, documents.LOOKS])
def test_a_valid_document_is_read(
    document: object, looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "LOOKS", looks)
    budget = documents.Budget(values=Sizes().values)
    assert documents.loads(json.dumps(document).encode(), budget) == document


def test_the_largest_submission_fits_into_the_budget(api: Api) -> None:
    files = [{"path": f"f{n}", "content": "", "encoding": "utf8"} for n in range(999)]
    files.append({"path": "main.mjs", "content": "", "encoding": "utf8"})
    body = minimal_template.HELLO.body(
        files=files,
        args=["a"] * 256,
        env={f"V{n}": "x" for n in range(64)},
        labels={f"l{n}": "x" for n in range(16)},
        limits={"wall_ms": 1000},
    )
    assert api.call("POST", "/executions", body).status_code == 201


# Validation.

WRONG: dict[str, Any] = {
    "files": [0] * 1000,
    "files of no keys": [{}] * 1000,
    "files with a key too many": [{"path": "a", "content": "", "mode": 1}] * 1000,
    "files with another content": [{"path": "a", "content": 1}] * 1000,
    "more files": [{"path": "a", "content": ""}] * 1001,
    "args": [1] * 256,
    "more args": ["a"] * 257,
    "env": {str(n): 1 for n in range(64)},
    "more env": {str(n): "" for n in range(65)},
    "labels": {str(n): [] for n in range(16)},
    "more labels": {str(n): "" for n in range(17)},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_list_is_validated_up_to_its_twentieth_fault(wrong: str) -> None:
    name = wrong.removeprefix("more ").partition(" ")[0]
    with pytest.raises(ValidationError) as refusal:
        SubmissionIn.model_validate({**minimal_template.HELLO.body(), name: WRONG[wrong]})
    assert refusal.value.error_count() <= 2 * MAX_REPORTED
    assert all(error["loc"][0] == name for error in refusal.value.errors())


def test_only_the_first_of_many_unknown_keys_are_named() -> None:
    for many in (200, 4_000):
        body = {**minimal_template.HELLO.body(), **{f"k{n}": 0 for n in range(many)}}
        with pytest.raises(ValidationError) as refusal:
            SubmissionIn.model_validate(body)
        assert refusal.value.error_count() <= MAX_REPORTED
        file = {"path": "a", "content": "", **{f"k{n}": 0 for n in range(many)}}
        with pytest.raises(ValidationError) as refusal:
            SubmissionIn.model_validate({**minimal_template.HELLO.body(), "files": [file]})
        assert refusal.value.error_count() <= MAX_REPORTED


def test_one_wrong_item_is_found_at_every_position(api: Api) -> None:
    files = [{"path": f"f{n}", "content": ""} for n in range(999)]
    for at in (0, 500, 999):
        body = minimal_template.HELLO.body(
            files=[*files[:at], {"path": "a", "content": None}, *files[at:]]
        )
        fields = api.call("POST", "/executions", body).json()["error"]["details"]["fields"]
        assert [field["path"] for field in fields] == [f"files.{at}.content"]


# Answers.


def test_an_answer_lists_twenty_errors() -> None:
    long = [Field(path="p" * 9_000, message="\u0001" * 9_000) for _ in range(5_000)]
    error = InvalidRequestError(long)
    assert len(error.details["fields"]) == MAX_REPORTED
    assert error.details["more"] == 5_000 - MAX_REPORTED
    assert len(json.dumps(error.details).encode()) < ANSWER


@pytest.mark.parametrize(
    "query",
    ["&".join(f"x{n}=1" for n in range(99)), "x=" + "9" * 8_000, "label=" + "%00" * 2_000],
    ids=["many", "long", "NUL"],
)
def test_an_answer_to_a_query_is_short(query: str, api: Api) -> None:
    response = api.call("GET", f"/executions?{query}")
    assert response.status_code == 422
    assert len(response.content) < 16 * 1024


@pytest.mark.parametrize("name", ["x" * 7_000, "💥" * 1_000, "\u0001" * 500])
def test_an_answer_that_repeats_a_name_is_short(name: str, api: Api) -> None:
    body = {**minimal_template.HELLO.body(), "template": name[:200]}
    for response in (
        api.call("GET", f"/templates/{name}"),
        api.call("GET", f"/executions/{name}"),
        api.call("GET", f"/templates/tiny/versions/{name}"),
        api.call("POST", "/executions", body),
        api.call("POST", f"/{name}", b"{}"),
    ):
        assert 400 <= response.status_code < 500
        assert len(response.content) < ANSWER


# Other bodies than JSON.

ENCODINGS = (
    "gzip",
    "x-gzip",
    "deflate",
    "br",
    "zstd",
    "gzip, identity",
    "identity, gzip",
    "GZIP",
    "aes128gcm",
)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_packed_body_is_neither_read_nor_unpacked(encoding: str, api: Api) -> None:
    bomb = gzip.compress(b" " * 10_000_000)
    response = api.call("POST", "/executions", bomb, **{"Content-Encoding": encoding})
    assert response.status_code == 415
    error = response.json()["error"]
    assert error["code"] == "unsupported_media_type"
    assert "Content-Encoding" in error["message"]
    assert not Execution.objects.exists()


@pytest.mark.parametrize("path", ["/playground/run", "/accounts/login/", "/nowhere"])
def test_pages_refuse_a_packed_body(path: str, admin: Client) -> None:
    page = admin.post(
        path,
        gzip.compress(b"path=a"),
        content_type="application/x-www-form-urlencoded",
        headers={"Content-Encoding": "gzip"},
    )
    assert page.status_code == 415
    assert b"Content-Encoding" in page.content


def test_a_plain_body_may_name_the_identity_encoding(api: Api) -> None:
    body = minimal_template.HELLO.body()
    said = {"Content-Encoding": "identity"}
    assert api.call("POST", "/executions", body, **said).status_code == 201


FORM = "application/x-www-form-urlencoded"
FORMS: dict[str, Callable[[], tuple[bytes, str, int]]] = {
    "a thousand fields": lambda: (b"&".join([b"path=a"] * 1_001), FORM, 400),
    "separators": lambda: (b"&" * 200_000, FORM, 400),
    "a percent sign that begins nothing": lambda: (b"path=%" * 10, FORM, 400),
    "half an escape at the end": lambda: (b"path=a%4", FORM, 400),
    "too large": lambda: (b"path=" + b"a" * conf.settings.DATA_UPLOAD_MAX_MEMORY_SIZE, FORM, 400),
    "a file that is too large": lambda: (
        b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
        + b"a" * conf.settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        + b"\r\n--x--\r\n",
        "multipart/form-data; boundary=x",
        400,
    ),
    "parts without end": lambda: (
        b'--x\r\nContent-Disposition: form-data; name="path"\r\n\r\n\r\n' * 5_000 + b"--x--\r\n",
        "multipart/form-data; boundary=x",
        400,
    ),
    "files without end": lambda: (
        b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n\r\n' * 500
        + b"--x--\r\n",
        "multipart/form-data; boundary=x",
        400,
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_form_has_a_budget(name: str, admin: Client) -> None:
    body, kind, status = FORMS[name]()
    page = admin.post("/playground/run", body, content_type=kind)
    assert page.status_code == status
    assert page["Content-Type"].startswith("text/html")
    assert len(page.content) < ANSWER


@pytest.mark.parametrize("letter", ['"', "a", "<"])
@pytest.mark.parametrize("length", [1_000, 8_000, 100_000, 3_000_000])
def test_a_refused_form_does_not_come_back_in_full(letter: str, length: int, admin: Client) -> None:
    text = letter * length
    forms = {
        "/login": {"login": text, "password": "x"},
        "/tokens": {"name": text, "scopes": "none", "days": text[:100]},
        "/users": {"name": text, "email": text[:100], "role": "none"},
        "/playground/run": {"path": "/../x", "content": text, "mode": "run", "template": "none"},
        "/account/password": {"oldpassword": "x", "password1": text, "password2": "y"},
    }
    for path, fields in forms.items():
        client = Client() if path == "/login" else admin
        answer = client.post(
            path,
            "&".join(f"{name}={plain(value)}" for name, value in fields.items()),
            content_type=FORM,
        )
        assert answer.status_code < 500
        assert len(answer.content) < ANSWER, path
        if length == 1_000 and path in ("/tokens", "/users", "/playground/run"):
            assert answer.status_code == 422
            assert escape(text) in answer.text, "a form of normal size stays on the page"


def plain(text: str) -> str:
    """Escape only what a form must escape."""
    return text.replace("%", "%25").replace("&", "%26").replace("+", "%2B")


# tests/execapp/api/test_hostile_headers.py has those that Django's parser of heads does not take.
CHARSETS = ["punycode", "utf-16", "utf-7", "unicode_escape", "latin-1", "none", "x" * 999]


@pytest.mark.parametrize("charset", CHARSETS)
def test_a_body_is_utf8(charset: str, admin: Client) -> None:
    parts = b'--x\r\nContent-Disposition: form-data; name="login"\r\n\r\n\xff%\r\n--x--\r\n'
    for path in ("/login", "/login/passkey", "/playground/run", "/tokens", "/users", "/api/v1/me"):
        for kind in ("multipart/form-data; boundary=x", FORM, "text/plain"):
            kind = f"{kind}; charset={charset}"
            for method in ("POST", "GET", "PUT"):
                answer = admin.generic(method, f"{path}?q=%ff", parts, content_type=kind)
                assert answer.status_code == 415, (path, kind, method)
                assert len(answer.content) < ANSWER


@pytest.mark.parametrize("charset", ["utf-8", "UTF8", "us-ascii", '"utf-8"'])
def test_a_form_may_name_utf8(charset: str, rf: RequestFactory) -> None:
    request = rf.generic("POST", "/", b"a=%c3%a4", content_type=f"{FORM}; charset={charset}")
    limits.check_head(request)
    limits.check_form(request)
    assert request.POST["a"] == "ä"


@pytest.mark.parametrize("piece", ["%d0%b0", "%00", "+", "=", "a", "%25", "%ff"])
def test_a_form_takes_a_few_times_its_size(piece: str) -> None:
    body = b"content=" + piece.encode() * (1_000_000 // len(piece))
    tracemalloc.start()
    try:
        [(name, _value)] = documents.form(body, fields=10)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert name == "content"
    assert peak < 6 * len(body)


def test_pages_read_forms_within_the_budget(rf: RequestFactory) -> None:
    body = b"content=" + b"%d0%b0" * 300_000 + b"&path=a&path=b"
    request = rf.generic("POST", "/playground/run", body, content_type=FORM)
    tracemalloc.start()
    try:
        limits.check_form(request)
        content, paths = request.POST["content"], request.POST.getlist("path")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (content, paths, len(request.FILES)) == ("\u0430" * 300_000, ["a", "b"], 0)
    assert peak < 6 * len(body)


@pytest.mark.parametrize(
    "text",
    ["a=b&c%+d", "привет\r\n", "", "=", "==", "%", "=3D", "=\n", " \t ", "\0", "💥", "x" * 80],
)
def test_a_valid_form_is_read_unchanged(text: str) -> None:
    body = urlencode([("a", text), (text, "b")]).encode()
    assert documents.form(body, fields=10) == [("a", text), (text, "b")]


@pytest.mark.parametrize(
    "path", ["/api/v1/executions", "/healthz", "/executions", "/accounts/login/"]
)
@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("x=" + "a" * 9_000, {}),
        ("&".join(["x=1"] * 101), {}),
        ("&" * 200, {}),
        ("", {"X-Much": "a" * 40_000}),
        ("", {f"X-Much-{n}": "a" * 2_000 for n in range(20)}),
        ("", {"Cookie": "a=" + "b" * 40_000}),
        ("", {"Authorization": "Bearer " + "b" * 40_000}),
    ],
    ids=["long", "many", "empty ones", "a header", "headers", "a cookie", "a token"],
)
def test_the_head_of_a_request_has_a_budget(
    path: str, query: str, headers: dict[str, str], admin: Client
) -> None:
    answer = admin.get(f"{path}?{query}", headers=headers)
    assert answer.status_code == 413
    assert len(answer.content) < ANSWER
    if path.startswith(("/api", "/healthz")):
        assert answer.json()["error"]["code"] == "too_large"
    else:
        assert b"<h1" in answer.content
