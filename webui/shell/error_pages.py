"""Error pages: each states the problem and gives advice.

A page needs no query, no session and no context processor, so it can be shown without a database
and to visitors who are not signed in.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from django.core.exceptions import DisallowedHost, RequestDataTooBig, TooManyFieldsSent
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.cache import add_never_cache_headers

from core.database.errors import classify
from core.database.vendors import Trouble
from execapp.api.http.error_replies import error_reply
from execapp.api.http.shapes import reshape
from execapp.services import probes
from webui.signin import freshness

RETRY_SECONDS = 5
# Their clients are programs.
MACHINES = ("/api/", "/judge0/", "/healthz", "/readyz", "/metrics", "/mcp")
DATABASE_TROUBLE = {
    Trouble.UNREACHABLE: "The database cannot be reached. Nothing was recorded.",
    Trouble.FULL: "The disk is full. Nothing was recorded.",
    Trouble.LOCKED: "The database is busy with another operation. Nothing was recorded.",
}


@dataclass(frozen=True, kw_only=True)
class ErrorText:
    """The texts of a page: title, problem, advice, and the link of its first button."""

    title: str
    problem: str
    advice: str
    link: tuple[str, str] | None = None  # text, address


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Reply 400: the request cannot be parsed, or was sent to another host name.

    API requests that fail before the API's own handlers get the API's error format.
    """
    problem, advice = _unreadable(exception)
    if request.path_info.startswith(MACHINES):
        return reshape(request.path_info, error_reply("malformed", f"{problem} {advice}"))
    link = None
    if not isinstance(exception, DisallowedHost):
        link = ("Back to the form", freshness.shown_page(request))
    return show(
        400,
        ErrorText(title="The data could not be read", problem=problem, advice=advice, link=link),
    )


def permission_denied(_request: HttpRequest, exception: Exception) -> HttpResponse:
    """Reply 403: the role does not permit the action. The decorators name a sufficient role."""
    return show(
        403,
        ErrorText(
            title="You are not allowed to do this",
            problem=str(exception) or "Your account lacks the permission for it.",
            advice="Nothing was changed. An admin can give you another role on the page Users.",
        ),
    )


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Reply 403: a form without this session's CSRF token, or from another origin."""
    advice = "Load the form again and send it again. You may have to type your input again."
    if "trusted origins" in reason:  # Django's text for a foreign Origin or Referer
        advice = (
            "If no form can be sent at all, the operator of this Stencil must add the address "
            "that your browser shows to STENCIL_TRUSTED_ORIGINS."
        )
    return show(
        403,
        ErrorText(
            title="This form is out of date",
            problem="Signing in or out, in any tab, replaces the security token of all open forms. "
            "A browser without cookies has no token. Nothing was changed.",
            advice=advice,
            link=("Load the form again", freshness.shown_page(request)),
        ),
    )


def page_not_found(_request: HttpRequest, exception: Exception) -> HttpResponse:
    """Reply 404: mistyped, removed, or of another user. The page shows the service's message."""
    return show(
        404,
        ErrorText(
            title="There is nothing here",
            problem=getattr(exception.__cause__, "message", "No page has this address."),
            advice="The address may be mistyped, or belong to another user. The audit log names "
            "objects that were removed.",
        ),
    )


def wrong_method(request: HttpRequest, allowed: Sequence[str]) -> HttpResponse:
    """Reply 405: usually the address of a form, opened as a page."""
    answer = show(
        405,
        ErrorText(
            title="This address is not a page",
            problem="It receives a form when its button is pressed. Opening it changes nothing.",
            advice="Go back to the page with the button, and press the button there.",
            link=("Back to the page", freshness.shown_page(request)),
        ),
    )
    answer["Allow"] = ", ".join(allowed)
    return answer


def unreadable(request: HttpRequest, problem: str) -> HttpResponse:
    """Reply 409: files of a version that the page needs are damaged or missing."""
    return show(
        409,
        ErrorText(
            title="The page cannot be shown",
            problem=problem,
            advice="The page of the version shows the damage and offers to heal it. A damaged "
            "version is not served.",
            link=("Back", freshness.shown_page(request)),
        ),
    )


def server_error(request: HttpRequest) -> HttpResponse:
    """Reply 503 for temporary database errors, else 500. Django has logged the exception."""
    met = sys.exception()
    passing = database_trouble(met)
    if met is not None:
        probes.saw(met)
    if passing is not None:
        return unavailable(request, passing)
    now = timezone.now().strftime("%Y-%m-%d %H:%M:%S")
    return show(
        500,
        ErrorText(
            title="Stencil failed",
            problem=f"The page could not be made. The error is in the server’s log at {now} UTC.",
            advice="Try again. If the error returns, give that time to the operator of this "
            "Stencil. The audit log shows whether your last action took effect.",
            link=_again(request),
        ),
    )


def unavailable(request: HttpRequest, problem: str) -> HttpResponse:
    """Reply 503: the request can succeed later."""
    answer = show(
        503,
        ErrorText(
            title="Not now",
            problem=problem,
            advice="Wait a moment, then try again. If the error stays, the operator of this "
            "Stencil finds the cause with “make doctor” and in the server’s log.",
            link=_again(request),
        ),
    )
    answer["Retry-After"] = str(RETRY_SECONDS)
    return answer


def database_trouble(error: BaseException | None) -> str | None:
    """Return the text for a database that is locked, full or unreachable; None for other errors."""
    trouble = classify(error)
    return None if trouble is None else DATABASE_TROUBLE.get(trouble)


def show(status: int, text: ErrorText) -> HttpResponse:
    """Return the page, which no cache keeps."""
    answer = HttpResponse(render_to_string("shell/error.html", {"error": text}), status=status)
    add_never_cache_headers(answer)
    return answer


def _again(request: HttpRequest) -> tuple[str, str]:
    """Return the link to load a page again, or to go back to a form."""
    if request.method in {"GET", "HEAD"}:
        return "Try again", request.get_full_path()
    return "Back to the form", freshness.shown_page(request)


def _unreadable(exception: Exception) -> tuple[str, str]:
    if isinstance(exception, DisallowedHost):
        return (
            "This Stencil does not accept the host name in your address bar.",
            "The operator of this Stencil can add the name to STENCIL_ALLOWED_HOSTS.",
        )
    if isinstance(exception, RequestDataTooBig | TooManyFieldsSent):
        return (
            "The form is larger than this server accepts. Nothing was changed.",
            "Send less at once: fewer or smaller files.",
        )
    return (
        "A part of the request was missing or damaged. Nothing was changed.",
        "Go back, load the page again, and send it again.",
    )
