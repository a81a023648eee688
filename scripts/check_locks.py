"""Check that the lockfiles are fresh, hashed and name no registry's host; `--write` renews them.

Fresh means: resolving `pyproject.toml` again, with the lock as the preference, gives the same
text. No host, because the installing machine decides from which registry packages come.
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
    """Write the lock `name` to `target`; keep the versions locked there if they still fit."""
    command = [
        *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal"),
        *("--generate-hashes", "--no-emit-index-url", "--no-emit-find-links", "--no-header"),
        *("--python-version", "3.12", *PYTHON_LOCKS[name]),
        *("pyproject.toml", "--output-file", str(target)),
    ]
    subprocess.run(command, cwd=ROOT, check=True, timeout=300)


def stale(name: str) -> bool:
    """Return whether resolving again, with the committed lock as preference, changes the lock."""
    committed = ROOT / "requirements" / name
    with tempfile.TemporaryDirectory() as folder:
        again = Path(folder) / name
        shutil.copy(committed, again)
        resolve(name, again)
        return packages(again) != packages(committed)


def packages(lock: Path) -> list[str]:
    """Return the lines of a lock that determine an installation: pins, markers and hashes."""
    lines = lock.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def hosts(lock: Path) -> list[str]:
    """Return the places in a lock that name a registry's host, as `file: what`."""
    name, text = lock.relative_to(ROOT), lock.read_text(encoding="utf-8")
    if lock.suffix != ".json":
        return [f"{name}: {line.strip()[:120]}" for line in text.splitlines() if HOST.search(line)]
    found = []
    for place, package in json.loads(text)["packages"].items():
        # The page for donations to a package is its own address, not that of a registry.
        said = json.dumps({key: value for key, value in package.items() if key != "funding"})
        if HOST.search(said):
            found.append(f"{name}: {place}")
    return found


def main() -> int:
    """Check the lockfiles, or renew them with `--write`; print each fault with its remedy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="resolve and write the locks")
    if parser.parse_args().write:
        for name in PYTHON_LOCKS:
            resolve(name, ROOT / "requirements" / name)
    problems = [f"requirements/{n} is stale: run make lock" for n in PYTHON_LOCKS if stale(n)]
    locks = [*(ROOT / "requirements").glob("*.lock")]
    locks += [*(ROOT / "templates_runtime").glob("*/package-lock.json")]
    locks += [*(ROOT / "tests/sandbox/toolchains").glob("*lock*")]
    locks += [*(ROOT / "tests/execapp").glob("**/package-lock.json")]
    for lock in locks:
        problems += hosts(lock)
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(f"{len(locks)} lockfiles are fresh and name no host")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
