"""Strict readers of JSON and forms with a budget.

Every parser reads an accepted document the same way. A document over the budget is refused from
its bytes, before a value is made of it.
"""

import binascii
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NoReturn

from core.parsing import ParseError, json_float, json_integer

PATH_CHARACTERS = 100  # of a path in an error
# A string with its quotes; one without an end goes to the end, so that no place is read twice.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
LOOKS = 20_000  # quotes that are checked one by one, which is faster than the pattern
_BACKSLASH = ord("\\")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9a-fA-F]{2})")


# Decision 0020: the bytes are counted before a value is made from them.
@dataclass(frozen=True, kw_only=True)
class Budget:
    """The limits of one document. A value is an item of a list, a member of an object, or a
    container; characters are those of a key.
    """

    values: int
    depth: int = 32
    key_characters: int = 1024


class DocumentError(ParseError):
    """Parsers read these bytes in different ways, or the document is over its budget."""


class SurrogateError(ParseError):
    """Half a character at `path` ("files.0.path", or "" for the document itself)."""

    def __init__(self, path: str) -> None:
        super().__init__("A lone surrogate is not a character.")
        self.path = path


def loads(body: bytes, budget: Budget) -> Any:
    """Read one JSON document. DocumentError, SurrogateError.

    The cost is one pass over the bytes more than parsing, and at most the budget's values.
    """
    _check_budget(body, budget)
    try:
        loaded = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=lambda pairs: _object(pairs, budget),
            parse_constant=_constant,
            parse_float=json_float,
            parse_int=json_integer,
        )
    except UnicodeDecodeError as error:
        message = f"The body is not UTF-8: byte {error.start} is wrong."
        raise DocumentError(message) from None
    except RecursionError:
        raise _too_deep(budget) from None
    except json.JSONDecodeError as error:
        message = f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        raise DocumentError(message) from None
    except ParseError as error:
        raise DocumentError(error.message) from None
    if b"\\" in body and _SURROGATE_ESCAPE.search(body):
        _check_surrogates(loaded)
    return loaded


def form(body: bytes, *, fields: int) -> list[tuple[str, str]]:
    """Read the fields of an `application/x-www-form-urlencoded` body. DocumentError.

    The standard library makes an object of every escape, twenty times the size of a form of
    escapes; this function decodes a field at once.
    """
    if body.count(b"&") >= fields:
        message = f"A form has at most {fields} fields."
        raise DocumentError(message)
    return [
        (_unquoted(name), _unquoted(value))
        for name, _, value in (part.partition(b"=") for part in body.split(b"&") if part)
    ]


def _check_budget(body: bytes, budget: Budget) -> None:
    """Count the values of the body against the budget.

    Each loop in Python ends with the budget, and copies are never larger than the body.
    """
    most = 2 * budget.values  # strings: a key and a text for each value
    look = _between_quotes if body.count(b'"') <= LOOKS else _between_strings
    bare, strings = look(body, most)
    opened, closed = bare.count(b"[") + bare.count(b"{"), bare.count(b"]") + bare.count(b"}")
    if max(strings // 2, closed, opened + bare.count(b",")) > budget.values:
        raise _too_much(budget)
    steps = map(_STEPS.__getitem__, bare.translate(None, delete=_NOT_BRACKETS))
    if max(accumulate(steps), default=0) > budget.depth:
        raise _too_deep(budget)


# Both functions return the text outside of strings and the number of strings, and end soon after
# `most` strings. The result is correct up to the first place where the body is not JSON; parsing
# ends there.


def _between_strings(body: bytes, most: int) -> tuple[bytearray, int]:
    bare, at, strings = bytearray(), 0, 0
    for match in _STRING.finditer(body):
        bare += body[at : match.start()]
        at = match.end()
        strings += 1
        if strings > most:
            return bare, strings
    bare += body[at:]
    return bare, strings


def _between_quotes(body: bytes, most: int) -> tuple[bytearray, int]:
    """Find quotes one by one: most texts have few quotes."""
    bare, at, strings, inside = bytearray(), 0, 0, False
    quote = body.find(b'"')
    while quote >= 0 and strings <= most:
        if not inside:
            bare += body[at:quote]
            inside, strings = True, strings + 1
        elif not _escaped(body, at, quote):
            inside = False
        at = quote + 1
        quote = body.find(b'"', at)
    if not inside:
        bare += body[at:]
    return bare, strings


def _escaped(body: bytes, begin: int, quote: int) -> bool:
    """Return whether an odd number of backslashes precedes a quote, after `begin`."""
    if body[quote - 1] != _BACKSLASH:
        return False
    before = body[begin:quote]
    return (len(before) - len(before.rstrip(b"\\"))) % 2 == 1


def _object(pairs: list[tuple[str, Any]], budget: Budget) -> dict[str, Any]:
    found = dict(pairs)
    if found and max(map(len, found)) > budget.key_characters:
        message = f"A key has more than {budget.key_characters} characters."
        raise DocumentError(message)
    if len(found) != len(pairs):
        message = (
            f"The key {ascii(_twice(key for key, _ in pairs))[:100]} is given twice in one object."
        )
        raise DocumentError(message)
    return found


def _twice(keys: Iterable[str]) -> str:
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            break
        seen.add(key)
    return key


def _constant(name: str) -> NoReturn:
    message = f"{name} is not a number of JSON."
    raise DocumentError(message)


def _check_surrogates(loaded: object) -> None:
    """Check for half characters, and name the path of the first one."""
    todo: list[tuple[object, Any]] = [(loaded, None)]  # a value, and (its key, where that is)
    while todo:
        value, place = todo.pop()
        if isinstance(value, str):
            if not value.isascii() and _SURROGATE.search(value):
                raise SurrogateError(_path(place))
        elif isinstance(value, dict):
            for key, item in value.items():
                todo.append((key, place))
                todo.append((item, (key, place)))
        elif isinstance(value, list):
            todo.extend((item, (index, place)) for index, item in enumerate(value))


def _path(place: Any) -> str:
    parts = []
    while place is not None:
        key, place = place
        text = str(key)[:PATH_CHARACTERS]
        parts.append(text.encode("utf-8", "replace").decode("utf-8"))
    return ".".join(reversed(parts))[:PATH_CHARACTERS]


def _unquoted(raw: bytes) -> str:
    """Decode one name or value by the decoder of quoted-printable, which differs in one letter."""
    raw = raw.replace(b"+", b" ")
    if b"%" in raw:
        if _BROKEN_ESCAPE.search(raw):
            message = "The form holds a % that begins no escape."
            raise DocumentError(message)
        raw = binascii.a2b_qp(raw.replace(b"=", b"%3D").replace(b"%", b"="))
    return raw.decode("utf-8", "replace")


def _too_much(budget: Budget) -> DocumentError:
    return DocumentError(f"The body holds more than {budget.values} values.")


def _too_deep(budget: Budget) -> DocumentError:
    return DocumentError(f"The body is nested deeper than {budget.depth} levels.")
