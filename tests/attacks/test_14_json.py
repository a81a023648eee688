"""Class 14: JSON of clients and runners that is deep, huge, ambiguous or of wrong types."""

import base64
import json

import pytest
from django.conf import settings

from execapp.models import Execution
from sandbox.session.runner_messages import Collector, ReportError, parse
from tests import minimal_template
from tests.execapp.conftest import Api

BODY = minimal_template.HELLO.body()
TEXT = json.dumps(BODY)
MALFORMED: dict[str, str | bytes] = {
    "depth of 10,000 lists": "[" * 10_000 + "]" * 10_000,
    "depth of 10,000 objects": '{"a":' * 10_000 + "1" + "}" * 10_000,
    "depth in a known field": TEXT[:-1] + ', "labels": ' + "[" * 10_000 + "]" * 10_000 + "}",
    "unfinished depth": "[" * 1_000_000,
    "a key twice": TEXT[:-1] + ', "mode": "test"}',
    "a key twice, once escaped": TEXT[:-1] + ', "\\u006dode": "test"}',
    "a key twice deep inside": TEXT[:-1] + ', "env": {"A": "1", "A": "2"}}',
    "NaN": TEXT[:-1] + ', "wait": NaN}',
    "Infinity": TEXT[:-1] + ', "wait": Infinity}',
    "minus Infinity": TEXT[:-1] + ', "wait": -Infinity}',
    "a number without end": TEXT[:-1] + ', "wait": 1e999}',
    "a number of 100,000 digits": TEXT[:-1] + ', "wait": ' + "9" * 100_000 + "}",
    "two documents": TEXT + TEXT,
    "a comment": TEXT[:-1] + "/* x */}",
    "a comma too many": TEXT[:-1] + ",}",
    "nothing": b"",
    "NUL": b"\0",
    "UTF-16": TEXT.encode("utf-16"),
    "UTF-8 with a mark": b"\xef\xbb\xbf" + TEXT.encode(),
    "overlong UTF-8": TEXT.encode().replace(b"main.mjs", b"\xc0\xaf"),
    "half a character": TEXT.encode()[:-1] + b', "x": "\xe2\x82"}',
}


def refused(api: Api, body: str | bytes, *statuses: int) -> None:
    response = api.call("POST", "/executions", body)
    assert response.status_code in statuses, (response.status_code, response.content[:300])
    assert set(response.json()["error"]) == {"code", "message", "details"}
    assert not Execution.objects.exists()


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_malformed_json_is_refused(body: str | bytes, api: Api) -> None:
    refused(api, body, 400)


WRONG_TYPES: dict[str, object] = {
    "template": 5,
    "mode": ["run"],
    "files": {"path": "a"},
    "entry": {},
    "args": "x",
    "stdin": 1.5,
    "env": [["A", "b"]],
    "limits": 10,
    "wait": "yes",
    "labels": "a:b",
    "callback_url": 1,
    "__proto__": {"x": 1},
}


@pytest.mark.parametrize("key", WRONG_TYPES)
def test_types_are_not_converted(key: str, api: Api) -> None:
    refused(api, json.dumps({**BODY, key: WRONG_TYPES[key]}), 422)


LIMITS: dict[str, object] = {
    "true": True,
    "a text": "1000",
    "a fraction": 1.5,
    "below nought": -1,
    "nought": 0,
    "beyond a word": 2**64,
    "beyond the maximum": 10**9,
}


@pytest.mark.parametrize("value", LIMITS.values(), ids=LIMITS)
def test_limits_are_integers_in_range(value: object, api: Api) -> None:
    refused(api, json.dumps({**BODY, "limits": {"wall_ms": value}}), 422)


FILES: dict[str, object] = {
    "a lone surrogate in a path": {"path": "a\ud800", "content": ""},
    "a lone surrogate in a text": {"path": "a", "content": "\udfff"},
    "base64 that is not": {"path": "a", "content": "!!!!", "encoding": "base64"},
    "base64 without its end": {"path": "a", "content": "QQ", "encoding": "base64"},
    "base64 with spaces": {"path": "a", "content": "Q Q = =", "encoding": "base64"},
    "base64 of the other alphabet": {"path": "a", "content": "-_-_", "encoding": "base64"},
    "an encoding of its own": {"path": "a", "content": "", "encoding": "utf-7"},
    "a key too many": {"path": "a", "content": "", "mode": 0o4755},
    "no content": {"path": "a"},
    "no path": {"content": ""},
    "a path that is a list": {"path": ["a"], "content": ""},
    "nothing": None,
}


@pytest.mark.parametrize("file", FILES.values(), ids=FILES)
def test_malformed_files_are_refused(file: object, api: Api) -> None:
    first = {"path": "main.mjs", "content": base64.b64encode(b"").decode()}
    refused(api, json.dumps({**BODY, "files": [first, file]}), 422)


def test_a_body_of_a_hundred_megabytes_is_not_read(api: Api) -> None:
    refused(api, b"[" + b" " * int(settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 0) + b"]", 413)


MESSAGES = {
    "depth": b"[" * 100_000,
    "depth of objects": b'{"type":' * 100_000,
    "a key twice": b'{"type":"ready","type":"case"}',
    "NaN": b'{"type":"case","name":"a","file":"b","state":"passed","duration_ms":NaN}',
    "endless": b'{"type":"case","name":"","file":"","state":"passed","duration_ms":1e999}',
    "a giant number": b'{"type":"result","errors":[],"exit_code":' + b"9" * 10_000 + b"}",
    "true as a number": b'{"type":"result","errors":[],"exit_code":false}',
    "a list": b"[]",
    "a text": b'"ready"',
    "nothing": b"",
    "no UTF-8": b'{"type":"\xff"}',
    "two megabytes": b" " * 2_000_000,
    "another type": b'{"type":["ready"]}',
    "an object as a name": b'{"type":"case","name":{},"file":"b","state":"passed"}',
    "2,000 errors": json.dumps(
        {"type": "result", "exit_code": 1, "errors": [{"file": "a", "message": "b"}] * 2000}
    ).encode(),
}


@pytest.mark.parametrize("line", MESSAGES.values(), ids=MESSAGES)
def test_a_malformed_message_of_a_runner_is_refused(line: bytes) -> None:
    with pytest.raises(ReportError):
        parse(line)
    collector = Collector()
    collector.feed(line + b"\n")
    assert collector.problem is not None
    assert not collector.report().complete


def test_lone_surrogates_and_nul_of_a_runner_are_replaced() -> None:
    found = parse(b'{"type":"case","name":"a\\ud800\\u0000","file":"b","state":"passed"}')
    assert "\0" not in repr(found)
    str(found).encode("utf-8")
