"""Test readers with damaged bytes: each returns a value or raises its one kind of error."""

import gzip
import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.session.streams import Lines
from templatemgr.integrity import spares
from templatemgr.redaction import Redactor
from templatemgr.trees import foreign, manifests
from templatemgr.trees.manifests import Entry, Manifest, ManifestError
from tests.tiny_definition import write_definition

TREE = Manifest(
    entries=(
        Entry(path="lib", kind="folder", mode=0o555),
        Entry(path="lib/a", kind="file", mode=0o444, size=3, digest="a" * 64),
        Entry(path="link", kind="link", mode=0o777, target="lib/a"),
        Entry(path="run", kind="file", mode=0o555, size=9, digest="b" * 64),
    )
)
PACKED = manifests.dump(TREE)
OTHER = manifests.dump(Manifest(entries=TREE.entries[:2]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def mangled(draw: st.DrawFn, data: bytes, other: bytes) -> bytes:
    """Draw the data with some bits flipped, a part cut off, or other data spliced in."""
    result = bytearray(data)
    for _ in range(draw(st.integers(0, 4))):
        result[draw(st.integers(0, len(data) - 1))] ^= draw(st.integers(1, 255))
    cut = draw(st.integers(0, len(data)))
    kind = draw(st.sampled_from(["flip", "cut", "splice", "follow"]))
    if kind == "cut":
        return bytes(result[:cut])
    if kind == "splice":
        return bytes(result[:cut]) + other[draw(st.integers(0, len(other))) :]
    return bytes(result) + (other if kind == "follow" else b"")


def ends(read: Callable[[bytes], object], data: bytes) -> None:
    """Read the data; accept the one kind of error."""
    try:
        read(data)
    except ManifestError:
        return


@settings(max_examples=300)
@given(data=mangled(PACKED, OTHER))
def test_a_mangled_manifest_is_a_manifest_or_one_error(data: bytes) -> None:
    ends(manifests.load, data)


@settings(max_examples=200)
@given(data=mangled(gzip.decompress(PACKED), gzip.decompress(OTHER)))
def test_mangled_json_in_sound_gzip_is_a_manifest_or_one_error(data: bytes) -> None:
    ends(manifests.load, gzip.compress(data))


@settings(max_examples=200)
@given(value=VALUES, where=st.sampled_from(["all", "entries", "entry", "field"]), key=st.integers())
def test_any_value_in_any_place_is_a_manifest_or_one_error(
    value: object, where: str, key: int
) -> None:
    body = json.loads(gzip.decompress(PACKED))
    if where == "field":
        entry = body["entries"][key % 4]
        entry[sorted(entry)[key % len(entry)]] = value
    elif where == "entry":
        body["entries"][key % 4] = value
    else:
        body = value if where == "all" else {**body, "entries": value}
    ends(manifests.load, gzip.compress(json.dumps(body).encode()))


@pytest.mark.parametrize(
    "entries",
    [
        [TREE.entries[0], TREE.entries[0]],
        [TREE.entries[1]],  # its folder is not there
        [TREE.entries[3], TREE.entries[0]],  # out of order
        [Entry(path="../x", kind="folder", mode=0o555)],
        [Entry(path="/x", kind="folder", mode=0o555)],
        [Entry(path="a/../b", kind="folder", mode=0o555)],
        [Entry(path="x", kind="link", mode=0o777, target="/etc")],
        [Entry(path="x", kind="link", mode=0o777, target="../x")],
        [Entry(path="x", kind="file", mode=0o4555, digest="a" * 64)],
        [Entry(path="x\0y", kind="folder", mode=0o555)],
        [Entry(path="x", kind="file", mode=0o444, size=1 << 70, digest="a" * 64)],
        [Entry(path="x", kind="file", mode=0o444, size=1, digest="../../etc/passwd")],
    ],
)
def test_entries_that_sealing_never_writes_are_refused(entries: list[Entry]) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        manifests.load(manifests.dump(Manifest(entries=tuple(entries))))


def test_a_bomb_is_refused_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "MAX_BYTES", 1 << 20)
    folders = (Entry(path=f"{n:06}", kind="folder", mode=0o555) for n in range(20_000))
    with pytest.raises(ManifestError, match="unpacks to more than"):
        manifests.load(manifests.dump(Manifest(entries=tuple(folders))))
    with pytest.raises(ManifestError, match="cannot be read"):
        manifests.load(gzip.compress(bytes(1 << 24)))


def test_no_memory_is_one_error_too() -> None:
    with pytest.raises(ManifestError, match="MemoryError"), foreign.reading("It", ManifestError):
        raise MemoryError


@pytest.mark.parametrize("made", [Path.mkdir, lambda p: p.symlink_to("/dev/zero"), lambda _: None])
def test_a_path_that_is_no_file_is_no_manifest(
    tmp_path: Path, made: Callable[[Path], object]
) -> None:
    made(tmp_path / "manifest")
    with pytest.raises(ManifestError):
        manifests.read(tmp_path / "manifest")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), name=st.sampled_from(["template.toml", "package-lock.json", "package.json",
                                             "smoke/run/case.toml", "runner/main.sh"]))  # fmt: skip
def test_mangled_inputs_are_damaged_and_nothing_is_raised(
    tmp_path: Path, data: st.DataObject, name: str
) -> None:
    folder = tmp_path / "inputs"
    shutil.rmtree(folder, ignore_errors=True)
    write_definition(folder)
    before = (folder / name).read_bytes()
    (folder / name).write_bytes(data.draw(mangled(before, PACKED)))
    changed = (folder / name).read_bytes() != before
    digest = "0" * 64 if changed else ""
    assert spares.inputs_sound(folder, digest or "0" * 64) is False


LOG = (
    b"npm http fetch GET 200\r\n\x1b[32mok\x1b[0m caf\xc3\xa9 token=s3cr3t-of-a-registry\n"
    b"WARN \xe2\x9c\x93\n"
)
SECRET = "s3cr3t-of-a-registry"


@settings(max_examples=300)
@given(data=mangled(LOG, LOG[::-1]), cuts=st.lists(st.integers(0, 120), max_size=5))
def test_a_mangled_log_is_lines_of_text_however_it_arrives(data: bytes, cuts: list[int]) -> None:
    said: list[str] = []
    lines = Lines(said.append)
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    for start, end in pairwise(places):
        lines.feed(data[start:end])
    lines.end()
    redact = Redactor([SECRET])
    for text in said:
        plain = redact(text)
        assert "\n" not in plain
        plain.encode("utf-8")  # a page and a row can hold it
        assert SECRET not in plain
    assert "".join(said) == "".join(
        line.decode("utf-8", "replace").rstrip("\r") for line in data.split(b"\n")
    )
