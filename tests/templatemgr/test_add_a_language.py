"""Test that the steps of docs/how-to/add-a-language.md make a working template."""

import re
import shutil
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command

from sandbox.session.sessions import SourceFile, Submission, execute
from templatemgr import catalog, data_paths, version_runtimes

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/how-to/add-a-language.md"
FILE = re.compile(r"^`([\w./-]+)`[^\n]*\n\n```\w*\n(.*?)```$", re.M | re.S)
COMMAND = re.compile(r"^\.venv/bin/python manage\.py (.+)$", re.M)


def write_what_the_page_says(folder: Path) -> None:
    """Write each file that the page shows under a name."""
    for name, text in FILE.findall(PAGE.read_text()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.usefixtures("committed")
def test_the_page_makes_a_language(data_dir: Path) -> None:
    folder = Path(settings.STENCIL_DEFINITIONS) / "lua"
    write_what_the_page_says(folder)
    [command] = COMMAND.findall(PAGE.read_text())
    call_command(*command.split())
    current = catalog.resolve(reference="lua")
    assert {package["name"] for package in current.packages} == {"lupa", "python"}

    kept = data_paths.version(current) / "inputs/requirements.lock"
    shutil.copyfile(kept, folder / "requirements.lock")
    call_command("build_template", "lua")
    assert catalog.resolve(reference="lua") == current

    runtime = version_runtimes.runtime_of(current)
    source = SourceFile(path="main.lua", content=b"print(6 * 7)")
    outcome = execute(
        runtime.tree("run"),
        Submission(mode="run", files=(source,), entry=runtime.entry),
        runtime.default,
    )
    assert outcome.stdout.data == b"42\n"
