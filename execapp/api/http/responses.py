"""JSON replies, and parsers for the parts of a request that ninja does not parse."""

from collections.abc import Collection, Iterable
from typing import Any

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

from core import parsing
from execapp.conf import sizes
from execapp.errors import (
    MAX_REPORTED,
    Field,
    InvalidRequestError,
    MalformedError,
    UnauthorizedError,
)
from execapp.models import ApiToken
from execapp.output import encode_json

MEDIA_TYPES = {
    "json": "application/json",
    "text": "text/plain",
    "jsonl": "application/jsonl",
    "tar.gz": "application/gzip",
    "zip": "application/zip",
}


def reply(data: Any, *, status: int = 200) -> HttpResponse:
    """Return `data` as JSON. It is not validated: presenters make the final shape."""
    return HttpResponse(encode_json(data), status=status, content_type="application/json")


def text_reply(lines: Iterable[str]) -> StreamingHttpResponse:
    """Return a stream of text; each item ends with a line feed."""
    return StreamingHttpResponse(lines, content_type="text/plain; charset=utf-8")


def wanted_form(request: HttpRequest, *forms: str) -> str:
    """Return the form that ?format= or else Accept selects: "json", or one of `forms`."""
    given = request.GET.get("format")
    if given in ("json", *forms):
        return str(given)
    if given is not None:
        problem = f"Give {', '.join(('json', *forms))}."
        raise InvalidRequestError([Field(path="format", message=problem)])
    types = [MEDIA_TYPES[form] for form in ("json", *forms)]
    try:
        preferred = request.get_preferred_type(types)
    except ValueError:
        message = "The header Accept cannot be read."
        raise MalformedError(message) from None
    return next((form for form in forms if MEDIA_TYPES[form] == preferred), "json")


def actor_of(request: HttpRequest) -> str:
    """Return the name under which the audit trail records this request."""
    return token_of(request).actor


def token_of(request: HttpRequest) -> ApiToken:
    """Return the token that `Bearer` accepted for this request."""
    token = getattr(request, "auth", None)
    if not isinstance(token, ApiToken):
        message = "Send a valid token: Authorization: Bearer <token>."
        raise UnauthorizedError(message)
    return token


def check_query(
    request: HttpRequest, known: Collection[str], *, repeatable: Collection[str] = ()
) -> None:
    """Refuse parameters that would be ignored: unknown ones, and repetitions."""
    problems = []
    for name, values in request.GET.lists():
        if name not in known:
            text = f"Known parameters are {', '.join(sorted(known)) or 'none'}."
            problems.append(Field(path=name[:100], message=text))
        elif len(values) > 1 and name not in repeatable:
            problems.append(Field(path=name, message="Give it once."))
        elif any("\0" in value for value in values):
            problems.append(Field(path=name, message="NUL is not allowed."))
        if len(problems) == MAX_REPORTED:
            break
    if problems:
        raise InvalidRequestError(problems)


def wait_seconds(value: object) -> float:
    """Return seconds for `false`, `true` or seconds. Raises ValueError."""
    longest = sizes().max_wait_seconds
    if value is True or value is False:
        return float(longest) if value else 0.0
    if isinstance(value, int | float) and 0 <= value <= longest:
        return float(value)
    message = f"Give true, false or seconds from 0 to {longest}."
    raise ValueError(message)


def wait_parameter(request: HttpRequest) -> float:
    """Return the same from the query string. Raises InvalidRequestError."""
    text = request.GET.get("wait", "false")
    value: object = {"true": True, "false": False}.get(text)
    try:
        longest = sizes().max_wait_seconds
        return parsing.seconds(text, most=longest) if value is None else wait_seconds(value)
    except parsing.ParseError as error:
        problem = f"Give true, false or seconds from 0 to {longest}."
        raise InvalidRequestError([Field(path="wait", message=problem)]) from error
