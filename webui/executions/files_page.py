"""Files that came back as the page of an execution shows them: pictures, tables and text."""

import csv
import io
from dataclasses import dataclass

from execapp.api.http import downloads
from execapp.errors import UnknownFileError
from execapp.models import CollectedFile, Execution
from execapp.services import collected_files
from webui.executions.annotated_source import CodeLine, code_lines

MAX_BYTES = 64 * 1024  # of one file that is shown as text or table
MAX_LINES = 1000
MAX_ROWS, MAX_COLUMNS, MAX_CELL = 50, 20, 200
OPEN_FILES = 4
_TABLES = (".csv", ".tsv")


@dataclass(frozen=True, kw_only=True)
class FileBack:
    """One file: a picture, a table, lines, or none of them; `note` says what is missing."""

    file: CollectedFile
    picture: bool = False
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    lines: tuple[CodeLine, ...] = ()
    note: str = ""
    open: bool = False


def files(execution: Execution) -> list[FileBack]:
    """Return the files of an execution by path; no query if it asked for none."""
    found = collected_files.files_of(execution)
    return [_shown(file, first=number < OPEN_FILES) for number, file in enumerate(found)]


def _shown(file: CollectedFile, *, first: bool) -> FileBack:
    try:
        data = collected_files.read(file.sha256, most=MAX_BYTES)
    except UnknownFileError as error:
        return FileBack(file=file, note=error.message)
    if downloads.picture_type(data[: downloads.HEAD_BYTES]):
        return FileBack(file=file, picture=True, open=first)
    cut = file.size_bytes > len(data)
    try:
        text = data.decode("utf-8", "ignore" if cut else "strict")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        return FileBack(file=file, note="Not text: download it.")
    if file.path.lower().endswith(_TABLES) and (table := _table(file, text, cut=cut, first=first)):
        return table
    lines = code_lines(file.path, text, {})
    more = cut or len(lines) > MAX_LINES
    return FileBack(
        file=file, lines=tuple(lines[:MAX_LINES]), note=_more(more=more), open=first
    )  # fmt: skip


def _table(file: CollectedFile, text: str, *, cut: bool, first: bool) -> FileBack | None:
    """Return a file as a table; None if it is none."""
    tabs = file.path.lower().endswith(".tsv")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if tabs else ",")
    rows: list[tuple[str, ...]] = []
    more = cut
    try:
        for row in reader:
            if len(rows) > MAX_ROWS:
                more = True
                break
            more = more or len(row) > MAX_COLUMNS
            rows.append(tuple(cell[:MAX_CELL] for cell in row[:MAX_COLUMNS]))
    except csv.Error:
        return None
    if not rows:
        return None
    header, *body = rows
    return FileBack(
        file=file, header=header, rows=tuple(body), note=_more(more=more), open=first
    )  # fmt: skip


def _more(*, more: bool) -> str:
    return "The page shows the beginning; the download has all of it." if more else ""
