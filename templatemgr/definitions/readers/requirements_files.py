"""Strict readers of `requirements.in` and `requirements.lock`.

pip guesses from the form of a line whether it means the index, a file, a folder, a URL or an
option; it also expands environment variables (`${NAME}`) and honours encoding declarations. These
readers accept only lines that pip, `packaging` and Stencil parse alike: one PEP 508 requirement per
line, `--hash=sha256:…`, continuations after white space, and comments; in a lock also
`--no-binary NAME` and the recipes that pip_lockfile describes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from templatemgr.definitions.readers.faults import FileError, lines, refuse
from templatemgr.definitions.readers.rules import Rules

MAX_BYTES = 4 * 1024 * 1024
MAX_LINE = 2_000  # characters of a line, and of a requirement without its hashes
MAX_ENTRIES = 5_000
MAX_BRACKETS = 20
PIN = re.compile(r"[A-Za-z0-9][\w.-]*==[^\s;\\]+(\s|;|$)", re.ASCII)
RECIPE = re.compile(r'[^;]+ ; (\(.+\) and )?extra == "(build|needs)-of-[\w.-]+"', re.ASCII)
HASH = "--hash=sha256:"
NO_BINARY = "--no-binary"
NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
HEX = frozenset("0123456789abcdef")
# pip treats a requirement with one of these suffixes as a file, even if no such file exists.
ARCHIVES = (
    ".zip", ".whl", ".tar", ".gz", ".tgz", ".bz2", ".tbz", ".xz", ".txz", ".lz", ".tlz", ".lzma",
    ".egg", ".zst",
)  # fmt: skip
BY_NAME = "Write a name with its versions, such as thing>=1.2,<2."
REMEDY = "Refresh it first. A refresh build makes a new lock."


@dataclass(frozen=True, kw_only=True)
class Line:
    """One requirement with the number of its first line, from 1, and its hashes (hex SHA-256)."""

    number: int
    requirement: Requirement
    hashes: tuple[str, ...] = ()


def read_wanted(text: str, rules: Rules) -> list[Line]:
    """Return the requirements of a requirements.in, in order. Raises FileError."""
    found = []
    for number, line in _entries(text):
        if line.startswith("-"):
            refuse("is an option of pip", number, BY_NAME, line.split()[0][:60])
        entry = _line(line, number, rules)
        _check_marker(entry)
        found.append(entry)
    return found


def read_lock(text: str, rules: Rules) -> list[Line]:
    """Return the requirements of a requirements.lock, recipes included. Raises FileError."""
    found: list[Line] = []
    built: dict[str, int] = {}
    for number, line in _entries(text):
        if line.startswith("-"):
            built |= dict.fromkeys(_built(line, number), number)
            continue
        entry = _line(line, number, rules)
        if entry.requirement.url is None:
            _check_locked(entry, line)
        found.append(entry)
    locked = {canonicalize_name(entry.requirement.name) for entry in found}
    for name, number in built.items():
        if canonicalize_name(name) not in locked:
            refuse(f"is for {name[:60]!r}, which is not locked", number, REMEDY, NO_BINARY)
    return found


def _entries(text: str) -> Iterator[tuple[int, str]]:
    """Yield (number of the first line, text) of each entry, without comments, lines joined."""
    if len(text.encode()) > MAX_BYTES:
        refuse(f"is larger than {MAX_BYTES} bytes", None)
    begun, parts, count = 0, list[str](), 0
    for number, line in enumerate(lines(text), start=1):
        if len(line) > MAX_LINE:
            refuse(f"is longer than {MAX_LINE} characters", number, "Break it: ` \\` at the end.")
        bare = line.strip(" \t")
        if bare.startswith("#"):
            _check_comment(bare, number, inside=bool(parts))
            continue
        begun = begun if parts else number
        goes_on = bare.endswith("\\")
        if goes_on and (not line.endswith((" \\", "\t\\")) or _comment_at(bare) >= 0):
            remedy = "Put a space before it, nothing behind it, and no comment on the line."
            refuse("continues after a backslash", number, remedy)
        parts.append(_without_comment(bare.removesuffix("\\"), number))
        if goes_on:
            continue
        entry = " ".join(filter(None, parts))
        parts = []
        if entry:
            count += 1
            yield begun, entry
        if count > MAX_ENTRIES:
            refuse(f"holds more than {MAX_ENTRIES} requirements", number)
    if parts:
        refuse("ends with a backslash, and no line follows", begun, "Remove the backslash.")


def _check_comment(line: str, number: int, *, inside: bool) -> None:
    if inside or line.endswith("\\"):
        refuse("is a comment within a requirement", number, "Put it on a line before.")
    if number <= 2 and "coding" in line:  # pip would read the file in that encoding
        refuse("declares an encoding", number, "Leave it out: the file is read as UTF-8.")


def _without_comment(line: str, number: int) -> str:
    """Cut off the comment of a line; refuse environment variables and unprintable characters."""
    at = _comment_at(line)
    text = line if at < 0 else line[:at]
    if "$" in text:
        refuse("uses a variable of the machine", number, "Write the value itself.")
    if not text.isascii() or not text.replace("\t", " ").isprintable():
        refuse("has a character that is not allowed in a requirement", number, BY_NAME)
    return text.strip(" \t")


def _comment_at(line: str) -> int:
    """Return the index at which a comment after white space begins, or -1."""
    found = (line.find(f"{space}#") for space in " \t")
    return min((at for at in found if at >= 0), default=-1)


def _line(text: str, number: int, rules: Rules) -> Line:
    words = text.split()
    hashes = [word for word in words if word.startswith("--")]
    if hashes and words[-len(hashes) :] != hashes:
        refuse("has text after its options", number, BY_NAME)
    bare = " ".join(words[: len(words) - len(hashes)])
    digests = tuple(_digest(word, number) for word in hashes)
    return Line(number=number, requirement=_requirement(bare, number, rules), hashes=digests)


def _digest(word: str, number: int) -> str:
    digest = word.removeprefix(HASH)
    if digest == word or len(digest) != 64 or not HEX.issuperset(digest):
        refuse("is not an accepted hash", number, f"Write {HASH} and 64 hex digits.", word[:60])
    return digest


def _requirement(text: str, number: int, rules: Rules) -> Requirement:
    shown = text[:80]
    if text.count("(") > MAX_BRACKETS:  # the parser takes a level of its stack for each
        refuse(f"has more than {MAX_BRACKETS} brackets", number, BY_NAME, shown)
    if not text or len(text) > MAX_LINE:
        refuse("is no requirement", number, BY_NAME, shown)
    before = text.partition(";")[0].strip().lower()
    try:
        found = Requirement(text)
    except (InvalidRequirement, RecursionError):
        reason = (
            "is a path or an address"
            if "/" in before or "\\" in before
            else "is not a name with versions"
        )
        raise FileError(shown, reason, line=number, remedy=BY_NAME) from None
    if found.url is not None:
        _check_address(found, number, rules)
    elif "/" in before or before.endswith(ARCHIVES) or found.name.lower().endswith(ARCHIVES):
        refuse("is a file name for pip", number, BY_NAME, shown)
    elif any(item.operator == "===" for item in found.specifier):
        refuse("uses ===, which does not compare versions", number, "Write ==.", shown)
    return found


def _check_address(found: Requirement, number: int, rules: Rules) -> None:
    address = (found.url or "").lower()
    kind = "file" if address.startswith("file:") else "git" if "+" in address[:8] else "http"
    if kind not in rules.kinds:
        remedy = f"{BY_NAME} The operator can allow other sources (STENCIL_PACKAGE_SOURCES)."
        refuse("comes from an address and not from the index", number, remedy, found.name[:80])


def _built(line: str, number: int) -> list[str]:
    """Return the names of `--no-binary NAME` or `--no-binary=NAME,NAME`; refuse other options."""
    option, names = line[: len(NO_BINARY)], line[len(NO_BINARY) + 1 :]
    if option != NO_BINARY or line[len(NO_BINARY) : len(NO_BINARY) + 1] not in (" ", "="):
        refuse("is an option of pip", number, REMEDY, line.split()[0][:60])
    for name in names.split(","):
        if not name or not NAME.issuperset(name) or not name[0].isalnum():
            refuse(f"is for {name[:60]!r}, which is not a name", number, REMEDY, NO_BINARY)
    return names.split(",")


def _check_marker(line: Line) -> None:
    """Refuse a marker whose answer is undefined, such as `os_name ~= "1"`."""
    marker = line.requirement.marker
    if marker is not None and _answer(marker) is None:
        remedy = "Compare a variable of PEP 508, such as python_version, with a text."
        refuse("has a marker without an answer", line.number, remedy, str(marker)[:80])


def _check_locked(line: Line, text: str) -> None:
    """Require one exact version and a hash, except of a recipe's "needs", which pip skips.

    `text` is the entry as it is written. Its form must be that of the lock's writer, so that pip
    and Stencil read the same package from it.
    """
    requirement, number = line.requirement, line.number
    shown = str(requirement)[:80]
    part = _recipe(requirement, number, text)
    if part == "needs":
        return
    pins = list(requirement.specifier)
    exact = len(pins) == 1 and pins[0].operator == "==" and not pins[0].version.endswith("*")
    if not exact or requirement.extras:
        refuse("is not locked to one version", number, REMEDY, shown)
    if not text.startswith(f"{requirement.name}=={pins[0].version}") or not PIN.match(text):
        refuse("is not written as name==version", number, REMEDY, shown)
    _check_marker(line)
    if not line.hashes:
        refuse("has no hash", number, REMEDY, shown)


def _recipe(requirement: Requirement, number: int, written: str) -> str:
    """Return "build" or "needs" for a line of a recipe, else "".

    `written` is the line as it is in the file. The marker of a recipe names an extra that no
    installation has, so that pip skips the line.
    """
    marker = requirement.marker
    if marker is None or "extra" not in str(marker):
        return ""
    text = str(marker)
    part = next((part for part in ("build", "needs") if _is_recipe(text, part)), "")
    if not part or not RECIPE.fullmatch(written.partition(" --")[0]):
        refuse("uses an extra that a lock does not have", number, REMEDY, text[:80])
    if _answer(marker) is not False:
        refuse("would be installed, because its marker is true", number, REMEDY, text[:80])
    return part


def _is_recipe(marker: str, part: str) -> bool:
    _, found, name = marker.rpartition(f'extra == "{part}-of-')
    named = name.removesuffix('"')
    plain = named != "" and named == canonicalize_name(named)
    return bool(found) and name.endswith('"') and plain


def _answer(marker: Marker) -> bool | None:
    """Return whether pip would install a line with this marker; None if it has no answer."""
    try:
        return marker.evaluate({"extra": ""})
    except (ValueError, LookupError, RecursionError):  # packaging: undefined comparison or name
        return None
