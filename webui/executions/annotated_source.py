"""Submitted files as lines of code, with what failing tests say beneath the lines they name."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NOTE_LINES = 6
NOTE_CHARACTERS = 600
_LINE_END = re.compile(r"\r\n|\n|\r")
_BLANK_LINE = re.compile(r"\n[ \t]*\n")

type Notes = Mapping[tuple[str, int], Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class CodeLine:
    """One line, and what failed there; usually nothing."""

    text: str
    notes: Sequence[str] = ()


def notes_of(cases: Iterable[Mapping[str, Any]]) -> dict[tuple[str, int], list[str]]:
    """What failing cases say, by file and line; the same words about a line only once."""
    notes: dict[tuple[str, int], list[str]] = {}
    for case in cases:
        location = case.get("location")
        if case.get("state") != "failed" or not location:
            continue
        said = notes.setdefault((case["file"], location["line"]), [])
        note = gist(case.get("message") or f"{case['name']} failed")
        if note not in said:
            said.append(note)
    return notes


def gist(message: str) -> str:
    """The beginning of a message: up to a blank line, after which runners print a diff."""
    first = _BLANK_LINE.split(message.strip(), maxsplit=1)[0]
    lines = first.split("\n")
    text = "\n".join(lines[:NOTE_LINES])
    if len(text) > NOTE_CHARACTERS:
        return text[:NOTE_CHARACTERS] + "…"
    return text + ("\n…" if len(lines) > NOTE_LINES else "")


def code_lines(path: str, text: str, notes: Notes) -> list[CodeLine]:
    """The lines of a file; an end of line at its end begins no further line."""
    lines = _LINE_END.split(text)
    if len(lines) > 1 and not lines[-1]:
        lines.pop()
    return [
        CodeLine(text=line, notes=notes.get((path, number), ()))
        for number, line in enumerate(lines, start=1)
    ]
