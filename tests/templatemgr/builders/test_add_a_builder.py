"""Test that the code of docs/how-to/add-a-builder.md is a working builder."""

import re
from pathlib import Path
from types import ModuleType

import pytest

from templatemgr.builders import registry
from templatemgr.builders.base import Builder, Job
from templatemgr.definitions import definition_file, source_files
from templatemgr.store import copy
from tests.conftest import ROOT
from tests.tiny_definition import write_definition

PAGE = ROOT / "docs/how-to/add-a-builder.md"


@pytest.fixture
def builder() -> ModuleType:
    found = re.search(r"```python builder\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    module = ModuleType("files_builder")
    exec(compile(found[1], str(PAGE), "exec"), vars(module))  # noqa: S102 - our own page
    return module


def test_the_builder_of_the_page_has_every_part(builder: ModuleType) -> None:
    parts = {name for name in vars(Builder) if not name.startswith("_")}
    assert parts <= set(vars(builder))
    assert parts <= set(dir(registry.builder("npm")))


def test_the_builder_of_the_page_fills_a_tree(builder: ModuleType, tmp_path: Path) -> None:
    folder = write_definition(tmp_path / "tiny")
    (tmp_path / "work").mkdir()
    copy(source_files.locate(folder), tmp_path / "work/tree")
    said: list[str] = []
    job = Job(
        definition=definition_file.read(folder),
        workspace=tmp_path / "work",
        log=lambda _stream, text: said.append(text),
    )
    (job.tree / "node_modules/is-number").mkdir(parents=True)
    (job.tree / "node_modules/is-number/index.js").write_text("")
    (job.tree / "node_modules/is-number/LICENSE").write_text("")
    for step in (builder.relock, builder.contents, builder.fetch, builder.install):
        step(job)
    assert said == ["This builder fetches no package."]
    assert not (job.tree / "node_modules/is-number/LICENSE").exists()
    assert (job.tree / "bin/number.js").is_symlink()
    assert list(builder.packages(job.tree)) == []
