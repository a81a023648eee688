"""Test odd kept files: none blocks a request, fills the memory or ends a page."""

import gzip
import os
import signal
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import pytest

from templatemgr import version_runtimes
from tests.faults import damage
from tests.faults.installation import Installation

SECONDS = 20
MOST_BYTES = 96 * 1024 * 1024
DEFINITIONS = ["inputs definition a pipe", "inputs definition a socket", "inputs case a pipe",
               "inputs file of 2 GiB", "inputs definition of 2 GiB",
               "inputs name that is no text"]  # fmt: skip
BOMBS = {
    "empty entries": b'{"entries":[' + b"{}," * (20 << 20) + b'{}],"format":1}',
    "one long entry": b'{"entries":[{"digest":"' + b"0" * (60 << 20),
    "nested lists": b'{"entries":[' + b"[" * (60 << 20),
    "equal folders": b'{"entries":['
    + b'{"digest":"","kind":"folder","mode":365,"path":"a","size":0,"target":""},' * 800_000,
}


@contextmanager
def ends_soon() -> Iterator[None]:
    """Fail if the block takes longer than SECONDS, also if it waits for a pipe."""

    def late(_signal: int, _frame: FrameType | None) -> None:
        pytest.fail(f"it did not end within {SECONDS} s")  # no Exception, so nothing catches it

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def little_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", DEFINITIONS)
def test_damaged_inputs_hold_up_no_request_before_anything_found_them(
    place: Installation, name: str
) -> None:
    damage.BY_NAME[name].do(place)
    version_runtimes._kept_runtime.cache_clear()
    with ends_soon(), little_memory():
        assert place.submit() == 201
        assert place.client.get("/templates/fake/versions/2").status_code == 200
        inputs = place.api.call("GET", "/templates/fake/versions/2/inputs")
        assert inputs.status_code < 500 or inputs.json()["error"]["code"] != "internal"
        place.verify(heal=False)
    assert place.shown()["severity"] == "not_provable"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a device")
def test_a_device_in_place_of_the_definition_is_not_opened(place: Installation) -> None:
    place.home.joinpath("inputs").chmod(0o755)
    (place.home / "inputs/template.toml").unlink()
    os.mknod(place.home / "inputs/template.toml", 0o20444, os.makedev(1, 5))
    version_runtimes._kept_runtime.cache_clear()
    with ends_soon():
        assert place.submit() == 201


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_manifest_takes_no_more_memory_than_the_tree_can_need(
    place: Installation, bomb: str
) -> None:
    data = gzip.compress(BOMBS[bomb], 1)
    damage.replace(place.home / "manifest.json.gz", lambda path: path.write_bytes(data))
    with ends_soon(), little_memory():
        place.verify(heal=False)
    assert place.shown()["severity"] == "not_provable"
    assert "manifest" in str(place.shown()["findings"])
    assert place.submit() == 201
    place.let_time_pass()
    assert place.shown()["severity"] == "none"
