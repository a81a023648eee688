"""What people see when something is wrong: what happened, and what to do now.

Every page here is made from its words alone: no query, no session, no context processor, so that it
can be shown while the database is away, and to who is not signed in.
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
from execapp.services import probes
from webui.signin import freshness

RETRY_SECONDS = 5
MACHINES = ("/api/", "/healthz", "/readyz", "/metrics")  # whoever asks there reads no page
DATABASE_TROUBLE = {
    Trouble.UNREACHABLE: "The database cannot be reached. Nothing was recorded.",
    Trouble.FULL: "The disk is full. Nothing was recorded.",
    Trouble.LOCKED: "The database is busy with something long. Nothing was recorded.",
}


@dataclass(frozen=True, kw_only=True)
class Words:
    """What a page says: its title, what happened, what can be done, and the link to press first."""

    title: str
    says: str
    then: str
    again: tuple[str, str] | None = None  # text, address


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400: what came could not be read, or was sent to a name that is not ours.

    What is refused before the API sees it comes here, too, and is told in the API's shape.
    """
    says, then = _unreadable(exception)
    if request.path_info.startswith(MACHINES):
        return error_reply("malformed", f"{says} {then}")
    again = None
    if not isinstance(exception, DisallowedHost):
        again = ("Back to the form", freshness.page_shown(request))
    return show(400, Words(title="That could not be read", says=says, then=then, again=again))


def permission_denied(_request: HttpRequest, exception: Exception) -> HttpResponse:
    """403: the role does not allow it. Guards say which role would."""
    return show(
        403,
        Words(
            title="This is not yours to do",
            says=str(exception) or "Your account lacks the permission for it.",
            then="Nothing was changed. Whoever runs this Stencil gives roles, on the page Users.",
        ),
    )


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403: a form without the key of this session, or from another place."""
    then = "Load the form again and send it once more; what you typed may have to be typed again."
    if "trusted origins" in reason:  # Django's words for an Origin or Referer that is not ours
        then = (
            "If no form can be sent at all: whoever runs this Stencil has to name the address that "
            "your browser shows in STENCIL_TRUSTED_ORIGINS."
        )
    return show(
        403,
        Words(
            title="This form is out of date",
            says="Signing in or out, also in another tab, replaces the key that every open form "
            "carries. A browser that keeps no cookies has none. Nothing was changed.",
            then=then,
            again=("Load the form again", freshness.page_shown(request)),
        ),
    )


def page_not_found(_request: HttpRequest, exception: Exception) -> HttpResponse:
    """404: mistyped, removed, or somebody else's. What a service says of it is shown."""
    return show(
        404,
        Words(
            title="There is nothing here",
            says=getattr(exception.__cause__, "message", "No page has this address."),
            then="It may be mistyped, or belong to somebody else. What was made and removed again "
            "is named in the audit trail.",
        ),
    )


def wrong_method(request: HttpRequest, allowed: Sequence[str]) -> HttpResponse:
    """405: mostly the address of an act, opened as if it were a page."""
    answer = show(
        405,
        Words(
            title="This address is not a page",
            says="It takes a form, when its button is pressed. Opening it changes nothing.",
            then="Go back to the page that has the button, and press it there.",
            again=("Back to the page", freshness.page_shown(request)),
        ),
    )
    answer["Allow"] = ", ".join(allowed)
    return answer


def unreadable(request: HttpRequest, says: str) -> HttpResponse:
    """409: what a page needs of a version is damaged or gone. Verification names the files."""
    return show(
        409,
        Words(
            title="That cannot be shown",
            says=says,
            then="The version’s page says what is wrong with it and offers to heal it. What is "
            "damaged serves nothing.",
            again=("Back", freshness.page_shown(request)),
        ),
    )


def server_error(request: HttpRequest) -> HttpResponse:
    """503 for trouble of the database that passes, else 500. Django has logged the exception."""
    met = sys.exception()
    passing = database_trouble(met)
    if met is not None:
        probes.saw(met)
    if passing is not None:
        return unavailable(request, passing)
    now = timezone.now().strftime("%Y-%m-%d %H:%M:%S")
    return show(
        500,
        Words(
            title="This is our fault",
            says=f"The page could not be made. The error is in the server’s log at {now} UTC.",
            then="Try once more. If it comes again, give that time to whoever runs this Stencil. "
            "Whether an act of yours counted, its page and the audit trail say.",
            again=_again(request),
        ),
    )


def unavailable(request: HttpRequest, says: str) -> HttpResponse:
    """503: it will work later, without anything being changed here."""
    answer = show(
        503,
        Words(
            title="Not now",
            says=says,
            then="Wait a moment, then try again. If it stays so, whoever runs this Stencil finds "
            "the cause with “make doctor” and in the server’s log.",
            again=_again(request),
        ),
    )
    answer["Retry-After"] = str(RETRY_SECONDS)
    return answer


def database_trouble(error: BaseException | None) -> str | None:
    """Return the text for a database that is locked, full or unreachable; None for other errors."""
    trouble = classify(error)
    return None if trouble is None else DATABASE_TROUBLE.get(trouble)


def show(status: int, words: Words) -> HttpResponse:
    """The page, kept by no cache."""
    answer = HttpResponse(render_to_string("shell/error.html", {"words": words}), status=status)
    add_never_cache_headers(answer)
    return answer


def _again(request: HttpRequest) -> tuple[str, str]:
    """A page is asked for again; a form is gone back to."""
    if request.method in {"GET", "HEAD"}:
        return "Try again", request.get_full_path()
    return "Back to the form", freshness.page_shown(request)


def _unreadable(exception: Exception) -> tuple[str, str]:
    if isinstance(exception, DisallowedHost):
        return (
            "This Stencil does not answer to the name in your address bar.",
            "Whoever runs this Stencil can add a name to STENCIL_ALLOWED_HOSTS.",
        )
    if isinstance(exception, RequestDataTooBig | TooManyFieldsSent):
        return (
            "The form holds more than this server takes. Nothing was changed.",
            "Send less at once: fewer or smaller files.",
        )
    return (
        "Part of what your browser sent was missing or garbled. Nothing was changed.",
        "Go back, load the page again, and send it once more.",
    )
