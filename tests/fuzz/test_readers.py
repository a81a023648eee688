"""Fuzz each file of a definition: it is read, or refused with its line, for any bytes."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from templatemgr.definitions import readers
from templatemgr.definitions.readers import (
    FileError,
    Rules,
    faults,
    npm_specs,
    package_json,
    package_lock,
)
from tests.tiny_definition import package_files

HERE = Path(__file__).parents[2] / "templates_runtime"
RIGHT = {
    ("npm", ".npmrc"): (HERE / "typescript/.npmrc").read_bytes(),
    ("npm", "package.json"): (HERE / "typescript/package.json").read_bytes(),
    ("npm", "package-lock.json"): package_files("7.0.0")["package-lock.json"].encode(),
    ("pip", "requirements.in"): (HERE / "python/requirements.in").read_bytes(),
    ("pip", "requirements.lock"): (HERE / "python/requirements.lock").read_bytes()[:2000],
}
PIECES = [
    b"\n", b"\r", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\xc2\xa0", b" \\\n", b"#",
    b"$", b"--hash=", b"-r ", b"git+https://h/r", b"file:x", b"npm:", b"${X}", b"[", b"{", b'"',
    b"\\", b";", b"==", b"===", b"registry=x", b"ignore-scripts=false", b"../", b"@", b"/", b"link",
    b"*", b"1", b'"resolved": "x",', b'"__proto__": {},', b'"\\ud800": 1,', b"NaN", b"9" * 5000,
    b"(" * 2000, b"<2,>1", b"extra == 'x'",
]  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Draw a valid file with some bytes replaced by odd bytes or by parts of the file."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = start + draw(st.sampled_from([0, 0, 1, 5, 40]))
        new = draw(st.sampled_from(PIECES) | st.binary(max_size=4) | st.just(data[:start][-60:]))
        data = data[:start] + new + data[end:]
    return data


@pytest.mark.parametrize(("builder", "name"), RIGHT)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_file_is_read_or_refused(builder: str, name: str, data: st.DataObject) -> None:
    content = data.draw(damaged(RIGHT[builder, name]))
    refusal: FileError | None = None
    try:
        readers.check(builder, name, {name: content}, Rules())
    except FileError as error:
        refusal = error
    if refusal is None:
        assert_harmless(name, content.decode())
    else:
        assert_reported(refusal, content.decode("utf-8", "replace"))


def assert_reported(refusal: FileError, text: str) -> None:
    assert refusal.line is None or 1 <= refusal.line <= text.count("\n") + 1
    excerpt = faults.excerpt(text, refusal.line)
    assert excerpt.isprintable()
    assert len(excerpt) <= faults.MAX_EXCERPT
    assert len(refusal.key) <= 200
    assert str(refusal).isprintable()


def assert_harmless(name: str, text: str) -> None:
    """Assert, with a second parser, that the file means only names, ranges and hashes."""
    if name == ".npmrc":
        assert not any(word in text for word in ("registry=", "$", "ignore-scripts=false"))
    elif name.startswith("requirements"):
        bare = "\n".join(line.partition("#")[0] for line in text.split("\n"))
        assert not any(word in bare for word in ("://", "${", "-r ", "==="))
    elif name == "package.json":
        table = json.loads(text)
        for key in package_json.TABLES:
            assert all(map(registry, (table.get(key) or {}).values()))
    else:
        for path, entry in json.loads(text)["packages"].items():
            assert path == "" or path.startswith(package_lock.FOLDER)
            assert "resolved" not in entry
            assert not entry.get("link")


def registry(spec: Any) -> bool:
    return isinstance(spec, str) and not set(spec.removeprefix("npm:")) & set(":#\\$%")


@settings(deadline=None)
@given(st.text("gitfile:npm@/.~-+^*x1 \\#%${}\n\t\u2028", max_size=16))
def test_a_requirement_comes_from_the_registry_or_is_refused(spec: str) -> None:
    if not npm_specs.spec_fault(spec, Rules()):
        assert registry(spec)
        assert not spec.strip().startswith((".", "~/", "/", "file:", "git:", "git+", "git@"))
