"""JSON that everyone reads the same way, or none: what clever documents use to slip through
(keys that stand twice, NaN, endless nesting, half characters) is refused before it is looked at.
"""

import json
from typing import Any, NoReturn, cast

from django.http import HttpRequest
from ninja.parser import Parser
from ninja.types import DictStrAny

from execapp.errors import Field, InvalidRequestError, MalformedError, MediaTypeError

MAX_DEPTH = 32


class StrictParser(Parser):
    """Reads request bodies for the whole API."""

    def parse_body(self, request: HttpRequest) -> DictStrAny:
        """The body's JSON; `MediaTypeError`, `MalformedError` or `InvalidRequestError`."""
        charset = (request.content_params or {}).get("charset", "utf-8")
        if request.content_type != "application/json" or charset.lower() not in ("utf-8", "utf8"):
            message = "Send the body as application/json in UTF-8."
            raise MediaTypeError(message)
        return cast("DictStrAny", loads(request.body))


def loads(body: bytes) -> Any:
    """One JSON document, strictly."""
    try:
        loaded = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float,
        )
    except UnicodeDecodeError as error:
        message = f"The body is not UTF-8: byte {error.start} is wrong."
        raise MalformedError(message) from error
    except RecursionError as error:
        raise _too_deep() from error
    except json.JSONDecodeError as error:
        message = f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        raise MalformedError(message) from error
    except ValueError as error:  # an integer of thousands of digits
        message = "The body is not JSON that can be read: a number is too long."
        raise MalformedError(message) from error
    _check(loaded)
    return loaded


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        message = f"The key {ascii(twice)[:100]} stands twice in one object."
        raise MalformedError(message)
    return found


def _constant(name: str) -> NoReturn:
    message = f"{name} is not a number of JSON."
    raise MalformedError(message)


def _float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        message = "A number is too large."
        raise MalformedError(message)
    return value


def _check(loaded: object) -> None:
    """Depth and characters, without recursion: the document may be deeper than our stack."""
    todo: list[tuple[str, object, int]] = [("", loaded, 1)]
    while todo:
        path, value, depth = todo.pop()
        if depth > MAX_DEPTH:
            raise _too_deep()
        if isinstance(value, str):
            _check_text(path, value)
        elif isinstance(value, dict):
            for key, item in value.items():
                _check_text(path, key)
                todo.append((f"{path}.{key}" if path else key, item, depth + 1))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                todo.append((f"{path}.{index}" if path else str(index), item, depth + 1))


def _check_text(path: str, text: str) -> None:
    if text.isascii():
        return
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        problem = Field(path=path or "body", message="A lone surrogate is not a character.")
        raise InvalidRequestError([problem]) from error


def _too_deep() -> MalformedError:
    return MalformedError(f"The body is nested deeper than {MAX_DEPTH} levels.")
