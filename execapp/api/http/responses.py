"""JSON replies, and reading the parts of a request that ninja leaves to us."""

import json
from collections.abc import Collection, Iterable
from typing import Any

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

from core import parsing
from execapp.conf import sizes
from execapp.errors import MAX_TOLD, Field, InvalidRequestError, UnauthorizedError
from execapp.models import ApiToken

MEDIA_TYPES = {
    "json": "application/json",
    "text": "text/plain",
    "jsonl": "application/jsonl",
    "tar.gz": "application/gzip",
    "zip": "application/zip",
}


def reply(data: Any, *, status: int = 200) -> HttpResponse:
    """`data` as JSON; it is in its final shape already, so it is not validated again."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return HttpResponse(text.encode(), status=status, content_type="application/json")


def text_reply(lines: Iterable[str]) -> StreamingHttpResponse:
    """Text as it comes, each item with its own line feed."""
    return StreamingHttpResponse(lines, content_type="text/plain; charset=utf-8")


def wanted_form(request: HttpRequest, *forms: str) -> str:
    """The form that is asked for by ?format= or else by Accept: "json", or one of `forms`."""
    given = request.GET.get("format")
    if given in ("json", *forms):
        return str(given)
    if given is not None:
        problem = f"Give {', '.join(('json', *forms))}."
        raise InvalidRequestError([Field(path="format", message=problem)])
    types = [MEDIA_TYPES[form] for form in ("json", *forms)]
    preferred = request.get_preferred_type(types)
    return next((form for form in forms if MEDIA_TYPES[form] == preferred), "json")


def actor_of(request: HttpRequest) -> str:
    """The name under which what this request does is recorded."""
    return token_of(request).actor


def token_of(request: HttpRequest) -> ApiToken:
    """The token that `Bearer` accepted for this request."""
    token = getattr(request, "auth", None)
    if not isinstance(token, ApiToken):
        message = "Send a valid token: Authorization: Bearer <token>."
        raise UnauthorizedError(message)
    return token


def check_query(
    request: HttpRequest, known: Collection[str], *, repeatable: Collection[str] = ()
) -> None:
    """Refuse parameters that we would ignore: unknown ones, and all but the last of several."""
    problems = []
    for name, values in request.GET.lists():
        if name not in known:
            text = f"Known parameters are {', '.join(sorted(known)) or 'none'}."
            problems.append(Field(path=name[:100], message=text))
        elif len(values) > 1 and name not in repeatable:
            problems.append(Field(path=name, message="Give it once."))
        elif any("\0" in value for value in values):
            problems.append(Field(path=name, message="NUL is not allowed."))
        if len(problems) == MAX_TOLD:
            break
    if problems:
        raise InvalidRequestError(problems)


def wait_seconds(value: object) -> float:
    """`false`, `true` or seconds, as seconds. ValueError for anything else."""
    longest = sizes().max_wait_seconds
    if value is True or value is False:
        return float(longest) if value else 0.0
    if isinstance(value, int | float) and 0 <= value <= longest:
        return float(value)
    message = f"Give true, false or seconds from 0 to {longest}."
    raise ValueError(message)


def wait_parameter(request: HttpRequest) -> float:
    """The same from the query string."""
    text = request.GET.get("wait", "false")
    value: object = {"true": True, "false": False}.get(text)
    try:
        longest = sizes().max_wait_seconds
        return parsing.seconds(text, most=longest) if value is None else wait_seconds(value)
    except parsing.ParseError as error:
        problem = f"Give true, false or seconds from 0 to {longest}."
        raise InvalidRequestError([Field(path="wait", message=problem)]) from error
