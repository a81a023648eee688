"""Limits of each request, checked before the request is read or handled.

Bodies of the API are read by `execapp.api.http.json_parser`, with a budget of their own.
"""

import codecs
import re
from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import BadRequest, RequestDataTooBig
from django.http import HttpRequest, HttpResponse, QueryDict, UnreadablePostError
from django.http.response import HttpResponseBase
from django.utils.datastructures import MultiValueDict

from core import documents, parsing
from execapp.api.http.bodies import drain
from execapp.api.http.error_replies import error_reply
from execapp.api.http.shapes import reshape
from webui.shell import error_pages

QUERY_BYTES = 8 * 1024
QUERY_PARAMETERS = 100
HEADER_BYTES = 32 * 1024  # names and values of all headers together
FORM = "application/x-www-form-urlencoded"
# Forms of texts and choices. A refused form is shown again, and escaped text is up to six times as
# long. Forms with files, with lists of packages and with passkeys may be larger.
FORM_BYTES = 8 * 1024
LARGER_FORMS = (
    (re.compile(r"/playground/run|/templates/[^/]+/edit"), parsing.LARGEST_ROW),
    (re.compile(r"/templates/[^/]+/builds|/login/(?:code|passkey)"), 64 * 1024),
    (re.compile(r"/account/(?:confirm/passkey|passkeys/add)"), 64 * 1024),
)
STATUSES = {"too_large": 413, "unsupported_media_type": 415}


class RefusedError(Exception):
    """A request is refused: the code of the API's error, and a message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def limit(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Callable[..., object]:
    """Middleware: refuse a request over a limit, with a page or with the API's error format."""

    def limited(request: HttpRequest) -> HttpResponseBase:
        machine = request.path_info.startswith(error_pages.MACHINES)
        try:
            check_head(request)
            if not machine:
                check_form(request)
        except RefusedError as refused:
            drain(request)
            return _refusal(request.path_info, refused, machine=machine)
        except (BadRequest, RequestDataTooBig) as refused:
            drain(request)
            return error_pages.bad_request(request, refused)
        return get_response(request)

    return limited


def check_head(request: HttpRequest) -> None:
    """Check content encoding, charset, query string and headers. Raises RefusedError.

    Django decodes the query and the form with the charset of the body, even with one that decodes
    no text (rot13, zlib), and other charsets take more memory than the budget of a form.
    """
    encoding = request.META.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if encoding not in ("", "identity"):
        message = "Send the body without a Content-Encoding: compressed bodies are not accepted."
        raise RefusedError("unsupported_media_type", message)
    if not _utf8((request.content_params or {}).get("charset", "utf-8")):
        message = "Send the body in UTF-8, and name no other charset."
        raise RefusedError("unsupported_media_type", message)
    query = request.META.get("QUERY_STRING", "")
    if len(query) > QUERY_BYTES or query.count("&") >= QUERY_PARAMETERS:
        message = (
            f"A query string has at most {QUERY_BYTES} bytes and {QUERY_PARAMETERS} parameters."
        )
        raise RefusedError("too_large", message)
    held = sum(
        len(name) + len(value)
        for name, value in request.META.items()
        if name.startswith("HTTP_") and isinstance(value, str)
    )
    if held > HEADER_BYTES:
        message = f"The headers have at most {HEADER_BYTES} bytes together."
        raise RefusedError("too_large", message)


def check_form(request: HttpRequest) -> None:
    """Check the length of a form before it is read, and its fields before they are parsed.

    Raises RequestDataTooBig and BadRequest, which get the page of Django's own refusals.
    """
    length = parsing.whole_or_none(
        str(request.META.get("CONTENT_LENGTH") or "0"), most=parsing.LARGEST_ROW
    )
    if length is None:
        message = "Content-Length is not a number."
        raise BadRequest(message)
    if length > min(settings.DATA_UPLOAD_MAX_MEMORY_SIZE, _most(request.path_info)):
        raise RequestDataTooBig
    if request.method != "POST" or request.content_type != FORM:
        return  # Django reads every other body, if a view needs it
    try:
        fields = documents.form(request.body, fields=settings.DATA_UPLOAD_MAX_NUMBER_FIELDS)
    except (documents.DocumentError, UnreadablePostError) as error:
        raise BadRequest from error
    form = QueryDict(mutable=True, encoding="utf-8")
    for name, value in fields:
        form.appendlist(name, value)
    form._mutable = False
    vars(request).update(_post=form, _files=MultiValueDict())


def _most(path: str) -> int:
    return next((most for pattern, most in LARGER_FORMS if pattern.fullmatch(path)), FORM_BYTES)


def _utf8(charset: str) -> bool:
    try:
        return codecs.lookup(charset).name in ("utf-8", "ascii")
    except (LookupError, ValueError):
        return False


def _refusal(path: str, refused: RefusedError, *, machine: bool) -> HttpResponse:
    status = STATUSES[refused.code]
    if machine:
        return reshape(path, error_reply(refused.code, refused.message, status=status))
    text = error_pages.ErrorText(
        title="The request cannot be accepted",
        problem=f"{refused.message} Nothing was changed.",
        advice="Go back and send less. The API for programs is described under /api/v1/docs.",
    )
    return error_pages.show(status, text)
