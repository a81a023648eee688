"""Test which changes make `--matrix=changed` run the matrix of a template."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.runtime import matrix

KEPT = (
    "benchmarks",
    "core",
    "execapp",
    "requirements",
    "sandbox",
    "templatemgr",
    "templates_runtime",
    "tests",
    "webui",
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a copy of the checkout where every matrix has passed."""
    root = tmp_path / "checkout"
    for name in KEPT:
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    write_down(root)
    return root


def write_down(root: Path) -> None:
    (root / "tests/runtime/passed.json").write_text(json.dumps(matrix.fingerprints(root)))


def unchanged(root: Path) -> set[str]:
    return matrix.unchanged(root, root / "tests/runtime/passed.json")


def run(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run pytest over the matrices of that checkout."""
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    return subprocess.run(argv, cwd=root, capture_output=True, text=True, timeout=120, check=False)


def test_a_passed_matrix_is_unchanged(checkout: Path) -> None:
    assert unchanged(checkout) == {"javascript", "python", "typescript"}


@pytest.mark.parametrize(
    ("path", "left"),
    [
        ("templates_runtime/python/template.toml", {"javascript", "typescript"}),
        ("templates_runtime/python/runner/stencil.pth", {"javascript", "typescript"}),
        ("templates_runtime/typescript/package-lock.json", {"javascript", "python"}),
        ("templates_runtime/_node/pool.mjs", {"python"}),
        ("sandbox/isolation/seccomp.py", set()),
        ("templatemgr/builders/npm/npm_builder.py", set()),
        ("tests/runtime/vitest_submissions.py", set()),
        ("requirements/run.lock", set()),
        ("templatemgr/models/jobs.py", {"javascript", "python", "typescript"}),
    ],
)
def test_a_change_runs_the_dependent_matrices(checkout: Path, path: str, left: set[str]) -> None:
    with (checkout / path).open("a") as file:
        file.write("\n# changed\n")
    assert unchanged(checkout) == left


def test_a_new_module_of_the_sandbox_runs_everything(checkout: Path) -> None:
    (checkout / "sandbox/more.py").write_text("")
    assert unchanged(checkout) == set()


def test_a_new_template_is_run(checkout: Path) -> None:
    shutil.copytree(checkout / "templates_runtime/python", checkout / "templates_runtime/snake")
    assert "snake" not in unchanged(checkout)


def test_nothing_is_left_out_where_nothing_was_written_down(tmp_path: Path) -> None:
    assert matrix.unchanged(ROOT, tmp_path / "passed.json") == set()


def test_skipped_matrices_are_reported_and_no_others_are_skipped(checkout: Path) -> None:
    everything = run(checkout, "tests/runtime", "--collect-only").stdout
    left = run(checkout, "tests/runtime", "--collect-only", "--matrix=changed").stdout
    tests = [line for line in left.splitlines() if "::" in line]
    assert {test.partition("::")[0] for test in tests} == {
        "tests/runtime/test_node_definitions.py",
        "tests/runtime/test_node_programs.py",  # counts the programs, which needs no tool
    }
    assert not [test for test in tests if "smoke_cases_end" in test]
    for name in ("javascript", "python", "typescript"):
        assert f"matrix of {name}: " not in everything
        assert f"matrix of {name}: " in left

    (checkout / "templates_runtime/javascript/package.json").write_text("{}")
    some = run(checkout, "tests/runtime", "--collect-only", "--matrix=changed").stdout
    assert "matrix of javascript: " not in some
    assert "tests/runtime/test_javascript_template.py::" in some
    assert "tests/runtime/test_python_template.py::" not in some


@pytest.mark.parametrize(
    ("second", "options", "written"),
    [
        ("def test_b(): pass", ["tests"], True),
        ("def test_b(): pass", ["tests/runtime"], True),
        ("def test_b(): assert 0", ["tests"], False),
        ("def test_b(): pass", ["tests/runtime/test_a.py"], False),
        ("def test_b(): pass", ["tests", "-k", "test_a"], False),
        ("def test_b(): pass", ["tests/runtime", "--deselect=tests/runtime/test_b.py"], False),
        (
            "def test_b(): pass",
            ["tests/runtime/test_a.py", "tests/runtime/test_b.py::test_b"],
            False,
        ),
    ],
)
def test_only_a_whole_run_without_a_failure_is_written_down(
    checkout: Path, second: str, options: list[str], written: bool
) -> None:
    for place in (checkout / "tests", checkout / "tests/runtime"):
        for file in place.glob("**/test_*.py"):
            file.unlink()
    (checkout / "tests/runtime/test_a.py").write_text("def test_a(): pass\n")
    (checkout / "tests/runtime/test_b.py").write_text(second + "\n")
    (checkout / "tests/runtime/passed.json").unlink()
    done = run(checkout, *options, "--remember-matrix")
    assert (checkout / "tests/runtime/passed.json").exists() is written, done
