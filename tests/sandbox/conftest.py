"""Fixtures: run small programs and test files in a real sandbox."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.session.outcome import Outcome
from sandbox.session.sessions import execute
from tests.sandbox.node_tree import build_tree, program, suite, tree_for, with_limits

Run = Callable[..., Outcome]


@pytest.fixture(scope="session")
def tree_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture
def run(tree_root: Path) -> Run:
    """Run a program and return its outcome: run("code", wall_ms=…, stdin=b"…")."""

    def go(code: str, *, stdin: bytes = b"", args: tuple[str, ...] = (), **limits: int) -> Outcome:
        submission = program(code, stdin=stdin, args=args)
        return execute(tree_for(tree_root, "run"), submission, with_limits(**limits))

    return go


@pytest.fixture
def run_tests(tree_root: Path) -> Run:
    """Run test files and return their outcome: run_tests({"a.test.mjs": "code"})."""

    def go(files: dict[str, str], **limits: int) -> Outcome:
        return execute(tree_for(tree_root, "test"), suite(files), with_limits(**limits))

    return go
