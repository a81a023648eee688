"""Limits on the validation of a wrong request: only its first errors are reported.

Each function returns a validator that runs before pydantic's own validator of the field.
"""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from pydantic import BeforeValidator

from execapp.conf import Sizes, sizes
from execapp.errors import MAX_REPORTED

FILE_KEYS = frozenset({"path", "content", "encoding"})
CASE_KEYS = frozenset({"name", "stdin", "args", "env", "expected_stdout", "limits"})
MAX_PACKAGES = 1_000
MAX_GATES = 100


def files() -> BeforeValidator:
    """Return a validator of a list of files."""
    return BeforeValidator(lambda value: _list(value, sizes().max_files, "files", _no_file))


def cases() -> BeforeValidator:
    """Return a validator of a list of cases."""
    return BeforeValidator(lambda value: _list(value, sizes().max_cases, "cases", _no_case))


def texts(most: int | Callable[[Sizes], int], what: str) -> BeforeValidator:
    """Return a validator of a list of at most `most` texts."""
    return BeforeValidator(lambda value: _list(value, _bound(most), what, _no_text))


def table(most: Callable[[Sizes], int], what: str) -> BeforeValidator:
    """Return a validator of an object of at most `most` texts."""

    def check(value: object) -> object:
        if not isinstance(value, dict):
            return value
        _check_length(value, _bound(most), what)
        wrong = list(islice((key for key in value if _no_text(value[key])), MAX_REPORTED))
        return {key: value[key] for key in wrong} if len(wrong) == MAX_REPORTED else value

    return BeforeValidator(check)


def known_keys(value: object, known: Iterable[str]) -> object:
    """Refuse an object with many unknown keys at once: each of them would be an error."""
    names = set(known)
    if not isinstance(value, dict) or len(value) <= len(names) + MAX_REPORTED:
        return value
    message = f"It has {len(value)} keys; known are {', '.join(sorted(names))}."
    raise ValueError(message)


def _list(value: object, most: int, what: str, wrong: Callable[[Any], bool]) -> object:
    if not isinstance(value, list):
        return value
    _check_length(value, most, what)
    reported = list(
        islice((index for index, item in enumerate(value) if wrong(item)), MAX_REPORTED)
    )
    return value[: reported[-1] + 1] if len(reported) == MAX_REPORTED else value


def _check_length(value: list[Any] | dict[str, Any], most: int, what: str) -> None:
    if len(value) > most:
        message = f"At most {most} {what} are taken."
        raise ValueError(message)


def _bound(most: int | Callable[[Sizes], int]) -> int:
    return most if isinstance(most, int) else most(sizes())


def _no_text(value: object) -> bool:
    return not isinstance(value, str)


def _no_case(value: object) -> bool:
    return not (
        isinstance(value, dict)
        and value.keys() <= CASE_KEYS
        and all(_is_field(name, given) for name, given in value.items())
    )


def _is_field(name: str, given: object) -> bool:
    if name == "args":
        return given is None or (isinstance(given, list) and not any(map(_no_text, given)))
    if name == "env":
        return isinstance(given, dict) and not any(map(_no_text, given.values()))
    if name == "limits":
        return isinstance(given, dict)
    return given is None or isinstance(given, str)


def _no_file(value: object) -> bool:
    return not (
        isinstance(value, dict)
        and value.keys() <= FILE_KEYS
        and "path" in value
        and "content" in value
        and all(isinstance(text, str) for text in value.values())
    )
