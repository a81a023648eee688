"""Fuzz definitions: each is read, or refused by a message that names its file."""

import os
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.session.paths import check_paths
from templatemgr.definitions import definition_file
from templatemgr.definitions.definition import Definition
from templatemgr.errors import DefinitionError
from tests.native_definition import definition_text, with_native
from tests.tiny_definition import RUN_CASE

NAMES = st.sampled_from(
    [
        "a", "..", "../x", "/etc", "a/../b", "a\0b", "\n", "", ".", "a//b", "src", "bin/number.js",
        "node_modules", "runner/main.sh", "run", "test", "main.js", "x" * 300, "~", "$(id)", "-rf",
    ]
)  # fmt: skip
TEXTS = NAMES | st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBERS = st.integers() | st.sampled_from([0, -1, 2**63, 2**64, 10**30])
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.booleans(), NUMBERS, st.floats(), TEXTS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=6,
)


CASE = f'title = "T"\nentry = "main.js"\nargs = ["a"]\nstdin = "s"\n{RUN_CASE}'


def toml(value: Any) -> str:
    """Return a value in TOML's inline form."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(character):08x}" for character in value) + '"'
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(key)} = {toml(item)}" for key, item in value.items()) + "}"
    return repr(value)


@st.composite
def mutated(draw: st.DrawFn, text: str) -> bytes:
    """Draw a valid file with one changed key, one changed line, or a few changed bytes."""
    table = tomllib.loads(text)
    kind = draw(st.integers(0, 4))
    if kind <= 2:
        part, path = table, []
        while True:
            key = draw(st.sampled_from([*part, "other"]))
            path.append(key)
            if not isinstance(part.get(key), dict) or draw(st.integers(0, 3)) == 0:
                break
            part = part[key]
        if kind == 0:
            part.pop(key, None)
        else:
            part[key] = draw(VALUES)
        return "\n".join(f"{toml(key)} = {toml(item)}" for key, item in table.items()).encode()
    data = text.encode()
    if kind == 3:
        at = draw(st.integers(0, len(data)))
        return data[:at] + draw(st.binary(max_size=8)) + data[at + draw(st.integers(0, 9)) :]
    unit = draw(st.sampled_from([b"a=[", b"a={b=", b"[a.", b"a=" + b"9" * 5_000, b'"', b"a."]))
    return data + b"\n" + unit + b"[" * draw(st.integers(0, 3_000))


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as top:
        yield with_native(Path(top) / "tiny")


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_it_is_whole_or_refused_by_name(data: st.DataObject, folder: Path) -> None:
    name = data.draw(st.sampled_from(["template.toml", "smoke/run/case.toml"]))
    right = {"template.toml": definition_text(), "smoke/run/case.toml": CASE}[name]
    text = data.draw(mutated(right) | st.binary(max_size=200))
    (folder / name).write_bytes(text)
    try:
        found = definition_file.read(folder)
    except DefinitionError as error:
        refusal: DefinitionError | None = error
    else:
        refusal = None
    finally:
        (folder / name).write_text(right)
    if refusal is None:
        nothing_leads_out(found)
    else:
        assert refusal.file.startswith("tiny/")
        assert refusal.reason
        assert str(refusal).encode()


def nothing_leads_out(found: Definition) -> None:
    """Assert that every path stays inside, and that every argument and variable is valid."""
    listed = [*found.links, *found.files, *found.prune, *found.toolchain, *found.toolchain.values()]
    listed += [*found.native, *(source for sources in found.native.values() for source in sources)]
    for path in listed:
        assert path
        assert not path.startswith("/")
        assert ".." not in PurePosixPath(path).parts
        assert "\0" not in path
    assert "src" not in {PurePosixPath(link).parts[0] for link in found.links}
    for mode in found.modes.values():
        os.fsencode("\0".join(mode.command))
        assert not any("\0" in item for item in mode.command)
    for name, value in found.env.items():
        assert name
        assert not {"=", "\0"} & set(name)
        assert "\0" not in value
    default, maximum = asdict(found.default), asdict(found.maximum)
    assert all(0 < default[key] <= maximum[key] < 2**63 for key in default)
    for case in found.smoke:
        paths = [file.path for file in case.submission.files]
        assert check_paths(paths) == []
        entry = case.submission.entry
        assert entry is None or not entry.startswith("/")
        assert entry is None or ".." not in PurePosixPath(entry).parts
        assert not any("\0" in argument for argument in case.submission.args)
