"""Are the lockfiles fresh, hashed and free of any registry's host? `--write` resolves them anew.

Fresh means: resolving `pyproject.toml` again, with the lock as the preference, gives the same
text. Host-free means: whoever installs decides where packages come from; we only say which.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON_LOCKS = {"run.lock": [], "dev.lock": ["--group", "dev"]}
HOST = re.compile(r'https?://|"resolved"|--(extra-)?index-url|--find-links')


def resolve(name: str, target: Path) -> None:
    """Write the lock `name` to `target`, keeping what is already locked there where it fits."""
    command = [
        *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal"),
        *("--generate-hashes", "--no-emit-index-url", "--no-emit-find-links", "--no-header"),
        *("--python-version", "3.12", *PYTHON_LOCKS[name]),
        *("pyproject.toml", "--output-file", str(target)),
    ]
    subprocess.run(command, cwd=ROOT, check=True, timeout=300)


def stale(name: str) -> bool:
    """Would resolving again, with the committed lock as preference, change it?"""
    committed = ROOT / "requirements" / name
    with tempfile.TemporaryDirectory() as folder:
        again = Path(folder) / name
        shutil.copy(committed, again)
        resolve(name, again)
        return packages(again) != packages(committed)


def packages(lock: Path) -> list[str]:
    """Return the lines of a lock that decide what is installed: pins, markers and hashes."""
    lines = lock.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def hosts(lock: Path) -> list[str]:
    """Return the places in a lock that name a registry's host, as `file: what`."""
    name, text = lock.relative_to(ROOT), lock.read_text(encoding="utf-8")
    if lock.suffix != ".json":
        return [f"{name}: {line.strip()[:120]}" for line in text.splitlines() if HOST.search(line)]
    found = []
    for place, package in json.loads(text)["packages"].items():
        # The page where a package asks for money is its own and names no registry.
        said = json.dumps({key: value for key, value in package.items() if key != "funding"})
        if HOST.search(said):
            found.append(f"{name}: {place}")
    return found


def main() -> int:
    """Check, or with `--write` renew, and say what is wrong with its remedy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="resolve and write the locks")
    if parser.parse_args().write:
        for name in PYTHON_LOCKS:
            resolve(name, ROOT / "requirements" / name)
    problems = [f"requirements/{n} is stale: run make lock" for n in PYTHON_LOCKS if stale(n)]
    locks = [*(ROOT / "requirements").glob("*.lock")]
    locks += [*(ROOT / "templates_runtime").glob("*/package-lock.json")]
    locks += [*(ROOT / "tests/sandbox/toolchains").glob("*lock*")]
    for lock in locks:
        problems += hosts(lock)
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(f"{len(locks)} lockfiles are fresh and name no host")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
