"""The error of the readers (key, line, reason, remedy), and helpers for text and its lines."""

from typing import NoReturn

MAX_EXCERPT = 160
# Characters that only some parsers treat as a line break.
ODD_BREAKS = "\v\f\x1c\x1d\x1e\x85\u2028\u2029"


class FileError(Exception):
    """A file of a definition is refused.

    `line` counts from 1; it is None if the reason does not apply to a single line.
    """

    def __init__(self, key: str, reason: str, *, line: int | None = None, remedy: str = "") -> None:
        key, reason = printable(key), printable(reason)
        super().__init__(f"{key}: {reason}" if key else reason)
        self.key, self.reason, self.line, self.remedy = key, reason, line, remedy


def decoded(data: bytes) -> str:
    """Decode a file as UTF-8.

    Raises FileError for invalid UTF-8, a byte order mark and NUL: tools handle them differently.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise FileError("", "is not UTF-8", line=line, remedy="Save it as UTF-8.") from None
    if text.startswith("\ufeff"):
        refuse("begins with a byte order mark", 1, "Save it as UTF-8 without one.")
    if "\0" in text:
        refuse("contains NUL", line_at(text, text.index("\0")), "It must be a text.")
    return text


def lines(text: str) -> list[str]:
    """Split a text at LF or CRLF and return the lines without their line breaks.

    Raises FileError for any other character that some parsers treat as a line break.
    """
    found = text.split("\n")
    for number, line in enumerate(found, start=1):
        bare = line.removesuffix("\r")
        if "\r" in bare or any(character in bare for character in ODD_BREAKS):
            refuse("has a character that some tools take for the end of the line", number)
        found[number - 1] = bare
    return found


def line_at(text: str, position: int) -> int:
    """Return the line number, from 1, of a character index."""
    return text.count("\n", 0, position) + 1


def excerpt(text: str, line: int | None) -> str:
    """Return a line for display: at most MAX_EXCERPT characters, unprintable ones replaced.

    Return "" if `line` is None or past the end.
    """
    if line is None:
        return ""
    found = text.split("\n", line)[line - 1 : line]
    return printable(found[0][:MAX_EXCERPT].strip() if found else "")


def printable(text: str) -> str:
    """Replace each unprintable character by U+FFFD, including lone surrogates from escapes."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def refuse(reason: str, line: int | None, remedy: str = "", key: str = "") -> NoReturn:
    """Raise FileError with these fields."""
    raise FileError(key, reason, line=line, remedy=remedy)
