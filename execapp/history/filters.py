"""The filters of a list of executions: one value, and one parser for the API and for the page."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core import parsing
from execapp.errors import Field, InvalidRequestError
from execapp.models import ExecutionState, Mode

NAMES = ("template", "version", "state", "mode", "client", "label", "since", "until", "q")
MAX_LABELS = 16
MAX_CHARACTERS = {"template": 64, "client": 150, "q": 100}


@dataclass(frozen=True, kw_only=True)
class ExecutionFilter:
    """The filters of a list of executions. None and empty: no filter.

    `since` is included, `until` is not; both are aware times. An execution has all of the
    `labels`. `q` is the beginning of an id, which `history.page` checks.
    """

    template: str | None = None
    version: int | None = None
    state: str | None = None
    mode: str | None = None
    client: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    q: str | None = None


def parse_filter(
    values: Mapping[str, Sequence[str]], *, zone_needed: bool = True
) -> ExecutionFilter:
    """Return the filter in a query string: the names of `NAMES`, each with its texts.

    `label` may have several texts; of another name the last one counts. Other names are ignored.
    Without `zone_needed` a time without a zone is UTC. Raises InvalidRequestError with one field
    for each name that is wrong; `path` is the name.
    """
    found: dict[str, Any] = {}
    problems: list[Field] = []
    for name in NAMES:
        texts = values.get(name) or ()
        if not texts:
            continue
        try:
            if name == "label":
                found["labels"] = _labels(texts)
            else:
                found[name] = _value(name, texts[-1], zone_needed=zone_needed)
        except parsing.ParseError as error:
            problems.append(Field(path=name, message=error.message))
    if problems:
        raise InvalidRequestError(problems)
    return ExecutionFilter(**found)


def parse_filter_form(values: Mapping[str, Sequence[str]]) -> ExecutionFilter:
    """Return the same from a browser's form, which sends every field of it.

    Blanks around a text are removed, an empty text is left out, and a time without a zone is UTC.
    Raises InvalidRequestError as `parse_filter` does.
    """
    given = {
        name: [text.strip() for text in values.get(name) or () if text.strip()] for name in NAMES
    }
    return parse_filter(given, zone_needed=False)


def _value(name: str, text: str, *, zone_needed: bool) -> object:
    if name in ("since", "until"):
        return parsing.moment(text, zone_needed=zone_needed)
    return _PARSERS[name](text)


def _labels(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    if len(texts) > MAX_LABELS:
        message = f"At most {MAX_LABELS} are taken."
        raise parsing.ParseError(message)
    return tuple(_label(text) for text in texts)


def _label(text: str) -> tuple[str, str]:
    key, colon, value = _without_nul(text).partition(":")
    if not colon or not key:
        message = "Give key:value."
        raise parsing.ParseError(message)
    return key, value


def _text(name: str) -> Callable[[str], str]:
    most = MAX_CHARACTERS[name]

    def parse_text(text: str) -> str:
        if len(text) > most:
            message = f"At most {most} characters are taken."
            raise parsing.ParseError(message)
        return _without_nul(text)

    return parse_text


def _choice(known: Sequence[str]) -> Callable[[str], str]:
    def parse_choice(text: str) -> str:
        if text not in known:
            message = f"Give one of {', '.join(known)}."
            raise parsing.ParseError(message)
        return text

    return parse_choice


def _number(text: str) -> int:
    return parsing.whole(text, least=1)


def _without_nul(text: str) -> str:
    if "\0" in text:
        message = "NUL is not allowed."
        raise parsing.ParseError(message)
    return text


_PARSERS: dict[str, Callable[[str], object]] = {
    "template": _text("template"),
    "version": _number,
    "state": _choice(ExecutionState.values),
    "mode": _choice(Mode.values),
    "client": _text("client"),
    "q": _text("q"),
}
