"""Test what forking can break: numbers that must differ, state that must not, ends and walls."""

import json
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from sandbox.limits import MIB, Limits
from sandbox.session.outcome import Outcome, State
from tests.runtime.python_fork_programs import (
    CLOCKS,
    DRAW,
    ENDS,
    FRESH,
    KEEPER,
    SAME,
    TLS,
    WALLS,
)
from tests.runtime.python_runs import ARGS, Python, Way

FORKS: tuple[Way, ...] = ("fork", "preloaded fork")
MODES = ("run", "test")
SPACIOUS = Limits(wall_ms=60_000, cpu_ms=20_000)
KEPT = {"STENCIL_PRELOAD": "numpy pandas requests keeper email.generator email.utils"}


@pytest.fixture(scope="session")
def keeping(python: Python, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Python]:
    """Yield the template with one more module, which keeps generators of random numbers."""
    root = tmp_path_factory.mktemp("keeping") / "tree"
    subprocess.run(["cp", "-al", python.root, root], check=True)
    site = next(root.glob("lib/python3.*/site-packages"))
    (site / "keeper.py").write_text(KEEPER)
    made = Python(root=root, definition=python.definition)
    yield made
    made.close()
    shutil.rmtree(root)


def within(mode: str, source: str, **others: str) -> dict[str, str]:
    """Return the files that run `source` as a program, or within a test."""
    if mode == "run":
        return {"main.py": source, **others}
    body = "".join(f"    {line}\n" for line in source.splitlines())
    return {"test_a.py": f"def test_a():\n{body}", **others}


def printed(outcome: Outcome) -> str:
    """Return the output of the program or of its test."""
    assert (outcome.state, outcome.start) == (State.SUCCEEDED, "fork"), outcome
    if outcome.report is not None:
        return outcome.report.cases[0].stdout
    return outcome.stdout.data.decode()


@cache
def drawn(keeping: Python, mode: str, way: Way) -> list[dict[str, str]]:
    """Return the values of all generators in two sandboxes of one server."""
    files = within(mode, DRAW, **{"fresh.json": json.dumps(FRESH), "tls.py": TLS})
    if mode == "test":
        files["test_a.py"] = (
            f"import sys\nsys.path.insert(0, '/workspace/src')\n{files['test_a.py']}"
        )
    runs = [keeping.execute(mode, files, way=way, settings=KEPT) for _ in range(2)]
    return [json.loads(printed(outcome)) for outcome in runs]


@pytest.mark.parametrize("name", FRESH)
@pytest.mark.parametrize("way", FORKS)
@pytest.mark.parametrize("mode", MODES)
def test_sandboxes_of_one_server_draw_different_numbers(
    keeping: Python, mode: str, way: Way, name: str
) -> None:
    first, second = drawn(keeping, mode, way)
    assert first[name] != second[name]


@pytest.mark.parametrize("way", FORKS)
@pytest.mark.parametrize("mode", MODES)
def test_sandboxes_of_one_server_share_their_hash_seed(python: Python, mode: str, way: Way) -> None:
    files = within(mode, "print(hash('a'), sorted({'a', 'b', 'c'}, key=hash))")
    first, second = (printed(python.execute(mode, files, way=way)) for _ in range(2))
    assert first == second
    other = Python(root=python.root, definition=python.definition)
    try:
        assert printed(other.execute(mode, files, way=way)) != first
    finally:
        other.close()


@cache
def bare(python: Python, source: str) -> tuple[int, str, str]:
    """Return the status and both streams of a program that runs with the interpreter alone."""
    with tempfile.TemporaryDirectory() as folder:
        ended = python.bare({"main.py": source}, Path(folder), f"{folder}/src/main.py", *ARGS)
    stdout, stderr = (
        text.replace(folder, "/workspace").replace(str(python.root), "/template")
        for text in (ended.stdout, ended.stderr)
    )
    return ended.returncode, stdout, stderr


def likened(text: str) -> str:
    """Return a traceback without the addresses and process ids that differ between two runs."""
    return re.sub(r"0x[0-9a-f]{6,}|\bpid=\d+", "…", text)


@pytest.mark.parametrize("name", SAME)
@pytest.mark.parametrize("way", FORKS)
@pytest.mark.parametrize("mode", MODES)
def test_a_forked_program_does_the_same(python: Python, mode: str, way: Way, name: str) -> None:
    status, stdout, stderr = bare(python, SAME[name])
    assert (status, stderr) == (0, "")
    outcome = python.execute(mode, within(mode, SAME[name]), way=way, limits=SPACIOUS)
    assert printed(outcome) == stdout, outcome


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("way", FORKS)
def test_a_forked_program_ends_the_same(python: Python, way: Way, name: str) -> None:
    status, stdout, stderr = bare(python, ENDS[name])
    outcome = python.execute("run", {"main.py": ENDS[name]}, way=way, limits=SPACIOUS)
    assert outcome.start == "fork"
    if status < 0:
        assert (outcome.state, outcome.exit_code) == (State.CRASHED, None)
        assert outcome.signal == signal.Signals(-status).name
    else:
        assert outcome.state is (State.FAILED if status else State.SUCCEEDED)
        assert outcome.exit_code == status
    assert likened(outcome.stdout.data.decode()) == likened(stdout)
    assert likened(outcome.stderr.data.decode()) == likened(stderr)


@pytest.mark.parametrize("way", FORKS)
@pytest.mark.parametrize("mode", MODES)
def test_a_forked_sandbox_is_as_one_that_was_started(python: Python, mode: str, way: Way) -> None:
    files = within(mode, WALLS)
    forked = json.loads(printed(python.execute(mode, files, way=way)))
    outcome = python.execute(mode, files, way="warm")
    started = json.loads(
        outcome.report.cases[0].stdout if outcome.report else outcome.stdout.data.decode()
    )
    assert not [name for name in forked["environment"] if name.startswith("STENCIL_")]
    assert forked == started


@pytest.mark.parametrize("way", FORKS)
@pytest.mark.parametrize("mode", MODES)
def test_the_clocks_of_a_forked_sandbox_begin_at_its_fork(
    python: Python, mode: str, way: Way
) -> None:
    python.execute(mode, within(mode, ""), way=way)  # the server exists
    time.sleep(1.5)
    before = time.time()
    found = json.loads(printed(python.execute(mode, within(mode, CLOCKS), way=way)))
    process_time, thread_time, used, of_children, age, now, monotonic = found
    assert max(process_time, thread_time, used) < 1.0
    assert of_children == 0.0
    assert age <= time.time() - before + 0.1
    assert before <= now <= time.time()
    assert abs(monotonic - time.monotonic()) < 60


HOG = "held = []\nwhile True: held.append(bytearray(2**20))"


@pytest.mark.parametrize("way", FORKS)
@pytest.mark.parametrize("mode", MODES)
def test_a_forked_sandbox_has_its_own_limits(python: Python, mode: str, way: Way) -> None:
    small = replace(python.definition.default, memory_bytes=192 * MIB, cpu_ms=1000, wall_ms=8000)
    hog = python.execute(mode, within(mode, HOG), way=way, limits=small)
    assert (hog.state, hog.start) == (State.OUT_OF_MEMORY, "fork")
    busy = python.execute(mode, within(mode, "while True: pass"), way=way, limits=small)
    assert (busy.state, busy.start) == (State.TIMED_OUT, "fork")
    idle = replace(small, wall_ms=700)
    asleep = python.execute(
        mode, within(mode, "__import__('time').sleep(300)"), way=way, limits=idle
    )
    assert (asleep.state, asleep.start) == (State.TIMED_OUT, "fork")
    child = "import os\nif not os.fork():\n    os.setsid()\n    __import__('time').sleep(300)"
    left = python.execute(
        mode, within(mode, f"{child}\nos._exit(0)" if mode == "run" else child), way=way
    )
    assert left.start == "fork"
    assert printed(python.execute(mode, within(mode, "print(1)"), way=way)) == "1\n"
