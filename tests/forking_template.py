"""A template with fork servers that starts in milliseconds: a small C runner and the shell."""

import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

from django.conf import settings

from tests.minimal_template import Program

HERE = Path(__file__).parent
NATIVE = HERE.parent / "templates_runtime/_fork"

DEFINITION = """format = 1
name = "{name}"
title = "Tiny"
builder = "npm"
summary = "A shell"
links = []
files = []

[run]
command = ["_fork/runner", "run"]
entry = "main.sh"

[limits.default]
wall_ms = 60000
cpu_ms = 10000
memory_bytes = 67108864
disk_bytes = 4194304
output_bytes = 65536
processes = 16

[limits.maximum]
wall_ms = 60000
cpu_ms = 10000
memory_bytes = 134217728
disk_bytes = 4194304
output_bytes = 65536
processes = 32

[fork]
modes = ["run"]
"""
CASE = 'mode = "run"\n\n[expect]\nstate = "succeeded"\nstdout = "{said}\\n"\n'


def program(source: str) -> Program:
    """Return a submission of one shell script."""
    return Program(files={"main.sh": source})


HELLO = program("echo hello")
SLEEP = program("echo begun; sleep 300")


def lay_out(home: Path, name: str, *, smoke_says: str = "smoke") -> None:
    """Write the folder of a version. Its smoke case prints "smoke" and expects `smoke_says`."""
    for folder in ("tree/_fork", "cache", "inputs/smoke/run/src"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    shutil.copy(_runner(), home / "tree/_fork/runner")
    (home / "inputs/template.toml").write_text(DEFINITION.format(name=name))
    (home / "inputs/smoke/run/case.toml").write_text(CASE.format(said=smoke_says))
    (home / "inputs/smoke/run/src/main.sh").write_text("echo smoke")


def _runner() -> Path:
    """Return the compiled runner; compile it once for each state of its sources."""
    sources = [HERE / "forking_runner.c", NATIVE / "isolate.c"]
    read = [path.read_bytes() for path in (*sources, NATIVE / "system.h")]
    program = Path(settings.STENCIL_DATA) / f"runner-{sha256(b''.join(read)).hexdigest()[:12]}"
    if not program.exists():
        made = program.with_suffix(".new")
        flags = ["-O2", "-static", "-fno-stack-protector"]
        subprocess.run(["gcc", *flags, "-o", made, *sources], check=True)
        made.rename(program)
    return program
