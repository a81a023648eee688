"""The difference between the input files of two versions. Pure: folders in, lines out."""

import difflib
from dataclasses import dataclass
from pathlib import Path

from templatemgr.definitions import source_files
from templatemgr.errors import DefinitionError
from templatemgr.trees import foreign

# The table of packages shows the content of the lock.
LEFT_OUT = {"package-lock.json"}
MAX_BYTES = 100_000
MAX_LINES = 200


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of a difference; `tone` is the class that colours it, empty for an unchanged line."""

    text: str
    tone: str


@dataclass(frozen=True, kw_only=True)
class FileChange:
    """A changed file. `moved`: the number of changed lines; `lines`: with the lines around them."""

    path: str
    moved: int
    lines: tuple[Line, ...]


def changes(old: Path, new: Path) -> list[FileChange]:
    """Compare two folders of inputs by path. A file that is not a small text has no lines."""
    before, after = _files(old), _files(new)
    differing = [path for path in sorted(before.keys() | after.keys()) if path not in LEFT_OUT]
    compared = (_compare(path, before.get(path), after.get(path)) for path in differing)
    return [change for change in compared if change is not None]


def _files(folder: Path) -> dict[str, Path]:
    found = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {path.relative_to(folder).as_posix(): path for path in found}


def _compare(path: str, old: Path | None, new: Path | None) -> FileChange | None:
    left, right = _text(old), _text(new)
    if left is None or right is None:
        same = old is not None and new is not None and _same(old, new)
        return None if same else FileChange(path=path, moved=0, lines=())
    diff = list(difflib.unified_diff(left.splitlines(), right.splitlines(), n=2, lineterm=""))[2:]
    if not diff:
        return None
    lines = [_line(text) for text in diff if not text.startswith("@@")]
    moved = max(sum(text[0] == sign for text in diff) for sign in "+-")
    return FileChange(path=path, moved=moved, lines=tuple(lines[:MAX_LINES]))


def _same(old: Path, new: Path) -> bool:
    """Return whether two files are equal; files that cannot be read are not."""
    try:
        left, right = (source_files.read(path, shown=path.name) for path in (old, new))
    except DefinitionError:
        return False
    return left == right


def _text(path: Path | None) -> str | None:
    """Return the text of a file, "" for a missing one, None if it is not a small text."""
    if path is None:
        return ""
    try:
        return foreign.read_file(path, most=MAX_BYTES).decode("utf-8")
    except (ValueError, OSError):
        return None


def _line(text: str) -> Line:
    tones = {"+": "diff-add", "-": "diff-del"}
    return Line(text=text[:500], tone=tones.get(text[:1], ""))
