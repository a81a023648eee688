"""Find the templates whose test matrix has already passed with the current files.

A matrix runs about a hundred submissions in the tree of a template: bare, cold and warm. This takes
minutes. The result depends on the definition and the files that it includes, the sandbox, the
builders, the tests, the lock files, the version of Python and the processor. `passed.json` holds
one hash over these inputs per template. It is written after all tests of the matrix have passed.
"""

import json
import platform
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from templatemgr.definitions import source_files

ROOT = Path(__file__).resolve().parents[2]
PASSED = Path(__file__).with_name("passed.json")
# Glob patterns of the files besides the definition that affect the result of a matrix.
AROUND = (
    "sandbox/**/*.py",
    "templatemgr/builders/**/*.py",
    "templatemgr/definitions/**/*.py",
    "tests/runtime/**/*.py",
    "requirements/*.lock",
)


def names(root: Path = ROOT) -> list[str]:
    """Return the name of every template that has a definition."""
    return source_files.list_definitions(root / "templates_runtime")


# Decision 0010: skip a matrix that has passed with the same files.
def fingerprint(name: str, root: Path = ROOT) -> str:
    """Return a hash over all inputs of the matrix of a template."""
    total = sha256(f"{sys.version_info[:2]} {platform.machine()}\n".encode())
    total.update(source_files.digest(root / "templates_runtime" / name).encode())
    for path in sorted({path for pattern in AROUND for path in root.glob(pattern)}):
        content = sha256(path.read_bytes()).hexdigest()
        total.update(f"{path.relative_to(root).as_posix()} {content}\n".encode())
    return total.hexdigest()


def unchanged(root: Path = ROOT, passed: Path = PASSED) -> set[str]:
    """Return the templates whose matrix has passed with the current files."""
    try:
        known = json.loads(passed.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return set()
    return {name for name, found in fingerprints(root).items() if known.get(name) == found}


def fingerprints(root: Path = ROOT) -> dict[str, str]:
    """Return the fingerprint of every template by name."""
    return {name: fingerprint(name, root) for name in names(root)}


def remember(passed: dict[str, str]) -> None:
    """Write the fingerprints with which every matrix has passed to `passed.json`."""
    PASSED.write_text(json.dumps(passed, indent=1) + "\n", encoding="utf-8")


def of(item: pytest.Item) -> str | None:
    """Return the template whose tree a test uses; None for a test that uses none."""
    asked = getattr(item, "fixturenames", [])
    known = names()
    if (found := next((name for name in known if name in asked), None)) is not None:
        return found
    wanted = getattr(getattr(item, "callspec", None), "params", {}).get("name")
    return wanted if "request" in asked and wanted in known else None
