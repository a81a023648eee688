"""Hostile bodies of a given size, which are expensive for a careless parser.

The benchmark compares them with a good body of the same size; the tests count their cost.
"""

import base64
import json
from collections.abc import Mapping

TEMPLATE = "tiny"
MAIN = "main.mjs"
RIGHT = {"white space", "escapes of NUL", "short escapes"}  # odd submissions that are accepted


def good(size: int, *, template: str = TEMPLATE, entry: str = MAIN) -> bytes:
    """Return a valid submission of this many bytes, with files of some kilobytes each."""
    line = 'console.log("a line of code", [1, 2, 3], {a: "b"})\n'
    room = max(0, size - 200)
    count = max(1, min(900, room // 4096))
    text = line * max(1, room // count // (len(json.dumps(line)) - 2))
    files = [{"path": f"lib/file{index}.mjs", "content": text} for index in range(count - 1)]
    files.append({"path": entry, "content": text})
    return json.dumps({"template": template, "mode": "run", "files": files}).encode()


def bodies(size: int) -> dict[str, bytes]:
    """Return every hostile body, by the name of its fault."""
    made: dict[str, bytes] = {}
    for group in (_nesting, _keys, _numbers, _texts, _errors, _bytes):
        made |= group(size)
    return made


def _submission(**changed: object) -> bytes:
    return json.dumps({**_plain(), **changed}).encode()


def _plain() -> dict[str, object]:
    return {"template": TEMPLATE, "mode": "run", "files": [{"path": MAIN, "content": ""}]}


def _within(field: str, raw: bytes) -> bytes:
    """Return a submission with this JSON, valid or not, in a field."""
    others = {name: value for name, value in _plain().items() if name != field}
    head = json.dumps(others).encode()[:-1]
    return head + b', "' + field.encode() + b'": ' + raw + b"}"


def _filled(piece: bytes, size: int, *, begin: bytes = b"[", end: bytes = b"]") -> bytes:
    """Return `piece` repeated with commas up to the size."""
    count = max(1, size // (len(piece) + 1))
    return begin + b",".join([piece] * count) + end


def _nesting(size: int) -> Mapping[str, bytes]:
    half = size // 2
    return {
        "deep arrays": b"[" * half + b"]" * half,
        "arrays that never end": b"[" * size,
        "deep objects": b'{"a":' * (size // 6) + b"1" + b"}" * (size // 6),
        "objects that never end": b'{"a":' * (size // 5),
        "arrays and objects in turn": b'[{"a":' * (size // 8) + b"1" + b"}]" * (size // 8),
        "deep in labels": _within("labels", b"[" * half + b"]" * half),
        "33 levels, again and again": _filled(b"[" * 33 + b"]" * 33, size),
        "empty arrays": _filled(b"[]", size),
        "empty objects": _filled(b"{}", size),
        "arrays of one, as files": _within("files", _filled(b"[0]", size)),
    }


def _keys(size: int) -> Mapping[str, bytes]:
    many = b",".join(b'"k%d":0' % index for index in range(size // 12))
    long = b"k" * (size // 3)
    numbered = _numbered(size // 20)
    return {
        "a long key over many values": b'{"' + long + b'": ' + _filled(b"0", 2 * size // 3) + b"}",
        "a long key over long keys": b'{"%b":{"%b":[0]}}'
        % (b"k" * (size // 2), b"j" * (size // 2)),
        "many keys": b"{" + many + b"}",
        "many keys in env": _within("env", b"{" + many.replace(b":0", b':""') + b"}"),
        "many keys in labels": _within("labels", b"{" + many.replace(b":0", b':""') + b"}"),
        "a key again and again": _filled(b'"a":0', size, begin=b"{", end=b"}"),
        "a long key twice": b'{"%b":0,"%b":1}' % (long, long),
        "a long key of escapes twice": b'{"%b":0,"%b":1}' % ((b"\\u0001" * (size // 14),) * 2),
        "empty keys": _filled(b'{"":{"":0}}', size),
        "keys of surrogates": _filled(b'"\\ud800":0', size, begin=b"{", end=b"}"),
        "unknown keys in one file": _within("files", b"[{" + many + b"}]"),
        "a thousand bad labels": _submission(labels=numbered),
        "a thousand bad variables": _submission(env={f"={key}": "" for key in numbered}),
    }


def _numbered(count: int) -> dict[str, str]:
    return {f"a:{index:06d}": "\0" for index in range(count)}


def _numbers(size: int) -> Mapping[str, bytes]:
    return {
        "a number of digits alone": b"9" * size,
        "a long number in wait": _within("wait", b"9" * size),
        "a long fraction": _within("wait", b"0." + b"1" * size),
        "a long exponent": _within("wait", b"1e" + b"9" * size),
        "numbers of 4,000 digits": _filled(b"7" * 4000, size),
        "zeros": _filled(b"0", size),
        "floats": _filled(b"1.5", size),
        "small integers that are not shared": _filled(b"12345", size),
    }


def _texts(size: int) -> Mapping[str, bytes]:
    def content(raw: bytes) -> bytes:
        return _within("files", b'[{"path": "main.mjs", "content": "' + raw + b'"}]')

    flood = base64.b64encode(b"\0" * (size // 2)).decode()
    return {
        "empty texts": _filled(b'""', size),
        "short texts": _filled(b'"ab"', size),
        "texts that are not shared": _filled(b'"\\u00ff\\u0100"', size),
        "lone surrogates by the thousand": _filled(b'"\\ud800"', size),
        "a text of lone surrogates": content(b"\\udfff" * (size // 6)),
        "escapes of NUL": content(b"\\u0000" * (size // 6)),
        "short escapes": content(b"\\n" * (size // 2)),
        "escaped quotes without an end": b'{"a": "' + b'\\"' * (size // 2),
        "backslashes": b'{"a": "' + b"\\\\" * (size // 2) + b'"}',
        "quotes": b'"' * size,
        "an escape that is none": content(b"x" * size + b"\\q"),
        "base64 that is none, at its end": _submission(
            files=[{"path": MAIN, "content": flood + "!", "encoding": "base64"}]
        ),
        "base64 floods": _submission(
            files=[
                {"path": f"{index}/../a", "content": flood[: size // 900], "encoding": "base64"}
                for index in range(900)
            ]
        ),
    }


def _errors(size: int) -> Mapping[str, bytes]:
    files = [{"path": f"../{index}", "content": "x" * (size // 1200)} for index in range(1000)]
    long = [{"path": "a/" * (size // 2400) + str(index), "content": ""} for index in range(1000)]
    extra = [{"path": "a", "content": "", "mode": "0"} for _ in range(min(1000, size // 45))]
    return {
        "zeros as files": _within("files", _filled(b"0", size)),
        "a thousand zeros as files": _within("files", _filled(b"0", 2000)),
        "nothing as files": _within("files", _filled(b"null", size)),
        "objects as files": _within("files", _filled(b"{}", size)),
        "a key too many in each file": _submission(files=extra),
        "numbers as arguments": _submission(args=[1] * 250),
        "numbers as variables": _submission(env={f"A{index}": 1 for index in range(60)}),
        "arguments without end": _within("args", _filled(b'"a"', size)),
        "packages without end": _within("packages", _filled(b'"a"', size)),
        "every field of another type": _submission(
            template=[0], mode={}, files={"a": "x" * size}, entry=1, args={}, stdin=[], env=[],
            limits=0, wait="x", callback_url=0, labels=0,
        ),
        "a thousand bad paths": _submission(files=files),
        "a thousand long paths": _submission(files=long),
        "the same path a thousand times": _submission(
            files=[{"path": "a", "content": "x" * (size // 1200)}] * 1000
        ),
        "a long template": _submission(template="t" * size),
        "a long mode": _submission(mode="m" * size),
    }  # fmt: skip


def _bytes(size: int) -> Mapping[str, bytes]:
    whole = good(size)
    return {
        "white space": _submission()[:-1] + b" " * size + b"}",
        "white space alone": b" \t\r\n" * (size // 4),
        "NUL": b"\0" * size,
        "a byte order mark": b"\xef\xbb\xbf" + whole,
        "UTF-16": whole.decode()[: size // 2].encode("utf-16"),
        "UTF-32": whole.decode()[: size // 4].encode("utf-32"),
        "invalid UTF-8 at the end": whole + b"\xff",
        "overlong UTF-8": b'{"a": "' + b"\xc0\xaf" * (size // 2) + b'"}',
        "half of a good one": whole[: size // 2],
        "a good one and a comma": whole[:-1] + b",}",
        "a good one twice": whole + whole[:50],
        "commas": b"," * size,
        "colons": b"{" + b":" * size + b"}",
        "closing brackets": b"]" * size,
    }
