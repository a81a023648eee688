"""Test when a Python submission runs warm, the reason when it runs cold, and settings of both."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from sandbox.session.outcome import State
from sandbox.session.variables import covers
from tests.runtime.python_runs import ARGS, WAYS, Python, Way

PASSES = "def test_a(): pass\n"
READS = {"test_a.py": "def test_a():\n    assert input() == 'Ada'"}
ABOVE = {"calc.py": "v = 1", "tests/unit/test_a.py": "import calc\n" + PASSES}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("files", "setting", "status"), [(READS, "STDIN", 1), (ABOVE, "ROOT", 2)], ids=["stdin", "root"]
)
def test_a_definition_can_switch_standard_input_and_root_folder(
    python: Python, files: Mapping[str, str], setting: str, status: int, way: Way
) -> None:
    outcome = python.execute("test", files, way=way)
    assert (outcome.state, outcome.exit_code) == (State.FAILED, status)
    settings = {f"STENCIL_TEST_{setting}": "1"}
    outcome = python.execute("test", files, way=way, settings=settings)
    assert (outcome.state, outcome.exit_code) == (State.SUCCEEDED, 0), outcome


@pytest.mark.parametrize(
    ("files", "env", "reason"),
    [
        ({"main.py": ""}, {"TZ": "UTC"}, "TZ is read when the runtime starts"),
        (
            {"main.py": ""},
            {"PYTHONHASHSEED": "1", "LANG": "C", "A": "b"},
            "LANG, PYTHONHASHSEED are read when the runtime starts",
        ),
        (
            {"main.py": "", "a/b/queue/x.py": "", "numpy.pyc": b""},
            {},
            "a preloaded module has the name of a submitted one: numpy, queue",
        ),
        ({"main.py": ""}, {"A": "b"}, None),
        ({"main.py": "", "time.py": "", "os/x.py": "", "mine.py": ""}, {}, None),
        ({"main.py": "", "data.zip": b"PK\x05\x06" + bytes(18)}, {}, None),
    ],
)
def test_a_cold_run_has_a_reason(
    python: Python, files: Mapping[str, str | bytes], env: dict[str, str], reason: str | None
) -> None:
    outcome = python.execute("run", files, way="warm", env=env)
    assert outcome.state is State.SUCCEEDED
    assert (outcome.warm, outcome.cold_reason) == (reason is None, reason)


@pytest.mark.parametrize("entry", ["main.py", "app/solution.py"])
def test_any_entry_is_warm(python: Python, entry: str) -> None:
    outcome = python.execute(
        "run", {entry: "import pandas\nprint(__file__)"}, entry=entry, way="warm"
    )
    assert outcome.warm
    assert outcome.stdout.data.decode() == f"/workspace/src/{entry}\n"


def test_a_cold_program_has_the_same_modules_as_a_bare_one(python: Python, tmp_path: Path) -> None:
    files = {
        "main.py": "import sys\nprint(*sorted(sys.modules))\nprint(*sorted(sys.path_importer_cache))"
    }
    bare = python.bare(files, tmp_path, str(tmp_path / "src/main.py"), *ARGS)
    said = bare.stdout.replace(str(tmp_path), "/workspace").replace(str(python.root), "/template")
    assert python.execute("run", files).stdout.data.decode() == said


def test_cold_tests_have_a_reason(python: Python) -> None:
    outcome = python.execute("test", {"queue.py": "", "test_a.py": PASSES}, way="warm")
    assert (outcome.state, outcome.warm) == (State.SUCCEEDED, False)
    assert outcome.cold_reason == "a preloaded module has the name of a submitted one: queue"
    seeded = {
        "test_a.py": "def test_a(): assert hash('a') == hash('a') and __import__('sys').flags.hash_randomization == 0"
    }
    outcome = python.execute("test", seeded, way="warm", env={"PYTHONHASHSEED": "0"})
    assert (outcome.state, outcome.warm) == (State.SUCCEEDED, False)


SPY = """
import os, sys
asked = set()
class Spy(type(os.environ)):
    def __getitem__(self, key):
        asked.add(key)
        return super().__getitem__(key)
    def __contains__(self, key):
        asked.add(key)
        return super().__contains__(key)
os.environ.__class__ = Spy
import numpy, pandas, requests
print(*sorted(map(str, asked)))
"""
# Variables that are read again after the import, or have no effect in the sandbox.
HARMLESS = {"PATH", "HOME", "TMPDIR", "PYTHONPATH", "LD_LIBRARY_PATH"}


def test_variables_that_preloaded_packages_read_at_import_go_cold(python: Python) -> None:
    """Check each variable that a preloaded package reads at import.

    A warm process would ignore such a variable.
    """
    outcome = python.execute("run", {"main.py": SPY})
    asked = set(outcome.stdout.data.decode().split())
    assert asked, outcome
    known = {
        name
        for name in asked
        if any(covers(p, name) for p in (*python.definition.variables.anew, *HARMLESS))
        or python.definition.variables.refusal(name)
    }
    assert asked - known == set()
