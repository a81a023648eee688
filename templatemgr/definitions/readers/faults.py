"""What is wrong with a file of a definition: key, line, reason and remedy."""

from typing import NoReturn

MAX_EXCERPT = 160
# Every character at which some reader begins a new line, but those that all of them agree about.
ODD_BREAKS = "\v\f\x1c\x1d\x1e\x85\u2028\u2029"


class FileError(Exception):
    """A file of a definition is refused. `line` counts from 1; None where there is no one line."""

    def __init__(self, key: str, reason: str, *, line: int | None = None, remedy: str = "") -> None:
        key, reason = printable(key), printable(reason)
        super().__init__(f"{key}: {reason}" if key else reason)
        self.key, self.reason, self.line, self.remedy = key, reason, line, remedy


def decoded(data: bytes) -> str:
    """Return a file as text. Raises FileError for what no two tools read alike."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise FileError("", "is not UTF-8", line=line, remedy="Save it as UTF-8.") from None
    if text.startswith("\ufeff"):
        refuse("begins with a byte order mark", 1, "Save it as UTF-8 without one.")
    if "\0" in text:
        refuse("holds NUL", line_at(text, text.index("\0")), "It is to be a text.")
    return text


def lines(text: str) -> list[str]:
    """Return the lines of a text, without their ends. Raises FileError for odd ends of lines."""
    found = text.split("\n")
    for number, line in enumerate(found, start=1):
        bare = line.removesuffix("\r")
        if "\r" in bare or any(character in bare for character in ODD_BREAKS):
            refuse("has a character that some tools take for the end of the line", number)
        found[number - 1] = bare
    return found


def line_at(text: str, position: int) -> int:
    """Return the number of the line at a position."""
    return text.count("\n", 0, position) + 1


def excerpt(text: str, line: int | None) -> str:
    """Return a line as it can be shown: bounded, its odd characters replaced."""
    if line is None:
        return ""
    found = text.split("\n", line)[line - 1 : line]
    return printable(found[0][:MAX_EXCERPT].strip() if found else "")


def printable(text: str) -> str:
    """Replace what cannot be shown, or not even be encoded: half a character of an escape."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def refuse(reason: str, line: int | None, remedy: str = "", key: str = "") -> NoReturn:
    """Raise FileError."""
    raise FileError(key, reason, line=line, remedy=remedy)
