"""The tiny definition with a native part: a function in C that adds the number of a header."""

from collections.abc import Iterable
from pathlib import Path

from tests.tiny_definition import DEFINITION, write_definition

SOURCE = """#include "number.h"
long answer(long given);
long answer(long given) { return given + NUMBER; }
"""
HEADER = "#define NUMBER 2L\n"
TABLE = '[native]\n"part/answer.so" = "part/answer.c"\n'
FILES = ("part/answer.c", "part/number.h")


def definition_text(table: str = TABLE, listed: Iterable[str] = FILES) -> str:
    """Return `template.toml` of the tiny definition with this table and these further files."""
    files = ", ".join(f'"{path}"' for path in listed)
    text = DEFINITION.replace('"said.txt"]', f'"said.txt", {files}]')
    return text.replace("[env]", f"{table}\n[env]")


def with_native(folder: Path, table: str = TABLE, **changed: str) -> Path:
    """Write the tiny definition with a native part; `changed` maps paths to contents.

    Every changed file below a folder `part` or `other` is listed in `files`.
    """
    files = {"part/answer.c": SOURCE, "part/number.h": HEADER} | changed
    listed = [path for path in files if path.startswith(("part/", "other/"))]
    return write_definition(folder, **({"template.toml": definition_text(table, listed)} | files))
