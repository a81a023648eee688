"""The cost of versions: a verification, and the disk space of many."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.installation import Installation
from benchmarks.measures import Size, pairs
from benchmarks.table import Row, share
from templatemgr import store
from templatemgr.trees import hashing, manifests

VERSIONS = 10
BATCH = "64"  # files a `sha256sum`: with all of them in one, xargs would use one core


def every(installation: Installation, size: Size) -> Iterator[Row]:
    """Yield all rows."""
    yield from verification(installation.version, size)
    yield disk(installation.version, installation.data)


def verification(version: Path, size: Size) -> Iterator[Row]:
    """Measure the verification of a version beside plain reading."""
    other = partial(_hashed_by_tools, version / "tree")
    name = f"`find -type f | xargs -P{_cores()} -n {BATCH} sha256sum`"
    samples = pairs(size.samples, partial(_compared, version, hashing.look_at_all), other)
    yield share(f"verifying a version beside {name}", *samples, most=1.0)
    samples = pairs(size.samples, partial(_compared, version, _apart), other)
    row = share("the same in the executor's process of its own, idle", *samples, most=0)
    yield replace(row, must="–", holds=None)


def disk(version: Path, data: Path) -> Row:
    """Measure the disk space of ten versions that differ in one small package, beside one."""
    with tempfile.TemporaryDirectory(dir=data, prefix="bench-") as folder:
        root = Path(folder)
        _seal_another(version, root, 0)
        one = _used(root)
        for number in range(1, VERSIONS):
            _seal_another(version, root, number)
        ten = _used(root)
        for path in root.iterdir():
            store.remove(path)
    ratio = ten / one
    return Row(
        measure=f"disk of {VERSIONS} versions that differ in one small package, beside one",
        ours=f"{ten / 2**20:.0f} MiB",
        other=f"{one / 2**20:.0f} MiB",
        ratio=f"{ratio:.2f}",
        must="≤ 1.2×",
        holds=ratio <= 1.2,
    )


def _compared(version: Path, hasher: hashing.Hasher) -> float:
    manifest = manifests.load((version / "manifest.json.gz").read_bytes())
    began = time.perf_counter()
    problems = manifests.compare(manifest, version / "tree", None, hasher)
    took = (time.perf_counter() - began) * 1000
    if problems:
        raise RuntimeError(f"the version is not whole: {problems[0]}")
    return took


def _apart(root: Path, paths: Sequence[str]) -> dict[str, str]:
    return hashing.hash_apart(
        root, paths, busy=lambda: False, stop=lambda: False, on_file=lambda _: None
    )


def _hashed_by_tools(tree: Path) -> float:
    began = time.perf_counter()
    with subprocess.Popen(
        ["find", str(tree), "-type", "f", "-print0"], stdout=subprocess.PIPE
    ) as find:
        subprocess.run(
            ["xargs", "-0", f"-P{_cores()}", "-n", BATCH, "sha256sum"],
            stdin=find.stdout,
            stdout=subprocess.DEVNULL,
            check=True,
        )
    return (time.perf_counter() - began) * 1000


def _seal_another(version: Path, root: Path, number: int) -> None:
    """Seal a fresh copy of a real tree in which one small package differs."""
    home = root / f"{number:04d}"
    shutil.copytree(version, home, symlinks=True)
    for path in (home, *(folder for folder in home.rglob("*") if folder.is_dir())):
        if not path.is_symlink():
            path.chmod(0o755)
    package = min(
        (home / "tree/node_modules").glob("*/package.json"), key=lambda path: path.stat().st_size
    )
    text = package.read_text()
    package.unlink()
    package.write_text(f"{text}\n{' ' * number}")
    sealed = store.seal(home / "tree", root / "objects")
    (home / "manifest.json.gz").unlink()
    (home / "manifest.json.gz").write_bytes(manifests.dump(sealed.manifest))


def _used(root: Path) -> int:
    """Return the bytes on disk; hard links count once."""
    text = subprocess.run(["du", "-sk", str(root)], capture_output=True, text=True, check=True)
    return int(text.stdout.split()[0]) * 1024


def _cores() -> int:
    return len(os.sched_getaffinity(0))
