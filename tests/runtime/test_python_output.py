"""Test the output per test and of the whole run in the Python template."""

from collections.abc import Mapping

import pytest

from sandbox.session.outcome import Outcome, State
from sandbox.session.runner_messages import TestCase
from tests.runtime.python_runs import WAYS, Python, Way


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


@pytest.mark.parametrize("way", WAYS)
def test_each_test_has_its_own_output(python: Python, way: Way) -> None:
    outcome = python.execute("test", PRINTS, way=way)
    found = cases(outcome)
    first = found["test_a"]
    assert first.stdout == "set up\ncall é\nraw\nchild\ndown\n"
    assert first.stderr == "torn down\n"
    assert (found["test_silent"].stdout, found["test_silent"].truncated) == ("", False)
    much = found["test_much"]
    assert (len(much.stdout), much.stderr, much.truncated) == (65_536, "ü" * 32_768, True)
    assert sorted(found["test_subtests"].stdout.split()) == ["after", "before", "within"]
    assert (found["test_read"].stdout, found["test_read"].state) == ("", "failed")


def test_the_streams_of_the_run_have_all_output_in_order(python: Python) -> None:
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
