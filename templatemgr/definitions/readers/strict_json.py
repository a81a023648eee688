"""Strict JSON, which Python and npm parse alike, with a lookup of the line of a key.

Duplicate keys, the key `__proto__`, NaN, infinities, lone surrogates, more than MAX_DEPTH levels
and more than MAX_CONTAINERS tables and lists are refused.
"""

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from templatemgr.definitions.readers.faults import FileError, line_at, refuse

MAX_DEPTH = 32
# An empty table takes 64 bytes of memory for 3 bytes of text. A lock of 10,000 packages has 50,000.
MAX_CONTAINERS = 150_000
Path = tuple[str | int, ...]
_scan: Any = json.decoder.scanstring  # type: ignore[attr-defined]


class _TwiceError(ValueError):
    pass


def load(text: str, largest: int) -> dict[str, Any]:
    """Parse a JSON object of at most `largest` bytes (UTF-8). Raises FileError."""
    if len(text.encode("utf-8", "surrogatepass")) > largest:
        refuse(f"is larger than {largest} bytes", None)
    if text.count("{") + text.count("[") > MAX_CONTAINERS:
        refuse(f"holds more than {MAX_CONTAINERS} tables and lists", None)
    try:
        value = json.loads(
            text, object_pairs_hook=_pairs, parse_constant=_constant, parse_float=_float
        )
    except _TwiceError as error:
        raise _twice(text, str(error)) from None
    except json.JSONDecodeError as error:
        line, remedy = error.lineno, "Correct it: a comma or a quote may be missing there."
        raise FileError("", f"is not JSON: {error.msg}", line=line, remedy=remedy) from None
    except (ValueError, RecursionError) as error:
        raise FileError("", f"is not accepted as JSON: {str(error)[:200]}") from None
    if not isinstance(value, dict):
        refuse("must be a table", 1)
    _check_depth(value)
    if "\\u" in text:  # only an escape can make a lone surrogate
        _check_texts(text, value)
    return value


def fail(text: str, path: Sequence[str | int], reason: str, remedy: str = "") -> NoReturn:
    """Raise FileError for a path of keys and indexes, with its line (see `line_of`)."""
    key = ".".join(str(part) if part != "" else '""' for part in path)
    raise FileError(key[:200], reason, line=line_of(text, path), remedy=remedy)


def line_of(text: str, path: Sequence[str | int]) -> int | None:
    """Return the line number, from 1, of a path of keys and indexes in a JSON text.

    If the path is absent, return the line of its longest present prefix, or None. Scan the text
    once; only error reports need this.
    """
    wanted, best, length = tuple(path), None, 0
    for place, position in _walk(text):
        if len(place) > length and place == wanted[: len(place)]:
            best, length = position, len(place)
            if length == len(wanted):
                break
    return None if best is None else line_at(text, best)


def _check_depth(value: object) -> None:
    pending: list[tuple[int, object]] = [(1, value)]
    while pending:
        depth, item = pending.pop()
        inner = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        if depth > MAX_DEPTH and isinstance(item, dict | list):
            refuse(f"is nested deeper than {MAX_DEPTH} levels", None)
        pending.extend((depth + 1, below) for below in inner if isinstance(below, dict | list))


def _check_texts(text: str, value: object) -> None:
    pending: list[tuple[Path, object]] = [((), value)]
    while pending:
        path, item = pending.pop()
        if isinstance(item, str):
            _check_text(text, path, item)
        elif isinstance(item, dict):
            for key in item:
                _check_text(text, (*path, key), key)
            pending.extend(((*path, key), below) for key, below in item.items())
        elif isinstance(item, list):
            pending.extend(((*path, index), below) for index, below in enumerate(item))


def _check_text(text: str, path: Path, item: str) -> None:
    try:
        item.encode()
    except UnicodeEncodeError:
        fail(text, path, "holds half of a surrogate pair", "Write the whole character.")


def _after_string(text: str, start: int) -> int:
    try:
        return int(_scan(text, start + 1, False)[1])
    except ValueError:  # unterminated string: the parser reports it
        return len(text)


def _walk(text: str) -> Iterator[tuple[Path, int]]:
    """Yield (path, character index) of each key and of each item of a list."""
    path: list[str | int] = []
    position, key_next = 0, False
    while position < len(text):
        character = text[position]
        if character == '"':
            if key_next and path:
                path[-1] = _scan(text, position + 1, False)[0]
                yield tuple(path), position
                key_next = False
            position = _after_string(text, position)
            continue
        if character == "{":
            path.append("")
            key_next = True
        elif character == "[":
            path.append(0)
            yield tuple(path), position
        elif character in "}]" and path:
            path.pop()
            key_next = False
        elif character == "," and path:
            key_next = isinstance(path[-1], str)
            if isinstance(path[-1], int):
                path[-1] += 1
                yield tuple(path), position
        position += 1


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found or key == "__proto__":
            raise _TwiceError(key)
        found[key] = value
    return found


def _float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        message = f"{digits[:40]} is larger than any number"
        raise ValueError(message)
    return number


def _constant(name: str) -> NoReturn:
    message = f"{name} is not valid in JSON"
    raise ValueError(message)


def _twice(text: str, key: str) -> FileError:
    seen: set[Path] = set()
    for path, position in _walk(text):
        if path[-1] != key:
            continue
        if path in seen or key == "__proto__":
            reason = "is given twice" if path in seen else "is not an allowed name"
            shown = ".".join(map(str, path))[:200]
            return FileError(shown, reason, line=line_at(text, position), remedy="Keep one.")
        seen.add(path)
    return FileError(key[:200], "stands there twice", remedy="Keep one.")
