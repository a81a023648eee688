"""Compare the built Python template, cold and warm, with bare Python and bare pytest."""

import re
import tempfile
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import pytest

from sandbox.limits import Limits
from sandbox.session.outcome import Outcome, State
from sandbox.session.runner_messages import TestCase
from tests.runtime.python_cases import Case
from tests.runtime.python_introspection import HIDDEN, SOURCES
from tests.runtime.python_module_names import NAMES, VARIABLES
from tests.runtime.python_runs import ARGS, WAYS, Python, Way
from tests.runtime.python_shutdown import FINALIZATIONS
from tests.runtime.python_submissions import RUNS, TESTS
from tests.runtime.python_suites import SUITES

RUN_CASES = {name: Case(files=files) for name, files in RUNS.items()} | {
    f"{kind}, {name}": case
    for kind, cases in (
        ("end", FINALIZATIONS),
        ("hidden", HIDDEN),
        ("source", SOURCES),
        ("name", NAMES),
        ("set", VARIABLES),
    )
    for name, case in cases.items()
}


@cache
def bare_run(python: Python, name: str) -> tuple[int, str, str]:
    """Run a case with the interpreter of the tree; return the status and both streams."""
    case = RUN_CASES[name]
    with tempfile.TemporaryDirectory() as folder:
        entry = f"{folder}/src/{case.entry}"
        ended = python.bare(case.files, Path(folder), entry, *ARGS, env=case.env)
        there = {folder: "/workspace", str(python.root): "/template"}
    return ended.returncode, translated(ended.stdout, there), translated(ended.stderr, there)


@pytest.mark.parametrize("name", RUN_CASES)
@pytest.mark.parametrize("way", WAYS)
def test_a_program_ends_as_with_bare_python(python: Python, name: str, way: Way) -> None:
    status, stdout, stderr = bare_run(python, name)
    case = RUN_CASES[name]
    outcome = python.execute("run", case.files, way=way, env=case.env, entry=case.entry)
    if status < 0:
        assert (outcome.state, outcome.exit_code) == (State.CRASHED, None)
    else:
        assert outcome.exit_code == status, outcome
        assert outcome.state is (State.FAILED if status else State.SUCCEEDED)
    assert placeless(outcome.stdout.data.decode()) == placeless(stdout)
    assert placeless(outcome.stderr.data.decode()) == placeless(stderr)


def placeless(text: str) -> str:
    """Remove the addresses of objects from a text."""
    return re.sub(r"0x[0-9a-f]+", "0x", text)


def translated(text: str, places: Mapping[str, str]) -> str:
    for place, name in places.items():
        text = text.replace(place, name)
    return text


TEST_CASES = {**TESTS, **{f"corner, {name}": files for name, files in SUITES.items()}}


@cache
def bare_test(python: Python, name: str) -> tuple[int, list[tuple[str, str]], str]:
    """Run a suite with the pytest of the tree; return status, reported tests and output."""
    with tempfile.TemporaryDirectory() as folder:
        options = ("--junitxml=report.xml", "src")
        bare = python.bare(TEST_CASES[name], Path(folder), "-m", "pytest", *options)
        report = Path(folder, "report.xml")
        return bare.returncode, junit(report) if report.exists() else [], bare.stdout


@pytest.mark.parametrize("name", TEST_CASES)
@pytest.mark.parametrize("way", WAYS)
def test_a_suite_ends_as_with_bare_pytest(python: Python, name: str, way: Way) -> None:
    status, said, shown = bare_test(python, name)
    outcome = python.execute("test", TEST_CASES[name], way=way)
    assert outcome.exit_code == status, (outcome, shown)
    assert outcome.state is (State.FAILED if status else State.SUCCEEDED)
    assert outcome.report is not None
    assert outcome.report.complete
    assert "The report says" not in (outcome.message or ""), outcome.message
    seen = sorted((case.name.rpartition(" > ")[2], case.state) for case in outcome.report.cases)
    if "subtest" in name:  # pytest's report lists a subtest as a test, its last line does not
        passed = re.search(r"(\d+) passed", shown.splitlines()[-1])
        if "SUBFAILED" not in shown:  # pytest counts a test with a failed subtest as passed
            assert outcome.report.passed == (int(passed[1]) if passed else 0)
    else:
        assert seen == said
    assert outcome.stderr.data == b""
    assert re.sub(r"seen\n|torn down\n", "", outcome.stdout.data.decode()) == ""


def junit(report: Path) -> list[tuple[str, str]]:
    """Return the tests in a JUnit report of pytest, without the files that could not be loaded."""
    found: dict[tuple[str, str], str] = {}
    states = {"failure": "failed", "error": "failed", "skipped": "skipped"}
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 - written by pytest here
        name = case.get("name", "")
        kinds = [states[child.tag] for child in case if child.tag in states]
        loading = any(child.get("message") == "collection failure" for child in case)
        place = case.get("classname") or ""
        # The entry that pytest.exit leaves in the report has no name.
        if loading or not name or (place, name) == ("pytest", "internal"):
            continue
        if not place:  # the entry of a module that skipped itself
            name = name.split(".")[-1] + ".py"
        state = "failed" if "failed" in kinds else "skipped" if kinds else "passed"
        if found.get((place, name)) != "failed":
            found[place, name] = state
    return sorted((name, state) for (_, name), state in found.items())


def cases(outcome: Outcome) -> dict[str, TestCase]:
    assert outcome.report is not None
    return {case.name: case for case in outcome.report.cases}


def test_a_failure_has_file_line_and_message(python: Python) -> None:
    files = {
        "conftest.py": "",  # pytest adds its folder to sys.path
        "deep/test_a.py": "from helper import check\n\n\nclass TestX:\n    def test_y(self):\n"
        "        check([1])\n",
        "helper.py": "def check(x):\n    assert x == [2]\n",
        "deep/test_b.py": "def test_z():\n    value = 1 + 1\n    assert value == 3\n",
    }
    found = cases(python.execute("test", files))
    first, second = found["TestX > test_y"], found["test_z"]
    assert (first.file, first.line, first.state) == ("deep/test_a.py", 6, "failed")
    assert (second.file, second.line, second.message) == ("deep/test_b.py", 3, "assert 2 == 3")
    assert second.duration_ms is not None


def test_a_file_that_does_not_load_is_an_error(python: Python) -> None:
    files = {"test_a.py": "import nothing_like_it\n", "sub/test_b.py": "def test_b(): pass\n"}
    report = python.execute("test", files).report
    assert report is not None
    assert [error.file for error in report.errors] == ["test_a.py"]
    assert "ModuleNotFoundError: No module named 'nothing_like_it'" in report.errors[0].message


def test_skip_reasons_are_reported(python: Python) -> None:
    found = cases(python.execute("test", TESTS["skipped"]))
    assert [found[f"test_{x}"].message for x in "abc"] == ["r", "q", "inside"]


def test_another_pattern_and_another_entry_are_used(python: Python) -> None:
    files = {"check_it.py": "def test_a(): pass\n", "test_not.py": "def test_b(): assert 0\n"}
    assert list(cases(python.execute("test", files, pattern="check_*.py"))) == ["test_a"]
    outcome = python.execute(
        "run",
        {"app/go.py": "import near\nprint(near.x)", "app/near.py": "x = 1"},
        entry="app/go.py",
    )
    assert outcome.stdout.data == b"1\n"


def test_tests_before_a_time_out_are_kept(python: Python) -> None:
    files = {"test_a.py": "def test_a(): pass\ndef test_b():\n    while True: pass\n"}
    limits = Limits(wall_ms=1500, memory_bytes=python.definition.default.memory_bytes)
    outcome = python.execute("test", files, limits=limits)
    assert outcome.state is State.TIMED_OUT
    assert [case.name for case in cases(outcome).values()] == ["test_a"]


def test_a_message_forged_by_a_test_is_not_believed(python: Python) -> None:
    body = (
        "import os\ndef test_a():\n    os.write(3, b'"
        '{"type":"result","errors":[],"exit_code":0}\\n'
        "')\n    os._exit(0)\n"
    )
    assert python.execute("test", {"test_a.py": body}).state is State.FAILED


def test_packages_are_preloaded_only_in_warm_sandboxes(python: Python) -> None:
    names = "sorted({'numpy', 'pandas', 'requests'} & set(sys.modules))"
    files = {"main.py": f"import sys\nprint({names})"}
    assert python.execute("run", files).stdout.data == b"[]\n"
    assert (
        python.execute("run", files, way="warm").stdout.data == b"['numpy', 'pandas', 'requests']\n"
    )


@pytest.mark.parametrize("mode", ["run", "test"])
def test_a_submission_does_not_see_the_variables_of_the_runner(python: Python, mode: str) -> None:
    look = "import os\nfound = [name for name in os.environ if name.startswith('STENCIL')]\n"
    files = {
        "main.py": f"{look}assert found == []",
        "test_a.py": f"{look}def test_a(): assert found == []",
    }
    for way in WAYS:
        assert python.execute(mode, files, way=way).state is State.SUCCEEDED


def test_a_variable_of_the_submission_reaches_the_settings_of_pytest(python: Python) -> None:
    files = {"test_a.py": "def test_a(): assert 0\ndef test_b(): pass\n"}
    for way in WAYS:
        outcome = python.execute("test", files, way=way, env={"PYTEST_ADDOPTS": "-x"})
        assert list(cases(outcome)) == ["test_a"]


def test_importing_a_preloaded_package_is_faster_than_bare(python: Python) -> None:
    files = {"main.py": "import pandas\nprint(pandas.Series([1, 2]).sum())"}
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        python.bare(files, Path(folder), "src/main.py")
        bare = (time.monotonic() - began) * 1000
    outcome = python.execute("run", files, way="warm")
    assert outcome.stdout.data == b"3\n"
    assert outcome.run_ms * 5 < bare
