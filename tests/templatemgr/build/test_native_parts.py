"""Test that a build compiles the native parts of a definition, and what it refuses."""

import ctypes
import importlib.metadata
from pathlib import Path

import pytest
from pytest_django import Settings

from templatemgr import catalog, data_paths
from tests.templatemgr.conftest import log_text, run_build
from tests.tiny_definition import DEFINITION, write_definition

SOURCE = """#include "number.h"
long answer(long given);
long answer(long given) { return given + NUMBER; }
"""
NATIVE = '[native]\n"part/answer.so" = "part/answer.c"\n'
FILES = '"said.txt", "part/answer.c", "part/number.h"]'


def with_native(folder: Path, table: str = NATIVE, **changed: str) -> Path:
    """Write the tiny definition with a native part; `changed` maps paths to contents."""
    text = DEFINITION.replace('"said.txt"]', FILES).replace("[env]", f"{table}\n[env]")
    files = {"part/answer.c": SOURCE, "part/number.h": "#define NUMBER 2L\n"}
    return write_definition(folder, **({"template.toml": text} | files | changed))


@pytest.fixture
def native(data_dir: Path, committed: None, settings: Settings) -> Path:
    folder = with_native(settings.STENCIL_DEFINITIONS / "tiny")
    catalog.sync_definitions()
    return folder


def test_a_part_is_compiled_loaded_and_recorded(native: Path) -> None:
    build = run_build()
    version = build.version
    assert version is not None, build.message
    part = data_paths.version(version) / "tree/part/answer.so"
    assert ctypes.CDLL(str(part)).answer(40) == 42
    [compiler] = [row for row in version.packages if row["name"] == "ziglang"]
    assert compiler["version"] == importlib.metadata.version("ziglang")
    log = log_text(build)
    assert "Compiled part/answer.so" in log
    assert "part/number.h sha256:" in log
