"""The tiny definition with a native part: a function in C that adds the number of a header."""

from pathlib import Path

from tests.tiny_definition import DEFINITION, write_definition

SOURCE = """#include "number.h"
long answer(long given);
long answer(long given) { return given + NUMBER; }
"""
HEADER = "#define NUMBER 2L\n"
TABLE = '[native]\n"part/answer.so" = "part/answer.c"\n'
FILES = ("part/answer.c", "part/number.h")


def with_native(folder: Path, table: str = TABLE, **changed: str) -> Path:
    """Write the tiny definition with a native part; `changed` maps paths to contents.

    Every changed file below a folder `part` or `other` is listed in `files`.
    """
    files = {"part/answer.c": SOURCE, "part/number.h": HEADER} | changed
    listed = ", ".join(f'"{path}"' for path in files if path.startswith(("part/", "other/")))
    text = DEFINITION.replace('"said.txt"]', f'"said.txt", {listed}]')
    return write_definition(
        folder, **({"template.toml": text.replace("[env]", f"{table}\n[env]")} | files)
    )
