"""Test features of the Python template that bare tools lack: output per test, reasons, settings."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from sandbox.session.outcome import Outcome, State
from sandbox.session.runner_messages import TestCase
from sandbox.session.variables import covers
from tests.runtime.python_runs import ARGS, Python

PASSES = "def test_a(): pass\n"


def cases(outcome: Outcome) -> Mapping[str, TestCase]:
    assert outcome.report is not None, outcome
    return {case.name: case for case in outcome.report.cases}


PRINTS = {
    "test_a.py": """
import os, pytest, subprocess, sys

@pytest.fixture
def noisy():
    print("set up")
    yield
    print("torn down", file=sys.stderr)
    print("down")

def test_a(noisy):
    print("call é")
    os.write(1, b"raw\\n")
    subprocess.run([sys.executable, "-c", "print('child')"])

def test_silent(): pass

def test_much():
    print("x" * 70_000, end="")
    sys.stderr.write("ü" * 40_000)

def test_subtests(subtests):
    print("before")
    with subtests.test("one"):
        print("within")
    print("after")

def test_read(capsys):
    print("kept")
    assert capsys.readouterr().out == "kept\\n"
    assert 0
"""
}


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_each_test_has_its_own_output(python: Python, warm: bool) -> None:
    outcome = python.execute("test", PRINTS, warm=warm)
    found = cases(outcome)
    first = found["test_a"]
    assert first.stdout == "set up\ncall é\nraw\nchild\ndown\n"
    assert first.stderr == "torn down\n"
    assert (found["test_silent"].stdout, found["test_silent"].truncated) == ("", False)
    much = found["test_much"]
    assert (len(much.stdout), much.stderr, much.truncated) == (65_536, "ü" * 32_768, True)
    assert sorted(found["test_subtests"].stdout.split()) == ["after", "before", "within"]
    assert (found["test_read"].stdout, found["test_read"].state) == ("", "failed")


def test_the_streams_of_the_run_have_all_of_it_in_order(python: Python) -> None:
    files = {
        "conftest.py": "print('conftest')",
        "test_a.py": "print('module')\ndef test_a(): print('a')\ndef test_b():\n    print('b')\n    assert 0",
    }
    outcome = python.execute("test", files)
    assert outcome.stdout.data == b"conftest\nmodule\na\nb\n"
    assert outcome.stderr.data == b""


def test_all_tests_together_keep_two_megabytes(python: Python) -> None:
    source = "import pytest\n@pytest.mark.parametrize('n', range(40))\ndef test_a(n): print('x' * 65_000)"
    outcome = python.execute("test", {"test_a.py": source})
    assert outcome.state is State.OUTPUT_LIMIT or outcome.report is not None
    quiet = "import pytest\n@pytest.mark.parametrize('n', range(40))\ndef test_a(n): print('x' * 20_000)"
    found = cases(python.execute("test", {"test_a.py": quiet}))
    assert sum(len(case.stdout) for case in found.values()) == 40 * 20_001


READS = {"test_a.py": "def test_a():\n    assert input() == 'Ada'"}
ABOVE = {"calc.py": "v = 1", "tests/unit/test_a.py": "import calc\n" + PASSES}


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize(
    ("files", "setting", "status"), [(READS, "STDIN", 1), (ABOVE, "ROOT", 2)], ids=["stdin", "root"]
)
def test_a_definition_chooses_the_other_rule(
    python: Python, files: Mapping[str, str], setting: str, status: int, warm: bool
) -> None:
    outcome = python.execute("test", files, warm=warm)
    assert (outcome.state, outcome.exit_code) == (State.FAILED, status)
    settings = {f"STENCIL_TEST_{setting}": "1"}
    outcome = python.execute("test", files, warm=warm, settings=settings)
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
def test_it_goes_cold_and_says_why(
    python: Python, files: Mapping[str, str | bytes], env: dict[str, str], reason: str | None
) -> None:
    outcome = python.execute("run", files, warm=True, env=env)
    assert outcome.state is State.SUCCEEDED
    assert (outcome.warm, outcome.cold_reason) == (reason is None, reason)


@pytest.mark.parametrize("entry", ["main.py", "app/solution.py"])
def test_any_entry_is_warm(python: Python, entry: str) -> None:
    outcome = python.execute(
        "run", {entry: "import pandas\nprint(__file__)"}, entry=entry, warm=True
    )
    assert outcome.warm
    assert outcome.stdout.data.decode() == f"/workspace/src/{entry}\n"


def test_a_cold_program_finds_the_modules_of_a_bare_one(python: Python, tmp_path: Path) -> None:
    files = {
        "main.py": "import sys\nprint(*sorted(sys.modules))\nprint(*sorted(sys.path_importer_cache))"
    }
    bare = python.bare(files, tmp_path, str(tmp_path / "src/main.py"), *ARGS)
    said = bare.stdout.replace(str(tmp_path), "/workspace").replace(str(python.root), "/template")
    assert python.execute("run", files).stdout.data.decode() == said


def test_tests_go_cold_and_say_why(python: Python) -> None:
    outcome = python.execute("test", {"queue.py": "", "test_a.py": PASSES}, warm=True)
    assert (outcome.state, outcome.warm) == (State.SUCCEEDED, False)
    assert outcome.cold_reason == "a preloaded module has the name of a submitted one: queue"
    seeded = {
        "test_a.py": "def test_a(): assert hash('a') == hash('a') and __import__('sys').flags.hash_randomization == 0"
    }
    outcome = python.execute("test", seeded, warm=True, env={"PYTHONHASHSEED": "0"})
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


def test_what_preloaded_packages_read_at_import_goes_cold(python: Python) -> None:
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
