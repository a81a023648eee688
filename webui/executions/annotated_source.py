"""Submitted files as lines of code, with the messages of failing tests below their lines."""

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
    """A line of code, and the messages of tests that failed there."""

    text: str
    notes: Sequence[str] = ()


def notes_of(cases: Iterable[Mapping[str, Any]]) -> dict[tuple[str, int], list[str]]:
    """Return the messages of failing cases by file and line, each message once per line."""
    notes: dict[tuple[str, int], list[str]] = {}
    for case in cases:
        location = case.get("location")
        if case.get("state") != "failed" or not location:
            continue
        messages = notes.setdefault((case["file"], location["line"]), [])
        note = summary(case.get("message") or f"{case['name']} failed")
        if note not in messages:
            messages.append(note)
    return notes


def summary(message: str) -> str:
    """Return a message up to its first blank line, after which runners print a diff."""
    first = _BLANK_LINE.split(message.strip(), maxsplit=1)[0]
    lines = first.split("\n")
    text = "\n".join(lines[:NOTE_LINES])
    if len(text) > NOTE_CHARACTERS:
        return text[:NOTE_CHARACTERS] + "…"
    return text + ("\n…" if len(lines) > NOTE_LINES else "")


def code_lines(path: str, text: str, notes: Notes) -> list[CodeLine]:
    """Return the lines of a file. A line end at its end begins no further line."""
    lines = _LINE_END.split(text)
    if len(lines) > 1 and not lines[-1]:
        lines.pop()
    return [
        CodeLine(text=line, notes=notes.get((path, number), ()))
        for number, line in enumerate(lines, start=1)
    ]
