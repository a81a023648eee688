"""Which template's matrix has passed for exactly what is here now.

A matrix runs a hundred submissions or so in a template's tree, bare, cold and warm: minutes. Its
outcome hangs on the definition with all that it includes, on the sandbox, on the builders, on the
tests themselves, on what is locked for us, and on the interpreter and processor. `passed.json`
holds, for each template, one hash over all of that, written when everything in it had passed.
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
# Besides the definition: all that a matrix runs through, by glob.
AROUND = (
    "sandbox/**/*.py",
    "templatemgr/builders/**/*.py",
    "templatemgr/definitions/**/*.py",
    "tests/runtime/**/*.py",
    "requirements/*.lock",
)


def names(root: Path = ROOT) -> list[str]:
    """Every template that there is a definition of."""
    return source_files.list_definitions(root / "templates_runtime")


# Decision 0010: a matrix that has passed with exactly this tree is left out.
def fingerprint(name: str, root: Path = ROOT) -> str:
    """A hash over everything that the outcome of a template's matrix hangs on."""
    total = sha256(f"{sys.version_info[:2]} {platform.machine()}\n".encode())
    total.update(source_files.digest(root / "templates_runtime" / name).encode())
    for path in sorted({path for pattern in AROUND for path in root.glob(pattern)}):
        content = sha256(path.read_bytes()).hexdigest()
        total.update(f"{path.relative_to(root).as_posix()} {content}\n".encode())
    return total.hexdigest()


def unchanged(root: Path = ROOT, passed: Path = PASSED) -> set[str]:
    """The templates whose matrix has passed with what is here now."""
    try:
        known = json.loads(passed.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return set()
    return {name for name, found in fingerprints(root).items() if known.get(name) == found}


def fingerprints(root: Path = ROOT) -> dict[str, str]:
    """That of every template."""
    return {name: fingerprint(name, root) for name in names(root)}


def remember(passed: dict[str, str]) -> None:
    """Write down that every matrix has passed with these."""
    PASSED.write_text(json.dumps(passed, indent=1) + "\n", encoding="utf-8")


def of(item: pytest.Item) -> str | None:
    """The template whose tree a test asks for; None for a test that needs none."""
    asked = getattr(item, "fixturenames", [])
    known = names()
    if (found := next((name for name in known if name in asked), None)) is not None:
        return found
    wanted = getattr(getattr(item, "callspec", None), "params", {}).get("name")
    return wanted if "request" in asked and wanted in known else None
