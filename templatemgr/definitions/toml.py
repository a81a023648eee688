"""Strict access to TOML tables: typed values, and an error for every key that is not read."""

import tomllib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn, overload

from templatemgr.trees import foreign


class TomlError(Exception):
    """A file is unreadable, or a value is missing, invalid or unknown.

    `key` is dotted, or empty for the whole file. `line` counts from 1; it is None if unknown.
    """

    def __init__(self, file: Path, key: str, reason: str, line: int | None = None) -> None:
        super().__init__(f"{file}: {key}: {reason}")
        self.file, self.key, self.reason, self.line = file, key, reason, line


_REQUIRED: Any = object()
MAX_BYTES = 64 * 1024
MAX_KEPT_BYTES = 1024 * 1024  # of the kept inputs of a version, which may be of an older release
MAX_PATH = 1024
MAX_NAME = 255  # bytes: the limit of Linux for one name
MAX_DOTS = 100  # per line, which also limits the parts of a key
_LARGEST = 2**63 - 1  # the maximum of database columns and of kernel limits


def load(file: Path, largest: int | None = None) -> "Table":
    """Parse a TOML file. Raises TomlError if it is missing, unreadable or invalid.

    Refuse what is no regular file or has more than `largest` bytes (default: MAX_KEPT_BYTES). If
    `largest` is set, also refuse lines with more than MAX_DOTS dots: Python's parser takes
    quadratic time in the number of parts of a key.
    """
    data = _read(file, MAX_KEPT_BYTES if largest is None else largest)
    try:
        if largest is not None:
            _check_costs(file, data)
        # Convert all line breaks to LF, as `Path.read_text` does.
        text = data.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
        return Table(file, "", tomllib.loads(text))
    except RecursionError:
        raise TomlError(file, "", "is nested too deeply") from None
    except ValueError as error:  # invalid UTF-8, invalid TOML, or a number of thousands of digits
        line = _number(str(error).rpartition("(at line ")[2].partition(",")[0])
        raise TomlError(file, "", f"is not valid TOML: {error}", line) from error


def line_of(file: Path, key: str) -> int | None:
    """Return the line number, from 1, of a dotted key or its nearest enclosing table, or None.

    The result is approximate and only for display: only the beginnings of lines are examined.
    """
    try:
        text = foreign.read_file(file, most=MAX_KEPT_BYTES).decode("utf-8")
    except (OSError, ValueError):
        return None
    found: dict[str, int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), start=1):
        bare = line.strip()
        if bare.startswith("["):
            section = bare.strip("[] \t")
            found.setdefault(section, number)
        elif "=" in bare:
            name = bare.partition("=")[0].strip().strip("\"'")
            found.setdefault(f"{section}.{name}" if section else name, number)
    while key:
        if key in found:
            return found[key]
        key = key.rpartition(".")[0]
    return None


def _read(file: Path, largest: int) -> bytes:
    try:
        return foreign.read_file(file, most=largest)
    except FileNotFoundError:
        raise TomlError(file, "", "is missing") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise TomlError(file, "", f"cannot be read: {reason}") from error


def _check_costs(file: Path, data: bytes) -> None:
    for number, line in enumerate(data.split(b"\n"), start=1):
        if line.count(b".") > MAX_DOTS:
            raise TomlError(file, "", f"has more than {MAX_DOTS} dots on a line: break it", number)


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 10 else None


class Table:
    """One table of a file. Read every allowed key, then call `done`. Methods raise TomlError."""

    def __init__(self, file: Path, prefix: str, values: Mapping[str, Any]) -> None:
        self._file, self._prefix, self._values = file, prefix, values
        self._asked: set[str] = set()

    def fail(self, key: str, reason: str) -> NoReturn:
        """Raise TomlError for a key of this table."""
        raise TomlError(self._file, self._prefix + key, reason)

    def done(self) -> None:
        """Raise TomlError for the first key that was never read."""
        for key in self._values:
            if key not in self._asked:
                self.fail(key, "is not a known key")

    @overload
    def text(self, key: str) -> str: ...
    @overload
    def text(self, key: str, default: str) -> str: ...
    @overload
    def text(self, key: str, default: None) -> str | None: ...
    def text(self, key: str, default: str | None = _REQUIRED) -> str | None:
        """Return a string; a required string must not be empty."""
        value = self._get(key, default)
        if value is not default and not isinstance(value, str):
            self.fail(key, "must be a string")
        if default is _REQUIRED and not value:
            self.fail(key, "must not be empty")
        return value

    @overload
    def number(self, key: str, *, least: int | None = None) -> int: ...
    @overload
    def number(self, key: str, default: None, *, least: int | None = None) -> int | None: ...
    def number(
        self, key: str, default: int | None = _REQUIRED, *, least: int | None = None
    ) -> int | None:
        """Return an integer of at least `least`, with a magnitude of at most 2**63 - 1."""
        value = self._get(key, default)
        if value is default:
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            self.fail(key, "must be a whole number")
        if least is not None and value < least:
            self.fail(key, f"must be {least} or more")
        if not -_LARGEST <= value <= _LARGEST:
            self.fail(key, f"must be {_LARGEST} or less")
        return value

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        """Return a string that is one of `choices`."""
        value = self.text(key)
        if value not in choices:
            self.fail(key, f"{value!r} is not one of {', '.join(choices)}")
        return value

    def texts(self, key: str, default: tuple[str, ...] = _REQUIRED) -> tuple[str, ...]:
        """Return a list of strings."""
        value: Any = self._get(key, default)
        if isinstance(value, tuple):  # the default
            return value
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.fail(key, "must be a list of strings")
        if any("\0" in item for item in value):
            self.fail(key, "must not hold NUL")
        return tuple(value)

    def paths(self, key: str, default: tuple[str, ...] = _REQUIRED) -> tuple[str, ...]:
        """Return a list of unique relative paths that stay inside the folder."""
        paths = self.texts(key, default)
        seen: set[str] = set()
        for path in paths:
            self.check_path(key, path)
            if path in seen:
                self.fail(key, f"{path!r} is listed twice")
            seen.add(path)
        return paths

    def mapping(self, key: str) -> dict[str, str]:
        """Return a table of strings; empty if the key is missing."""
        value = self._get(key, {})
        if not isinstance(value, dict):
            self.fail(key, "must be a table")
        for name, item in value.items():
            if not isinstance(item, str):
                self.fail(f"{key}.{name}", "must be a string")
            if "\0" in name + item:
                self.fail(key, "must not hold NUL")
        return value

    def lists(self, key: str) -> dict[str, tuple[str, ...]]:
        """Return a table of strings or lists of strings, as tuples; empty if the key is missing."""
        part = self.table(key)
        if part is None:
            return {}
        found: dict[str, tuple[str, ...]] = {}
        for name, value in part._values.items():
            if "\0" in name:
                self.fail(key, "must not hold NUL")
            found[name] = (part.text(name),) if isinstance(value, str) else part.texts(name)
        return found

    def table(self, key: str) -> "Table | None":
        """Return a nested table, or None if the key is missing."""
        value = self._get(key, None)
        if value is None:
            return None
        if not isinstance(value, dict):
            self.fail(key, "must be a table")
        return Table(self._file, f"{self._prefix}{key}.", value)

    def check_path(self, key: str, path: str) -> None:
        """Refuse a path that is empty, absolute, not normalized or leaves the folder."""
        parts = PurePosixPath(path).parts
        if path.startswith("/"):
            self.fail(key, f"{path!r} is absolute")
        if ".." in parts:
            self.fail(key, f"{path!r} leaves the folder")
        if "\0" in path or not parts or PurePosixPath(path).as_posix() != path:
            self.fail(key, f"{path!r} is not a plain relative path")
        if len(path.encode()) > MAX_PATH or any(len(part.encode()) > MAX_NAME for part in parts):
            reason = f"has a path of more than {MAX_PATH} bytes, or a name of more than {MAX_NAME}"
            self.fail(key, reason)

    def _get(self, key: str, default: Any) -> Any:
        self._asked.add(key)
        if key in self._values:
            return self._values[key]
        if default is _REQUIRED:
            self.fail(key, "is missing")
        return default
